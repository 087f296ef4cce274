#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

#define IDS_PER_REQUEST 100 /* the daemon takes requests of some kilobytes */

static const struct column columns[] = {
    {"ID", true, 20},      {"TABLE", false, 20}, {"KEY", false, 24}, {"COLUMN", false, 14},
    {"REASON", false, 20}, {"LAST", false, 0},   {"TRIES", true, 0}};

/* Ids may be numbers or text. */
static void id_text(const json_t *letter, char out[32])
{
    const json_t *id = json_object_get(letter, "id");

    if (json_is_string(id))
        snprintf(out, 32, "%s", json_string_value(id));
    else
        snprintf(out, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
}

static void append_ago(struct buf *out, const char *time)
{
    usec then;

    if (format_parse_time(time, &then))
        format_ago(out, then, clock_wall());
    else
        format_safe(out, time);
}

static void add_letter(struct grid *g, const json_t *letter)
{
    _cleanup_buf_ struct buf last = {0};
    char id[32];

    id_text(letter, id);
    append_ago(&last, field_text(letter, "last"));
    g->failed |= last.failed;
    grid_add(g, TONE_STRONG, id);
    grid_add(g, TONE_PLAIN, field_text(letter, "table"));
    grid_add(g, TONE_PLAIN, field_text(letter, "key"));
    grid_add(g, TONE_PLAIN, field_text(letter, "column"));
    grid_add(g, TONE_BAD, field_text(letter, "reason"));
    grid_add(g, TONE_DIM, last.data ? last.data : "");
    grid_add_count(g, TONE_PLAIN, field_count(letter, "attempts"));
}

static int print_list(struct ctl *ctl, const json_t *letters)
{
    _cleanup_page_ struct page page = ctl_page(ctl);
    _cleanup_grid_ struct grid grid = {.columns = columns,
                                       .column_count = sizeof columns / sizeof columns[0]};
    size_t i;
    json_t *letter;

    if (json_array_size(letters) == 0) {
        ctl_say(ctl, "no dead letters");
        return CTL_DONE;
    }
    json_array_foreach(letters, i, letter) add_letter(&grid, letter);
    grid_print(&grid, &page);
    if (!ctl->quiet)
        page_put(&page, TONE_DIM, "\nsyncctl dead-letters show ID says more about one.\n");
    return ctl_print(&page.out);
}

static void show_time(struct page *p, const char *label, const char *time)
{
    _cleanup_buf_ struct buf ago = {0};

    append_ago(&ago, time);
    page_label(p, label);
    if (*time)
        page_item(p, TONE_PLAIN, CUT_END, "%s (%s)", time, ago.data ? ago.data : "");
    page_end(p, "-");
}

static void show_text(struct page *p, const char *label, const char *text)
{
    page_label(p, label);
    page_wrap(p, p->column, p->column, *text ? text : "-");
}

static int print_letter(struct ctl *ctl, const json_t *letter)
{
    static const char *const fields[] = {"table", "key", "target", "column", "reason", "message"};
    _cleanup_page_ struct page page = ctl_page(ctl);
    char id[32];

    id_text(letter, id);
    page_put(&page, TONE_STRONG, "dead letter ");
    page_put_safe(&page, TONE_STRONG, id);
    buf_putc(&page.out, '\n');
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        show_text(&page, fields[i], field_text(letter, fields[i]));
    show_time(&page, "first", field_text(letter, "first"));
    show_time(&page, "last", field_text(letter, "last"));
    page_label(&page, "attempts");
    buf_append_i64(&page.out, field_count(letter, "attempts"));
    buf_putc(&page.out, '\n');
    return ctl_print(&page.out);
}

static int print_letter_json(const json_t *letter)
{
    _cleanup_free_ char *text = json_dumps(letter, JSON_COMPACT);
    struct buf none = {.failed = true};

    return text && puts(text) >= 0 ? CTL_DONE : ctl_print(&none);
}

static int list(struct ctl *ctl, const char *wanted)
{
    _cleanup_buf_ struct buf body = {0};
    struct err err;
    size_t i;
    json_t *letter;
    int r = ctl_call(ctl, "GET", "/v1/dead-letters", &body);

    if (r != CTL_DONE)
        return r;
    if (ctl->json && !wanted)
        return ctl_print_json(&body);
    json_auto_t *root = ctl_parse(&body, &err);
    if (!root)
        return ctl_fail(-EIO, &err);
    const json_t *letters = json_object_get(root, "dead_letters");
    if (!wanted)
        return print_list(ctl, letters);
    json_array_foreach(letters, i, letter)
    {
        char id[32];
        id_text(letter, id);
        if (strcmp(id, wanted) == 0)
            return ctl->json ? print_letter_json(letter) : print_letter(ctl, letter);
    }
    err_set(&err, -EINVAL, "there is no dead letter %s; see syncctl dead-letters list", wanted);
    return ctl_fail(-EINVAL, &err);
}

/* What is done to letters, here and in the API. */
struct verb {
    const char *target, *count, *done;
};

static const struct verb retry = {"/v1/dead-letters/retry", "retried", "will be sent again"};
static const struct verb discard = {"/v1/dead-letters/discard", "discarded", "forgotten"};

static int post(struct ctl *ctl, const struct verb *verb, const char *const *ids, int n,
                int64_t *done)
{
    _cleanup_buf_ struct buf target = {0}, body = {0};
    struct err err;

    buf_puts(&target, verb->target);
    for (int i = 0; i < n; i++) {
        buf_puts(&target, i ? "&id=" : "?id=");
        client_escape(&target, ids[i]);
    }
    if (!buf_ok(&target))
        return ctl_print(&target);
    int r = ctl_call(ctl, "POST", target.data, &body);
    if (r != CTL_DONE)
        return r;
    if (ctl->json && (r = ctl_print_json(&body)) != CTL_DONE)
        return r;
    json_auto_t *root = ctl_parse(&body, &err);
    if (!root)
        return ctl_fail(-EIO, &err);
    *done += field_count(root, verb->count);
    return CTL_DONE;
}

static int change(struct ctl *ctl, const struct verb *verb, const char *const *ids, int n, bool all)
{
    static const char *const every[] = {"all"};
    int64_t done = 0;
    int r = all ? post(ctl, verb, every, 1, &done) : CTL_DONE;

    for (int at = 0; at < n && r == CTL_DONE; at += IDS_PER_REQUEST)
        r = post(ctl, verb, ids + at, n - at < IDS_PER_REQUEST ? n - at : IDS_PER_REQUEST, &done);
    if (r != CTL_DONE)
        return r;
    if (!all && done < n) {
        fprintf(stderr,
                "syncctl: %" PRId64 " of %d: the others are not there (any more); see syncctl "
                "dead-letters list\n",
                done, n);
        return CTL_FAILURES;
    }
    if (!ctl->json)
        ctl_say(ctl, "%" PRId64 " dead letter%s %s", done, done == 1 ? "" : "s", verb->done);
    return CTL_DONE;
}

int cmd_dead_letters(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"all", no_argument, NULL, CTL_OPTION}, {0}};
    bool all = false;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        all = true;
    }
    const char *what = optind < argc ? argv[optind++] : "list";
    const char *const *ids = (const char *const *)argv + optind;
    int n = argc - optind;
    bool changes = strcmp(what, "retry") == 0 || strcmp(what, "discard") == 0;
    if (all && strcmp(what, "retry") != 0)
        return ctl_usage(ctl, "--all goes with retry; what is to be forgotten is named");
    if (strcmp(what, "list") == 0 && n == 0)
        return list(ctl, NULL);
    if (strcmp(what, "show") == 0 && n == 1)
        return list(ctl, ids[0]);
    if (changes && all != (n > 0))
        return change(ctl, strcmp(what, "retry") == 0 ? &retry : &discard, ids, n, all);
    if (changes)
        return ctl_usage(ctl, "%s takes ids%s", what, *what == 'r' ? ", or --all" : "");
    if (strcmp(what, "show") == 0)
        return ctl_usage(ctl, "show takes one id");
    return ctl_usage(ctl, "dead-letters %s is not one of list, show, retry, discard", what);
}
