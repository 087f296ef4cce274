#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/tables.h"

#define MAX_TABLES     15
#define STATUS_TIMEOUT (30 * USEC_PER_SEC)

/* "1,234 changes", or "1 change". */
static void counted(struct page *p, enum tone tone, int64_t n, const char *one, const char *many)
{
    _cleanup_buf_ struct buf b = {0};

    format_count(&b, n);
    page_item(p, tone, CUT_END, "%s %s", b.data ? b.data : "", n == 1 ? one : many);
}

static void spanned(struct page *p, const char *before, double seconds)
{
    _cleanup_buf_ struct buf b = {0};

    format_span(&b, seconds);
    page_item(p, TONE_PLAIN, CUT_END, "%s%s", before, b.data ? b.data : "");
}

static enum tone health_tone(const char *health)
{
    return strcmp(health, "ok") == 0        ? TONE_GOOD
           : strcmp(health, "warning") == 0 ? TONE_MILD
                                            : TONE_BAD;
}

/* What is missing until all is equal; the headline's last words. */
static void append_convergence(struct buf *b, const json_t *root)
{
    const json_t *source = json_object_get(root, "source");
    int64_t pending = field_count(source, "journal_entries");
    int64_t unconfirmed = field_count(json_object_get(root, "totals"), "unconfirmed");
    double oldest = field_number(source, "oldest_pending_seconds");

    if (field_true(root, "converged")) {
        buf_lit(b, "converged");
    } else if (pending > 0) {
        format_count(b, pending);
        buf_puts(b, pending == 1 ? " change pending" : " changes pending");
        if (oldest > 0) {
            buf_lit(b, " for ");
            format_span(b, oldest);
        }
    } else if (unconfirmed > 0) {
        format_count(b, unconfirmed);
        buf_lit(b, " unconfirmed");
    } else {
        buf_lit(b, "not converged");
    }
}

/* How long a pause still takes, where it ends by itself. */
static void append_pause(struct buf *b, const char *until)
{
    usec end, now = clock_wall();

    if (!format_parse_time(until, &end))
        return;
    buf_lit(b, " for another ");
    format_span(b, end > now ? (double)(end - now) / USEC_PER_SEC : 0);
}

/* From outside, cut to `columns`; returns how wide it came out. */
static size_t put_cut(struct page *p, enum tone tone, const char *text, size_t columns)
{
    _cleanup_buf_ struct buf safe = {0}, fitted = {0};

    format_safe(&safe, text);
    format_cut(&fitted, safe.data ? safe.data : "", columns, CUT_END);
    p->out.failed |= safe.failed || fitted.failed;
    page_put(p, tone, fitted.data ? fitted.data : "");
    return format_width(fitted.data ? fitted.data : "");
}

static void print_headline(struct page *p, const json_t *root)
{
    const char *name = field_text(root, "name"), *health = field_text(root, "health");
    _cleanup_buf_ struct buf title = {0}, word = {0}, rest = {0};

    buf_lit(&title, "syncd");
    if (*name && strcmp(name, "syncd") != 0)
        buf_printf(&title, " %s", name);
    for (const char *c = health; *c; c++)
        buf_putc(&word, (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c));
    if (!*health)
        buf_lit(&word, "HEALTH UNKNOWN");
    buf_puts(&rest, field_text(root, "state"));
    append_pause(&rest, field_text(root, "paused_until"));
    buf_lit(&rest, ", ");
    append_convergence(&rest, root);
    if (!buf_ok(&title) || !buf_ok(&word) || !buf_ok(&rest)) {
        p->out.failed = true;
        return;
    }
    size_t column = put_cut(p, TONE_STRONG, title.data, 24);
    buf_lit(&p->out, "  ");
    column += put_cut(p, health_tone(health), word.data, 16);
    buf_lit(&p->out, "  ");
    put_cut(p, TONE_PLAIN, rest.data, PAGE_COLUMNS - column - 4);
    buf_putc(&p->out, '\n');
}

/* Worth a word only when it comes to something. */
static void print_journal_use(struct page *p, const json_t *source, int64_t pending)
{
    int64_t limit = field_count(source, "journal_limit");
    double full = field_number(source, "journal_full_in_seconds");

    if (limit <= 0 || pending < limit / 100)
        return;
    page_item(p, TONE_MILD, CUT_END, "%.0f %% of its limit",
              100.0 * (double)pending / (double)limit);
    if (full > 0)
        spanned(p, "full in ", full);
}

static void print_source(struct page *p, const json_t *source)
{
    _cleanup_buf_ struct buf wal = {0};
    int64_t pending = field_count(source, "journal_entries");

    page_label(p, "source");
    page_item(p, TONE_PLAIN, CUT_START, "%s", field_text(source, "database"));
    if (*field_text(source, "journal_mode"))
        page_item(p, TONE_PLAIN, CUT_END, "%s mode", field_text(source, "journal_mode"));
    if (field_count(source, "wal_bytes") > 0) {
        format_bytes(&wal, field_count(source, "wal_bytes"));
        page_item(p, TONE_PLAIN, CUT_END, "%s of WAL", wal.data ? wal.data : "");
    }
    if (pending > 0)
        counted(p, TONE_MILD, pending, "journal entry", "journal entries");
    else
        page_item(p, TONE_PLAIN, CUT_END, "journal empty");
    print_journal_use(p, source, pending);
    page_end(p, "");
}

/* An error that a success has followed is history. */
static void print_last_error(struct page *p, const json_t *target, const char *success)
{
    const json_t *error = json_object_get(target, "last_error");
    const char *at = field_text(error, "at");
    double retry = field_number(target, "retry_in_seconds");
    _cleanup_buf_ struct buf ago = {0};
    usec failed, succeeded;

    if (retry > 0)
        spanned(p, "retry in ", retry);
    if (!json_is_object(error))
        return;
    bool known = format_parse_time(at, &failed);
    if (known && format_parse_time(success, &succeeded) && succeeded >= failed)
        return;
    if (known)
        format_ago(&ago, failed, clock_wall());
    page_item(p, TONE_BAD, CUT_END, "error%s%s: %s: %s", ago.len ? " " : "",
              ago.len ? ago.data : "", field_text(error, "code"), field_text(error, "message"));
}

static void print_credentials(struct page *p, const json_t *credentials)
{
    const char *provider = field_text(credentials, "provider");
    _cleanup_buf_ struct buf left = {0};
    usec expires;

    if (!*provider)
        return;
    if (!format_parse_time(field_text(credentials, "expires"), &expires)) {
        page_item(p, TONE_PLAIN, CUT_END, "credentials: %s", provider);
        return;
    }
    usec now = clock_wall();
    format_span(&left, (double)(expires - now) / USEC_PER_SEC);
    if (expires <= now)
        page_item(p, TONE_BAD, CUT_END, "credentials: %s, expired", provider);
    else
        page_item(p, TONE_PLAIN, CUT_END, "credentials: %s, %s left", provider,
                  left.data ? left.data : "");
}

static void print_target(struct page *p, const json_t *target)
{
    const char *success = field_text(target, "last_success");
    _cleanup_buf_ struct buf ago = {0};
    usec then;

    page_label(p, "target");
    if (*field_text(target, "region"))
        page_item(p, TONE_PLAIN, CUT_END, "%s", field_text(target, "region"));
    if (*field_text(target, "endpoint"))
        page_item(p, TONE_PLAIN, CUT_END, "%s", field_text(target, "endpoint"));
    counted(p, TONE_PLAIN, field_count(target, "requests_in_flight"), "request in flight",
            "requests in flight");
    if (format_parse_time(success, &then)) {
        format_ago(&ago, then, clock_wall());
        page_item(p, TONE_PLAIN, CUT_END, "last success %s", ago.data ? ago.data : "");
    } else {
        page_item(p, TONE_PLAIN, CUT_END, "no success yet");
    }
    print_last_error(p, target, success);
    print_credentials(p, json_object_get(target, "credentials"));
    page_end(p, "");
}

static void print_lag(struct page *p, const json_t *lag)
{
    static const char *const keys[] = {"p50", "p99", "max"};

    page_label(p, "lag");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        double seconds = field_number(lag, keys[i]);
        char before[8];
        snprintf(before, sizeof before, "%s ", keys[i]);
        if (!isnan(seconds))
            spanned(p, before, seconds);
    }
    page_end(p, "nothing measured yet");
}

static void print_totals(struct page *p, const json_t *totals, double uptime)
{
    static const struct {
        const char *key, *one, *many;
        bool always;
        enum tone tone;
    } rows[] = {
        {"changes", "change", "changes", true, TONE_PLAIN},
        {"items_put", "put", "put", true, TONE_PLAIN},
        {"items_deleted", "deleted", "deleted", true, TONE_PLAIN},
        {"spared", "spared", "spared", false, TONE_PLAIN},
        {"requests", "request", "requests", true, TONE_PLAIN},
        {"retries", "retry", "retries", false, TONE_PLAIN},
        {"throttled", "throttled", "throttled", false, TONE_MILD},
        {"unprocessed", "unprocessed", "unprocessed", false, TONE_PLAIN},
        {"dead_letters", "dead letter", "dead letters", false, TONE_BAD},
        {"orphans_skipped", "orphan left out", "orphans left out", false, TONE_PLAIN},
        {"unconfirmed", "unconfirmed", "unconfirmed", false, TONE_MILD},
    };
    _cleanup_buf_ struct buf bytes = {0};
    double units = field_number(totals, "write_units");

    page_label(p, "totals");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t n = field_count(totals, rows[i].key);
        if (n || rows[i].always)
            counted(p, rows[i].tone, n, rows[i].one, rows[i].many);
    }
    if (units > 0 && units < 9e15)
        counted(p, TONE_PLAIN, (int64_t)ceil(units), "write unit", "write units");
    format_bytes(&bytes, field_count(totals, "bytes_sent"));
    page_item(p, TONE_PLAIN, CUT_END, "%s sent", bytes.data ? bytes.data : "");
    spanned(p, "in ", uptime);
    page_end(p, "");
}

static int worst_first(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int64_t px = field_count(x, "pending"), py = field_count(y, "pending");

    if (table_rank(x) != table_rank(y))
        return table_rank(x) < table_rank(y) ? -1 : 1;
    if (px != py)
        return px > py ? -1 : 1;
    return strcmp(field_text(x, "name"), field_text(y, "name"));
}

static const struct column columns[] = {{"TABLE", false, 40}, {"PENDING", true, 0},
                                        {"WRITTEN", true, 0}, {"DELETED", true, 0},
                                        {"DEAD", true, 0},    {"STATE", false, 12}};

static void print_tables(struct page *p, const json_t *tables)
{
    _cleanup_grid_ struct grid grid = {.columns = columns,
                                       .column_count = sizeof columns / sizeof columns[0],
                                       .limit = PAGE_COLUMNS};
    size_t n = json_array_size(tables);
    _cleanup_free_ json_t **sorted = calloc(n ? n : 1, sizeof(json_t *));

    if (!sorted || !n) {
        p->out.failed |= !sorted;
        return;
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(tables, i);
    qsort(sorted, n, sizeof *sorted, worst_first);
    for (size_t i = 0; i < n && i < MAX_TABLES; i++) {
        int64_t dead = field_count(sorted[i], "dead_letters");
        grid_add(&grid, TONE_PLAIN, field_text(sorted[i], "name"));
        grid_add_count(&grid, TONE_PLAIN, field_count(sorted[i], "pending"));
        grid_add_count(&grid, TONE_PLAIN, field_count(sorted[i], "items_put"));
        grid_add_count(&grid, TONE_PLAIN, field_count(sorted[i], "items_deleted"));
        grid_add_count(&grid, dead ? TONE_BAD : TONE_PLAIN, dead);
        grid_add(&grid, table_tone(table_rank(sorted[i])), field_text(sorted[i], "state"));
    }
    buf_putc(&p->out, '\n');
    grid_print(&grid, p);
    if (n > MAX_TABLES)
        buf_printf(&p->out, "\xe2\x80\xa6 and %zu more: syncctl tables\n", n - MAX_TABLES);
}

static void print_reasons(struct page *p, const json_t *reasons)
{
    size_t i;
    json_t *reason;

    if (json_array_size(reasons) > 0)
        buf_putc(&p->out, '\n');
    json_array_foreach(reasons, i, reason)
    {
        buf_lit(&p->out, "- ");
        page_wrap(p, 2, 2, field_text(reason, "message"));
    }
}

static void print_page(struct page *p, const json_t *root)
{
    print_headline(p, root);
    print_source(p, json_object_get(root, "source"));
    print_target(p, json_object_get(root, "target"));
    print_lag(p, json_object_get(root, "lag_seconds"));
    print_totals(p, json_object_get(root, "totals"), field_number(root, "uptime_seconds"));
    print_tables(p, json_object_get(root, "tables"));
    print_reasons(p, json_object_get(root, "reasons"));
}

/* One page, or the JSON. 0 or a negative errno with a sentence. */
static int gather(struct ctl *ctl, struct page *p, struct err *err)
{
    _cleanup_buf_ struct buf body = {0};
    int status, r = ctl_ask(ctl, "GET", "/v1/status", STATUS_TIMEOUT, &status, &body, err);

    if (r == 0)
        r = ctl_check_status(status, &body, err);
    if (r < 0)
        return r;
    if (ctl->json) {
        buf_append(&p->out, body.data, body.len);
        buf_putc(&p->out, '\n');
        return 0;
    }
    json_auto_t *root = ctl_parse(&body, err);
    if (!root)
        return -EIO;
    print_page(p, root);
    return 0;
}

/* In place on a terminal: home, each line cleared to its end, then the rest of the screen. */
static void print_in_place(const struct buf *page)
{
    fputs("\033[H", stdout);
    for (const char *line = page->data; line && *line;) {
        size_t n = strcspn(line, "\n");
        fwrite(line, 1, n, stdout);
        fputs("\033[K\n", stdout);
        line += n + (line[n] == '\n');
    }
    fputs("\033[J", stdout);
}

/* Until Ctrl-C, or nobody reads. A daemon that is away may come back. */
static int watch(struct ctl *ctl)
{
    bool terminal = isatty(STDOUT_FILENO) && !ctl->json;
    struct err err;

    if (terminal)
        fputs("\033[2J", stdout);
    for (bool first = true;; first = false) {
        _cleanup_page_ struct page page = ctl_page(ctl);
        int r = gather(ctl, &page, &err);
        if (r == -EINVAL) /* of the command line: it will not get better */
            return ctl_fail(r, &err);
        if (r < 0 && ctl->json)
            ctl_fail(r, &err);
        else if (r < 0) {
            page_put_safe(&page, TONE_BAD, err.text);
            buf_puts(&page.out, "\ntrying again every second\n");
        }
        if (!buf_ok(&page.out))
            return ctl_print(&page.out);
        if (terminal)
            print_in_place(&page.out);
        else if (page.out.len) {
            fputs(first || ctl->json ? "" : "\n", stdout);
            fputs(page.out.data, stdout);
        }
        if (fflush(stdout) != 0)
            return CTL_UNREACHABLE;
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"watch", no_argument, NULL, CTL_OPTION}, {0}};
    bool watching = false;
    struct err err;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        watching = true;
    }
    if (optind < argc)
        return ctl_usage(ctl, "status takes no operand (%s)", argv[optind]);
    if (watching)
        return watch(ctl);
    _cleanup_page_ struct page page = ctl_page(ctl);
    r = gather(ctl, &page, &err);
    return r < 0 ? ctl_fail(r, &err) : ctl_print(&page.out);
}
