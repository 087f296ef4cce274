#include "ctl/migrate.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/bar.h"
#include "ctl/verify.h"
#include "jobs/local.h"
#include "jobs/owner.h"

enum {
    OPT_DRY_RUN = CTL_OPTION,
    OPT_BACKUP,
    OPT_YES,
    OPT_ADOPT,
    OPT_NO_VERIFY,
    OPT_BATCH_SIZE,
    OPT_RESUME,
    OPT_SQLITE_PATH,
    OPT_DYNAMODB_REGION,
    OPT_ORPHANS,
};

static const struct option own[] = {
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"backup", optional_argument, NULL, OPT_BACKUP},
    {"yes", no_argument, NULL, OPT_YES},
    {"adopt", no_argument, NULL, OPT_ADOPT},
    {"no-verify", no_argument, NULL, OPT_NO_VERIFY},
    {"batch-size", required_argument, NULL, OPT_BATCH_SIZE},
    {"resume", no_argument, NULL, OPT_RESUME},
    {"sqlite-path", required_argument, NULL, OPT_SQLITE_PATH},
    {"dynamodb-region", required_argument, NULL, OPT_DYNAMODB_REGION},
    {"orphans", required_argument, NULL, OPT_ORPHANS},
    {0}};

/* --- interruption ----------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
    (void)signum;
    interrupted = 1;
}

bool migrate_interrupted(void)
{
    return interrupted;
}

/* A daemon of our own is stopped cleanly whatever comes. */
static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction catch = {.sa_handler = on_signal};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &catch, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit is a full disk, which is said */
}

/* --- options ---------------------------------------------------------------------------------- */

static int take_batch_size(struct migrate *m, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || end == text || n < 1 || n > 10000)
        return ctl_usage(m->ctl, "--batch-size %s is not a number from 1 to 25", text);
    if (n > 25)
        fprintf(stderr, "syncctl: a request holds 25 items at most, and so does --batch-size\n");
    m->batch_size = n > 25 ? 25 : n;
    return CTL_DONE;
}

/* As if [source] said so: for the look at the rows, and for the daemon that is started. */
static int take_orphans(struct migrate *m, const char *text)
{
    static const char *const settings[][2] = {{"source.orphans=report", NULL},
                                              {"source.orphans=skip", NULL},
                                              {"source.orphans=dead-letter", NULL}};

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (strcmp(strchr(settings[i][0], '=') + 1, text) == 0) {
            m->ctl->request.settings = settings[i];
            m->orphans_said = true;
            return CTL_DONE;
        }
    return ctl_usage(m->ctl, "--orphans takes report, skip or dead-letter, not \"%s\"", text);
}

static int take_option(struct migrate *m, int o)
{
    switch (o) {
    case OPT_DRY_RUN:
        m->dry_run = true;
        break;
    case OPT_BACKUP:
        m->backup = true;
        m->backup_file = optarg;
        break;
    case OPT_YES:
        m->yes = true;
        break;
    case OPT_ADOPT:
        m->adopt = true;
        break;
    case OPT_NO_VERIFY:
        m->no_verify = true;
        break;
    case OPT_BATCH_SIZE:
        return take_batch_size(m, optarg);
    case OPT_ORPHANS:
        return take_orphans(m, optarg);
    case OPT_SQLITE_PATH:
        m->ctl->request.database = optarg;
        break;
    case OPT_DYNAMODB_REGION:
        m->ctl->request.region = optarg;
        break;
    default: /* --resume: it always does */
        break;
    }
    return CTL_DONE;
}

static int take_options(struct migrate *m, int argc, char **argv, bool *stop)
{
    int o, r = CTL_DONE;

    *stop = true;
    while ((o = ctl_option(m->ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        if ((r = take_option(m, o)) != CTL_DONE)
            return r;
    }
    if (optind < argc)
        return ctl_usage(m->ctl,
                         "migrate takes no operand (%s); a backup's name is said as "
                         "--backup=FILE",
                         argv[optind]);
    *stop = false;
    return CTL_DONE;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* As whom, and with which state file. */
static int prepare(struct migrate *m)
{
    struct err err;
    int r = ctl_config(m->ctl, &m->config, &err);

    if (r == 0)
        r = own_daemon_state(m->config, !m->dry_run, &m->state_path, &err);
    if (r == 0 && owner_become(m->config->database, &err) < 0)
        r = -EIO;
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

static bool on_pages(void *arg, int64_t done, int64_t total)
{
    struct bar *bar = arg;

    bar->total = total;
    bar_update(bar, done, 0, clock_monotonic());
    return !migrate_interrupted();
}

static int back_up(struct migrate *m)
{
    struct bar bar = bar_make(m->ctl, "backup", "pages", NULL, 0);
    struct err err;
    int r;

    if (!m->backup)
        return CTL_DONE;
    if (m->backup_file)
        buf_puts(&m->backup_name, m->backup_file);
    if (!buf_ok(&m->backup_name))
        return ctl_print(&m->backup_name);
    if (m->backup_file)
        r = backup_run(m->config->database, m->backup_file, on_pages, &bar, &m->backed_up, &err);
    else
        r = backup_run_beside(m->config->database, &m->backup_name, on_pages, &bar, &m->backed_up,
                              &err);
    bar_end(&bar);
    if (r < 0)
        return r == -EINTR ? (ctl_fail(r, &err), CTL_FAILURES) : ctl_fail(r, &err);
    if (!m->ctl->json)
        ctl_say(m->ctl, "backup   %s: %lld rows of %lld tables, checked", m->backup_name.data,
                (long long)m->backed_up.rows, (long long)m->backed_up.tables);
    return CTL_DONE;
}

/* As create-tables does, which says what it makes. */
static int make_tables(struct migrate *m)
{
    bool silent = m->ctl->json || m->ctl->quiet;
    FILE *out = silent ? fopen("/dev/null", "we") : stdout;
    struct err err;

    if (!out) {
        fputs("syncctl: /dev/null cannot be opened\n", stderr);
        return CTL_UNREACHABLE;
    }
    int r = job_create_tables(m->config, false, out, &err);
    if (silent)
        fclose(out);
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

static int agree(struct migrate *m)
{
    int r = CTL_DONE;

    if (m->ctl->json && !m->yes)
        return ctl_usage(m->ctl, "with --json nothing is asked: say --yes or --dry-run");
    return ctl_confirm(m->ctl, m->yes, &r, "\nSend %lld rows to DynamoDB in %s",
                       (long long)m->survey.rows, m->endpoint.region)
               ? CTL_DONE
               : r;
}

static int between_steps(void)
{
    if (!migrate_interrupted())
        return CTL_DONE;
    fputs("syncctl: interrupted; run this again, and it goes on where it stopped\n", stderr);
    return CTL_FAILURES;
}

/* By what `syncctl verify` does. The move is done by then: a Ctrl-C ends us as it does anybody, and
 * our daemon with us. */
static int verify(struct migrate *m)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    int r = ctl_verify(m->ctl, m->config, &m->not_verified);
    catch_signals();
    m->verified = r == CTL_DONE && !m->not_verified.len && buf_ok(&m->not_verified);
    return r;
}

/* Load, compare, and let go of the daemon in any case. */
static int move(struct migrate *m)
{
    struct err err;
    int r = migrate_load(m);

    if (r == CTL_DONE && migrate_read_letters(m, &err) < 0)
        fprintf(stderr, "syncctl: %s\n", err.text); /* their number is known */
    if (r == CTL_DONE && !m->no_verify)
        r = verify(m);
    int left = migrate_leave(m);
    return r == CTL_DONE ? left : r;
}

static int run(struct migrate *m)
{
    int r = prepare(m);

    if (r == CTL_DONE)
        r = migrate_check(m);
    if (r == CTL_DONE && !m->ctl->json && !m->ctl->quiet)
        r = migrate_print_plan(m);
    if (r != CTL_DONE || m->dry_run)
        return r;
    if ((r = agree(m)) != CTL_DONE || (r = back_up(m)) != CTL_DONE ||
        (r = between_steps()) != CTL_DONE || (r = make_tables(m)) != CTL_DONE ||
        (r = between_steps()) != CTL_DONE)
        return r;
    r = move(m);
    return r == CTL_DONE && !m->ctl->json && !m->ctl->quiet ? migrate_print_result(m) : r;
}

static void clear(struct migrate *m)
{
    struct err err;

    own_daemon_stop(&m->own, &err);
    for (size_t i = 0; i < m->letter_count; i++) {
        free(m->letters[i].table);
        free(m->letters[i].reason);
        for (size_t k = 0; k < SURVEY_KEYS; k++)
            free(m->letters[i].keys[k]);
    }
    free(m->letters);
    free(m->targets.list);
    survey_free(&m->survey);
    orphans_close(&m->orphans);
    if (m->planned)
        plan_list_free(&m->plans);
    source_close(m->source);
    buf_free(&m->state_path);
    buf_free(&m->backup_name);
    buf_free(&m->not_verified);
}

int cmd_migrate(struct ctl *ctl, int argc, char **argv)
{
    struct migrate m = {.ctl = ctl, .own = {.log = -1, .lock = -1}};
    bool stop;
    int r = take_options(&m, argc, argv, &stop);

    if (stop)
        return r;
    catch_signals();
    m.began = clock_monotonic();
    r = run(&m);
    if (ctl->json && r == CTL_DONE)
        r = migrate_print_json(&m);
    if (r == CTL_DONE)
        r = migrate_exit_code(&m);
    clear(&m);
    return r;
}
