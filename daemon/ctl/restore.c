#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "jobs/owner.h"
#include "jobs/restore.h"
#include "jobs/scanner.h"

enum {
    OPTION_TO = CTL_OPTION,
    OPTION_FORCE,
    OPTION_DRILL,
    OPTION_META,
    OPTION_ID,
    OPTION_SEGMENTS,
    OPTION_RATE
};
enum { DEFAULT_SEGMENTS = 4 };

static const struct option own[] = {{"to", required_argument, NULL, OPTION_TO},
                                    {"force", no_argument, NULL, OPTION_FORCE},
                                    {"drill", no_argument, NULL, OPTION_DRILL},
                                    {"meta-table", required_argument, NULL, OPTION_META},
                                    {"database-id", required_argument, NULL, OPTION_ID},
                                    {"segments", required_argument, NULL, OPTION_SEGMENTS},
                                    {"rate", required_argument, NULL, OPTION_RATE},
                                    {0}};

struct screen {
    struct ctl *ctl;
    struct bar bar;
    bool began;
};

/* On stderr, so that the report can be piped. */
static void say(void *arg, const char *sentence)
{
    struct screen *s = arg;
    _cleanup_buf_ struct buf safe = {0};

    if (s->ctl->quiet || s->ctl->json)
        return;
    format_safe(&safe, sentence);
    if (buf_ok(&safe))
        fprintf(stderr, "%s\n", safe.data ? safe.data : "");
}

static void progress(void *arg, int64_t done, int64_t total, double units)
{
    struct screen *s = arg;

    if (!s->began)
        s->bar = bar_make(s->ctl, "restore", "items", "read units", total);
    s->began = true;
    bar_update(&s->bar, done, units, clock_monotonic());
}

static bool take_number(const struct ctl *ctl, const char *option, const char *text, double most,
                        double *out, int *exit_code)
{
    char *end;
    double n = strtod(text, &end);

    if (*text && !*end && n >= 1 && n <= most) {
        *out = n;
        return true;
    }
    *exit_code = ctl_usage(ctl, "%s takes a number from 1 to %.0f, not \"%s\"", option, most, text);
    return false;
}

static bool take_options(struct ctl *ctl, int argc, char **argv, struct restore_request *q,
                         int *exit_code)
{
    double n;
    int o;

    while ((o = ctl_option(ctl, argc, argv, own, exit_code)) != -1) {
        switch (o) {
        case OPTION_TO:
            q->to = optarg;
            break;
        case OPTION_FORCE:
            q->force = true;
            break;
        case OPTION_DRILL:
            q->drill = true;
            break;
        case OPTION_META:
            q->meta_table = optarg;
            break;
        case OPTION_ID:
            q->database_id = optarg;
            break;
        case OPTION_SEGMENTS:
            if (!take_number(ctl, "--segments", optarg, SCANNER_MAX_SEGMENTS, &n, exit_code))
                return false;
            q->segments = (unsigned)n;
            break;
        case OPTION_RATE:
            if (!take_number(ctl, "--rate", optarg, 1e9, &n, exit_code))
                return false;
            q->rate = n;
            break;
        default:
            return false;
        }
    }
    q->tables = (const char *const *)argv + optind;
    q->table_count = (size_t)(argc - optind);
    if (q->to || q->drill)
        return true;
    *exit_code = ctl_usage(ctl, "say where the database is to go: --to FILE");
    return false;
}

/* A machine that has nothing but credentials has no configuration either: the file to be made
 * stands in for the database that one would name. */
static int load(struct ctl *ctl, const struct restore_request *q, const struct config **out,
                bool *configured, struct err *err)
{
    struct config_request *r = &ctl->request;
    bool named = r->database || r->file || r->name;

    *configured = true;
    if (named)
        return ctl_config(ctl, out, err);
    int rc = ctl_config(ctl, out, err);
    if (rc == 0 || access(SYNCD_SYSCONFDIR "/syncd/syncd.conf", F_OK) == 0)
        return rc;
    *configured = false;
    r->database = q->to ? q->to : "/nonexistent/drill";
    return ctl_config(ctl, out, err);
}

/* --- the report ------------------------------------------------------------------------------- */

static void print_table(struct page *p, const json_t *tables)
{
    static const struct column columns[] = {{"TABLE", false, 40},
                                            {"DYNAMODB TABLE", false, 40},
                                            {"ROWS", true, 0},
                                            {"FAILED", true, 0},
                                            {"ALTERED", true, 0}};
    _cleanup_grid_ struct grid g = {.columns = columns, .column_count = 5, .limit = PAGE_COLUMNS};
    size_t i;
    json_t *t;

    json_array_foreach(tables, i, t)
    {
        int64_t failed = field_count(t, "failed"), altered = field_count(t, "altered");
        enum tone tone = !field_true(t, "restored") ? TONE_DIM
                         : failed || altered        ? TONE_BAD
                                                    : TONE_GOOD;
        grid_add(&g, tone, field_text(t, "table"));
        grid_add(&g, TONE_PLAIN, field_text(t, "target"));
        grid_add_count(&g, TONE_PLAIN, field_count(t, "rows"));
        grid_add_count(&g, failed ? TONE_BAD : TONE_PLAIN, failed);
        grid_add_count(&g, altered ? TONE_BAD : TONE_PLAIN, altered);
    }
    grid_print(&g, p);
}

static void print_line(struct page *p, enum tone tone, const char *text)
{
    _cleanup_buf_ struct buf safe = {0};

    format_safe(&safe, text);
    page_put(p, tone, safe.data ? safe.data : "");
    page_put(p, TONE_PLAIN, "\n");
}

static void print_problems(struct page *p, const json_t *report)
{
    size_t i;
    json_t *o;

    json_array_foreach(json_object_get(report, "problems"), i, o)
    {
        struct err line;
        err_set(&line, 0, "  %s: %s: %s", field_text(o, "table"), field_text(o, "key"),
                field_text(o, "reason"));
        print_line(p, TONE_BAD, line.text);
    }
    json_array_foreach(json_object_get(report, "unmade"), i, o)
    {
        struct err line;
        err_set(&line, 0, "  %s", json_string_value(o));
        print_line(p, TONE_BAD, line.text);
    }
}

static void print_count(struct page *p, enum tone tone, int64_t n, const char *what)
{
    struct err line;

    if (!n)
        return;
    err_set(&line, 0, "%lld %s", (long long)n, what);
    print_line(p, tone, line.text);
}

static void print_compared(struct page *p, const json_t *c)
{
    size_t i;
    json_t *o;
    struct err line;

    if (!json_is_object(c))
        return;
    err_set(&line, 0,
            "compared with the live database, %lld rows: %lld missing, %lld extra, %lld different, "
            "%lld dead letters, %lld moved on meanwhile",
            (long long)field_count(c, "rows"), (long long)field_count(c, "missing"),
            (long long)field_count(c, "extra"), (long long)field_count(c, "different"),
            (long long)field_count(c, "dead_letters"), (long long)field_count(c, "moved"));
    print_line(p, field_true(c, "equal") ? TONE_GOOD : TONE_BAD, line.text);
    json_array_foreach(json_object_get(c, "differences"), i, o)
    {
        const char *column = field_text(o, "column");
        err_set(&line, 0, "  %s: %s: %s%s%s", field_text(o, "table"), field_text(o, "key"),
                field_text(o, "kind"), *column ? " in column " : "", column);
        print_line(p, TONE_BAD, line.text);
    }
}

static int print_report(const struct ctl *ctl, const struct restore_request *q,
                        const json_t *report)
{
    _cleanup_page_ struct page p = ctl_page(ctl);
    const char *integrity = field_text(report, "integrity"), *file = field_text(report, "file");
    bool sound = strcmp(integrity, "ok") == 0 && field_count(report, "missing") == 0;
    struct err line;

    print_table(&p, json_object_get(report, "tables"));
    print_problems(&p, report);
    print_count(&p, TONE_MILD, field_count(report, "foreign"),
                "items were left: no table of this database makes such an item");
    print_count(&p, TONE_MILD, field_count(report, "foreign_keys"),
                "rows refer to a row that is not there (PRAGMA foreign_key_check)");
    print_count(&p, TONE_BAD, field_count(report, "missing"),
                "rows are not there although they were put in");
    print_compared(&p, json_object_get(report, "compared"));
    err_set(&line, 0, "integrity check: %s", integrity);
    print_line(&p, strcmp(integrity, "ok") == 0 ? TONE_GOOD : TONE_BAD, line.text);
    if (q->drill)
        err_set(&line, 0, "drill over; its database is removed");
    else if (sound)
        err_set(&line, 0, "restored: %s", file);
    else
        err_set(&line, 0, "%s.partial is not sound and was left where it is", file);
    print_line(&p, sound ? TONE_STRONG : TONE_BAD, line.text);
    return ctl_print(&p.out);
}

static int tell(struct ctl *ctl, const struct restore_request *q, const json_t *report)
{
    int r = CTL_DONE;

    if (ctl->json) {
        _cleanup_buf_ struct buf out = {0};
        char *text = json_dumps(report, JSON_INDENT(2));
        buf_puts(&out, text ? text : "");
        free(text);
        r = ctl_print_json(&out);
    } else if (!ctl->quiet || !field_true(report, "clean")) {
        r = print_report(ctl, q, report);
    }
    return r == CTL_DONE && !field_true(report, "clean") ? CTL_FAILURES : r;
}

int cmd_restore(struct ctl *ctl, int argc, char **argv)
{
    struct screen screen = {.ctl = ctl};
    const struct restore_ui ui = {.arg = &screen, .say = say, .progress = progress};
    struct restore_request q = {.segments = DEFAULT_SEGMENTS, .ui = &ui};
    const struct config *config;
    json_t *report = NULL;
    bool configured;
    struct err err;
    int r = CTL_DONE;

    if (!take_options(ctl, argc, argv, &q, &r))
        return r;
    r = load(ctl, &q, &config, &configured, &err);
    if (r == 0 && q.drill && configured && access(config->database, F_OK) == 0) {
        q.live = config->database;
        if (owner_become(config->database, &err) < 0)
            r = -EIO;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like any other */
    if (r == 0)
        r = job_restore(config, &q, &report, &err);
    if (screen.began)
        bar_end(&screen.bar);
    if (r < 0)
        return ctl_fail(r == -EEXIST ? -EINVAL : r, &err);
    r = tell(ctl, &q, report);
    json_decref(report);
    return r;
}
