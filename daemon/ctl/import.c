#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "import/detect.h"
#include "jobs/import.h"
#include "jobs/owner.h"

enum {
    OPTION_TO = CTL_OPTION,
    OPTION_TABLE,
    OPTION_MAP,
    OPTION_CONVERT,
    OPTION_FORMAT,
    OPTION_UUID,
    OPTION_EXISTING,
    OPTION_BATCH,
    OPTION_CREATE,
    OPTION_DRY_RUN,
    OPTION_NO_BACKUP,
    OPTION_RESUME,
    OPTION_RESTART,
    OPTION_NO_SPACE_CHECK,
};

static const struct option own[] = {
    {"to", required_argument, NULL, OPTION_TO},
    {"table", required_argument, NULL, OPTION_TABLE},
    {"map", required_argument, NULL, OPTION_MAP},
    {"convert", required_argument, NULL, OPTION_CONVERT},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"uuid", required_argument, NULL, OPTION_UUID},
    {"existing", required_argument, NULL, OPTION_EXISTING},
    {"batch-size", required_argument, NULL, OPTION_BATCH},
    {"create", no_argument, NULL, OPTION_CREATE},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"no-backup", no_argument, NULL, OPTION_NO_BACKUP},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {"restart", no_argument, NULL, OPTION_RESTART},
    {"no-space-check", no_argument, NULL, OPTION_NO_SPACE_CHECK},
    {0},
};

enum { LISTED = 20 };

struct screen {
    struct ctl *ctl;
    struct bar bar;
    bool began;
};

/* --- while it runs ---------------------------------------------------------------------------- */

static void end_bar(struct screen *s)
{
    if (s->began)
        bar_end(&s->bar);
}

static void print_safely(struct screen *s, const char *text)
{
    _cleanup_buf_ struct buf safe = {0};

    end_bar(s);
    format_safe(&safe, text);
    if (buf_ok(&safe))
        fprintf(stderr, "%s\n", safe.data ? safe.data : "");
}

/* On stderr, so that the report can be piped. */
static void say(void *arg, const char *sentence)
{
    struct screen *s = arg;

    if (!s->ctl->quiet && !s->ctl->json)
        print_safely(s, sentence);
}

static void refused(void *arg, const char *sentence)
{
    struct screen *s = arg;

    if (s->ctl->verbose)
        print_safely(s, sentence);
}

/* Statements, so that they can be taken from stdout and changed. */
static void ddl(void *arg, const char *sql)
{
    struct screen *s = arg;

    if (!s->ctl->quiet && !s->ctl->json)
        fputs(sql, stdout);
}

/* How many records there are nobody knows: as many as the bytes that are left hold at this rate. */
static void progress(void *arg, int64_t records, int64_t bytes, int64_t total)
{
    struct screen *s = arg;

    if (!s->began)
        s->bar = bar_make(s->ctl, "import", "records", NULL, 0);
    s->began = true;
    s->bar.total =
        bytes > 0 && total > bytes ? (int64_t)((double)records * (double)total / (double)bytes) : 0;
    bar_update(&s->bar, records, 0, clock_monotonic());
}

/* --- interruption ----------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

/* A second one ends it at once; it goes on by --resume from there as well. */
static void on_signal(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

static bool stop(void *arg)
{
    (void)arg;
    return interrupted;
}

static void take_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signal(signals[i], on_signal) == SIG_IGN)
            signal(signals[i], SIG_IGN); /* nohup */
    signal(SIGXFSZ, SIG_IGN);            /* a file that may not grow is an error like any other */
}

/* --- what was asked for ----------------------------------------------------------------------- */

static void add(struct import_list *list, const char *text)
{
    const char **more = realloc(list->items, (list->count + 1) * sizeof *more);

    if (!more)
        abort();
    list->items = more;
    more[list->count++] = text;
}

static int take_uuid(const struct ctl *ctl, struct import_request *q, char *text)
{
    size_t n = strlen(text);

    if (strcmp(text, "uuid4") == 0) {
        q->uuid = UUID_RANDOM;
        return 0;
    }
    q->uuid = UUID_NAMED;
    if (strcmp(text, "uuid5") == 0)
        return 0;
    if (strncmp(text, "uuid5(", 6) != 0 || text[n - 1] != ')' || n < 8)
        return ctl_usage(ctl, "--uuid takes uuid4, uuid5 or uuid5(NAMESPACE:NAME), not \"%s\"",
                         text);
    text[n - 1] = '\0';
    q->uuid_space = text + 6;
    return 0;
}

static int take_existing(const struct ctl *ctl, struct import_request *q, const char *text)
{
    static const char *const names[] = {"refuse", "skip", "update"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], text) == 0) {
            q->existing = (enum import_existing)i;
            return 0;
        }
    return ctl_usage(ctl, "--existing takes refuse, skip or update, not \"%s\"", text);
}

static int take_batch(const struct ctl *ctl, struct import_request *q, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (!*text || *end || n < 1 || n > 1000000)
        return ctl_usage(ctl, "--batch-size takes a number from 1 to 1000000, not \"%s\"", text);
    q->batch = n;
    return 0;
}

static int take_format(const struct ctl *ctl, struct import_request *q, const char *text)
{
    q->format = detect_known_name(text);
    return q->format ? 0
                     : ctl_usage(ctl,
                                 "--format takes array, keyed, lines, mongo or dynamodb, not "
                                 "\"%s\"",
                                 text);
}

static bool take_flag(struct import_request *q, int option)
{
    switch (option) {
    case OPTION_CREATE:
        q->create = true;
        return true;
    case OPTION_DRY_RUN:
        q->dry_run = true;
        return true;
    case OPTION_NO_BACKUP:
        q->backup = false;
        return true;
    case OPTION_RESUME:
        q->resume = true;
        return true;
    case OPTION_RESTART:
        q->restart = true;
        return true;
    case OPTION_NO_SPACE_CHECK:
        q->space_check = false;
        return true;
    default:
        return false;
    }
}

static int take_option(const struct ctl *ctl, struct import_request *q, int option)
{
    switch (option) {
    case OPTION_TO:
        q->database = optarg;
        return 0;
    case OPTION_TABLE:
        add(&q->tables, optarg);
        return 0;
    case OPTION_MAP:
        add(&q->maps, optarg);
        return 0;
    case OPTION_CONVERT:
        add(&q->conversions, optarg);
        return 0;
    case OPTION_FORMAT:
        return take_format(ctl, q, optarg);
    case OPTION_UUID:
        return take_uuid(ctl, q, optarg);
    case OPTION_EXISTING:
        return take_existing(ctl, q, optarg);
    case OPTION_BATCH:
        return take_batch(ctl, q, optarg);
    default:
        take_flag(q, option);
        return 0;
    }
}

static bool take_options(struct ctl *ctl, int argc, char **argv, struct import_request *q,
                         int *exit_code)
{
    int o;

    while ((o = ctl_option(ctl, argc, argv, own, exit_code)) != -1) {
        if (o == CTL_STOP || (*exit_code = take_option(ctl, q, o)) != 0)
            return false;
    }
    if (!q->database)
        q->database = ctl->request.database;
    for (int i = optind; i < argc; i++)
        add(&q->paths, argv[i]);
    if (!q->database)
        *exit_code = ctl_usage(ctl, "say into which database: --to DATABASE");
    else if (!q->paths.count)
        *exit_code = ctl_usage(ctl, "say what is to be imported: FILE or DIR");
    else if (q->resume && q->restart)
        *exit_code = ctl_usage(ctl, "--resume and --restart exclude each other");
    else if (q->dry_run && (q->resume || q->restart))
        *exit_code = ctl_usage(ctl, "--dry-run begins at the beginning, and leaves nothing to "
                                    "--resume");
    else
        return true;
    return false;
}

/* --- the report ------------------------------------------------------------------------------- */

static void print_tables(struct page *p, const json_t *tables)
{
    static const struct column columns[] = {{"TABLE", false, 40},
                                            {"RECORDS", true, 0},
                                            {"IMPORTED", true, 0},
                                            {"THERE ALREADY", true, 0},
                                            {"REFUSED", true, 0}};
    _cleanup_grid_ struct grid g = {.columns = columns, .column_count = 5, .limit = PAGE_COLUMNS};
    size_t i;
    json_t *t;

    json_array_foreach(tables, i, t)
    {
        int64_t no = field_count(t, "refused");
        grid_add(&g, no ? TONE_BAD : TONE_GOOD, field_text(t, "table"));
        grid_add_count(&g, TONE_PLAIN, field_count(t, "read"));
        grid_add_count(&g, TONE_PLAIN, field_count(t, "imported"));
        grid_add_count(&g, TONE_PLAIN, field_count(t, "unchanged") + field_count(t, "skipped"));
        grid_add_count(&g, no ? TONE_BAD : TONE_PLAIN, no);
    }
    grid_print(&g, p);
}

static void print_left_out(struct page *p, const json_t *tables)
{
    const char *name;
    size_t i;
    json_t *t, *n;

    json_array_foreach(tables, i, t)
    {
        json_object_foreach(json_object_get(t, "fields_left_out"), name, n)
        {
            page_line(
                p, TONE_MILD,
                "field \"%s\" of %lld records has no column in %s (--map %s=COLUMN; --map %s= "
                "when that is meant)",
                name, (long long)json_integer_value(n), field_text(t, "table"), name, name);
        }
    }
}

static void print_refusals(struct page *p, const json_t *report, bool all)
{
    int64_t in_all = field_count(report, "refused");
    size_t i;
    json_t *o;

    json_array_foreach(json_object_get(report, "refusals"), i, o)
    {
        if (i == LISTED && !all)
            break;
        if (field_count(o, "line"))
            page_line(p, TONE_BAD, "  %s:%lld: %s", field_text(o, "file"),
                      (long long)field_count(o, "line"), field_text(o, "reason"));
        else
            page_line(p, TONE_BAD, "  %s: %s", field_text(o, "file"), field_text(o, "reason"));
    }
    if (in_all > (int64_t)i)
        page_line(p, TONE_DIM, "  and %lld more%s", (long long)(in_all - (int64_t)i),
                  all ? "" : " (--verbose, --json)");
}

static void print_rate(struct page *p, const json_t *report)
{
    int64_t read = 0, good = 0, refused_ones = field_count(report, "refused");
    size_t i;
    json_t *t;

    json_array_foreach(json_object_get(report, "tables"), i, t)
    {
        read += field_count(t, "read");
        good +=
            field_count(t, "imported") + field_count(t, "unchanged") + field_count(t, "skipped");
    }
    /* Never 100 % while something is missing. */
    int64_t permille = read ? good * 1000 / read : refused_ones ? 0 : 1000;
    page_line(p, refused_ones ? TONE_BAD : TONE_STRONG, "%s%lld of %lld records, %lld.%lld %%",
              field_true(report, "dry_run") ? "dry run, rolled back: " : "imported: ",
              (long long)good, (long long)read, (long long)permille / 10, (long long)permille % 10);
}

static int print_report(const struct ctl *ctl, const json_t *report)
{
    _cleanup_page_ struct page p = ctl_page(ctl);

    print_tables(&p, json_object_get(report, "tables"));
    print_left_out(&p, json_object_get(report, "tables"));
    print_refusals(&p, report, ctl->verbose);
    print_rate(&p, report);
    return ctl_print(&p.out);
}

static int tell(struct ctl *ctl, const json_t *report)
{
    int r = CTL_DONE;

    if (ctl->json) {
        _cleanup_buf_ struct buf out = {0};
        char *text = json_dumps(report, JSON_INDENT(2));
        buf_puts(&out, text ? text : "");
        free(text);
        r = ctl_print_json(&out);
    } else if (!ctl->quiet || !field_true(report, "clean")) {
        r = print_report(ctl, report);
    }
    return r == CTL_DONE && !field_true(report, "clean") ? CTL_FAILURES : r;
}

static void free_lists(struct import_request *q)
{
    free(q->paths.items);
    free(q->tables.items);
    free(q->maps.items);
    free(q->conversions.items);
}

int cmd_import(struct ctl *ctl, int argc, char **argv)
{
    struct screen screen = {.ctl = ctl};
    const struct import_ui ui = {.arg = &screen,
                                 .say = say,
                                 .refused = refused,
                                 .ddl = ddl,
                                 .progress = progress,
                                 .stop = stop};
    struct import_request q = {
        .batch = IMPORT_BATCH, .backup = true, .space_check = true, .ui = &ui};
    json_t *report = NULL;
    struct err err;
    int exit_code = CTL_DONE;

    if (!take_options(ctl, argc, argv, &q, &exit_code)) {
        free_lists(&q);
        return exit_code;
    }
    int r = owner_become(q.database, &err);
    take_signals();
    if (r == 0)
        r = job_import(&q, &report, &err);
    end_bar(&screen);
    exit_code = r < 0 ? ctl_fail(r, &err) : tell(ctl, report);
    exit_code = r == -EINTR ? CTL_FAILURES : exit_code;
    json_decref(report);
    free_lists(&q);
    return exit_code;
}
