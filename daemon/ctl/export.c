#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/lists.h"
#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "ctl/export.h"
#include "jobs/export.h"
#include "jobs/scanner.h"

enum {
    OPTION_FROM = CTL_OPTION,
    OPTION_TO,
    OPTION_CREATE,
    OPTION_MIGRATE,
    OPTION_ALL,
    OPTION_DRY_RUN,
    OPTION_VERIFY,
    OPTION_FORCE,
    OPTION_TYPED,
    OPTION_SEGMENTS,
    OPTION_RATE,
    OPTION_BATCH,
    OPTION_TIMEOUT,
};
enum {
    DEFAULT_SEGMENTS = 4,
    LISTED = 20,
    LISTED_JSON = 1000,
    MAX_BATCH = 100000,
    MAX_TIMEOUT = 86400
};

static const struct option own[] = {{"from", required_argument, NULL, OPTION_FROM},
                                    {"to", required_argument, NULL, OPTION_TO},
                                    {"create-tables", no_argument, NULL, OPTION_CREATE},
                                    {"migrate", no_argument, NULL, OPTION_MIGRATE},
                                    {"all", no_argument, NULL, OPTION_ALL},
                                    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                    {"verify", no_argument, NULL, OPTION_VERIFY},
                                    {"force", no_argument, NULL, OPTION_FORCE},
                                    {"typed", no_argument, NULL, OPTION_TYPED},
                                    {"segments", required_argument, NULL, OPTION_SEGMENTS},
                                    {"rate", required_argument, NULL, OPTION_RATE},
                                    {"batch-size", required_argument, NULL, OPTION_BATCH},
                                    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                    {0}};

struct command_line {
    struct strlist from;
    char *to; /* a copy: the argument itself is blotted out */
    struct export_order order;
};

/* --- progress --------------------------------------------------------------------------------- */

struct screen {
    struct ctl *ctl;
    struct bar bar;
    char step[320];
};

/* On stderr, so that the report can be piped. */
static void say(void *arg, const char *sentence)
{
    struct screen *s = arg;

    if (!s->ctl->quiet && !s->ctl->json)
        fprintf(stderr, "%s\n", sentence);
}

static void progress(void *arg, const char *step, const char *things, int64_t done, int64_t total,
                     double units)
{
    struct screen *s = arg;
    bool read = strcmp(step, "scan") == 0;

    if (strcmp(s->step, step) != 0) {
        _cleanup_buf_ struct buf safe = {0};
        if (*s->step)
            bar_end(&s->bar);
        format_safe(&safe, step);
        snprintf(s->step, sizeof s->step, "%s", buf_ok(&safe) && safe.data ? safe.data : "");
        s->bar = bar_make(s->ctl, s->step, things, read ? "read units" : NULL, total);
    }
    bar_update(&s->bar, done, units, clock_monotonic());
}

/* --- the command line ------------------------------------------------------------------------- */

/* What is typed can be seen by everybody in the list of processes: what stands behind the scheme,
 * which may hold a password, is not left there. */
static bool take_target(struct command_line *line, char *argument)
{
    char *rest = strstr(argument, "://");

    free(line->to);
    line->to = strdup(argument);
    line->order.to = line->to;
    if (rest)
        memset(rest + 3, '*', strlen(rest + 3));
    return line->to;
}

static bool take_names(struct command_line *line, const char *names)
{
    while (*names) {
        size_t n = strcspn(names, ",");
        _cleanup_free_ char *one = strndup(names, n);
        if (!one || (n && strlist_add(&line->from, one) < 0))
            return false;
        names += n + (names[n] == ',');
    }
    return true;
}

static bool take_number(const struct ctl *ctl, const char *option, double most, double *out,
                        int *exit_code)
{
    char *end;
    double n = strtod(optarg, &end);

    if (*optarg && !*end && n >= 1 && n <= most) {
        *out = n;
        return true;
    }
    *exit_code =
        ctl_usage(ctl, "%s takes a number from 1 to %.0f, not \"%s\"", option, most, optarg);
    return false;
}

static bool take_flag(struct export_order *q, int o)
{
    switch (o) {
    case OPTION_CREATE:
        return q->create = true;
    case OPTION_MIGRATE:
        return q->migrate = true;
    case OPTION_ALL:
        return q->create = q->migrate = true;
    case OPTION_DRY_RUN:
        return q->dry_run = true;
    case OPTION_VERIFY:
        return q->verify = true;
    case OPTION_FORCE:
        return q->force = true;
    case OPTION_TYPED:
        return q->typed = true;
    default:
        return false;
    }
}

static bool take_timeout(const struct ctl *ctl, struct export_order *q, int *exit_code)
{
    int64_t seconds;

    *exit_code = CTL_USAGE;
    if (!ctl_seconds(ctl, "--timeout", optarg, &seconds))
        return false;
    if (seconds < 1 || seconds > MAX_TIMEOUT) {
        ctl_usage(ctl, "--timeout %s is not from 1s to 24h", optarg);
        return false;
    }
    q->silence = seconds * USEC_PER_SEC;
    return true;
}

static bool take_value(struct ctl *ctl, struct command_line *line, int o, int *exit_code)
{
    struct export_order *q = &line->order;
    bool taken = true;
    double n = 0;

    if (o == OPTION_FROM)
        taken = take_names(line, optarg);
    else if (o == OPTION_TO)
        taken = take_target(line, optarg);
    else if (o == OPTION_TIMEOUT)
        return take_timeout(ctl, q, exit_code);
    else if (o == OPTION_RATE)
        return take_number(ctl, "--rate", 1e9, &q->rate, exit_code);
    else if (!take_number(ctl, o == OPTION_BATCH ? "--batch-size" : "--segments",
                          o == OPTION_BATCH ? MAX_BATCH : SCANNER_MAX_SEGMENTS, &n, exit_code))
        return false;
    else if (o == OPTION_BATCH)
        q->batch = (unsigned)n;
    else
        q->segments = (unsigned)n;
    if (!taken)
        *exit_code = ctl_fail(-ENOMEM, &(struct err){"out of memory"});
    return taken;
}

static bool take_options(struct ctl *ctl, int argc, char **argv, struct command_line *line,
                         int *exit_code)
{
    struct export_order *q = &line->order;
    int o;

    while ((o = ctl_option(ctl, argc, argv, own, exit_code)) != -1) {
        if (o == CTL_STOP)
            return false;
        if (!take_flag(q, o) && !take_value(ctl, line, o, exit_code))
            return false;
    }
    for (; optind < argc; optind++)
        if (!take_names(line, argv[optind]))
            return false;
    if (!q->to) {
        *exit_code = ctl_usage(ctl, "say where to: --to postgresql://HOST/DATABASE, or a file");
        return false;
    }
    q->migrate |= !q->create && !q->verify;
    q->from = (const char *const *)line->from.items;
    q->from_count = line->from.count;
    q->listed = ctl->verbose ? SIZE_MAX / 2 : ctl->json ? LISTED_JSON : LISTED;
    return true;
}

/* The SQLite database plays no part: a configuration that names none will do, and so will none. */
static int load(struct ctl *ctl, const struct config **out, struct err *err)
{
    if (!ctl->request.database)
        ctl->request.database = "/nonexistent/export";
    return ctl_config(ctl, out, err);
}

static int run(struct ctl *ctl, const struct command_line *line)
{
    struct screen screen = {.ctl = ctl};
    const struct export_ui ui = {.arg = &screen, .say = say, .progress = progress};
    struct export_order order = line->order;
    const struct config *config;
    json_t *report = NULL;
    struct err err;
    int r = load(ctl, &config, &err);

    order.ui = &ui;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like any other */
    if (r == 0)
        r = job_export(config, &order, &report, &err);
    if (*screen.step)
        bar_end(&screen.bar);
    if (r < 0)
        return ctl_fail(r == -EEXIST ? -EINVAL : r, &err);
    r = export_report_print(ctl, &order, report);
    json_decref(report);
    return r;
}

int cmd_export(struct ctl *ctl, int argc, char **argv)
{
    struct command_line line = {
        .order = {.segments = DEFAULT_SEGMENTS, .batch = EXPORT_BATCH, .silence = EXPORT_SILENCE}};
    int r = CTL_DONE;

    if (take_options(ctl, argc, argv, &line, &r))
        r = run(ctl, &line);
    strlist_clear(&line.from);
    if (line.to)
        explicit_bzero(line.to, strlen(line.to));
    free(line.to);
    return r;
}
