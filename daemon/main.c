/* syncd: keeps DynamoDB tables equal to the tables of a SQLite database. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include <sqlite3.h>

#include "daemon.h"
#include "jobs/local.h"
#include "jobs/owner.h"

enum { EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };
enum { MAX_SETTINGS = 64 };

static const char help[] =
    "usage: syncd [--config FILE] [--set SECTION.KEY=VALUE] [--check] [--log-level LEVEL]\n"
    "\n"
    "Keeps DynamoDB tables equal to the tables of a SQLite database: watches the database, sends\n"
    "what changes. Stays in the foreground; ask it with syncctl.\n"
    "\n"
    "  --config FILE      configuration (default " SYNCD_SYSCONFDIR "/syncd/syncd.conf)\n"
    "  --set SECTION.KEY=VALUE\n"
    "                     a setting that stands above the configuration, such as\n"
    "                     control.socket=/tmp/s; may be given again (a list: one element each)\n"
    "  --check            read configuration and database, print the mapping, exit 0 or 2\n"
    "  --log-level LEVEL  error, warning, info or debug; stands above the configuration\n"
    "  --version          print the version\n"
    "  --help             print this\n"
    "\n"
    "SIGTERM stops it cleanly, SIGHUP reads the configuration again.\n";

struct arguments {
    const char *config, *log_level;
    const char *settings[MAX_SETTINGS + 2]; /* the level's after them; ends with NULL */
    char level[32];
    size_t setting_count;
    bool check;
};

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"set", required_argument, NULL, 's'},
        {"check", no_argument, NULL, 'k'},
        {"log-level", required_argument, NULL, 'l'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            a->config = optarg;
            break;
        case 's':
            if (a->setting_count == MAX_SETTINGS) {
                fprintf(stderr, "syncd: --set was given more than %d times\n", MAX_SETTINGS);
                return EXIT_USAGE;
            }
            a->settings[a->setting_count++] = optarg;
            break;
        case 'k':
            a->check = true;
            break;
        case 'l':
            a->log_level = optarg;
            break;
        case 'V':
            puts("syncd " SYNCD_VERSION);
            return 0;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "syncd: \"%s\" is no option; see syncd --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

/* --log-level becomes a setting, so that it outlives a reload. */
static int take_level(struct arguments *a, struct err *err)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};

    if (!a->log_level)
        return 0;
    for (int i = 0; i < 4; i++)
        if (strcmp(levels[i], a->log_level) == 0) {
            snprintf(a->level, sizeof a->level, "log.level=%s", levels[i]);
            a->settings[a->setting_count++] = a->level;
            return 0;
        }
    return err_set(err, -EINVAL, "--log-level takes error, warning, info or debug, not \"%s\"",
                   a->log_level);
}

static int fail(const struct err *err, int code)
{
    fprintf(stderr, "syncd: %s\n", err->text);
    return code;
}

static int check(struct config *c)
{
    struct err err = {0};
    int rc = owner_become(c->database, &err);

    if (rc == 0)
        rc = job_check(c, stdout, false, &err);
    config_free(c);
    return rc < 0 ? fail(&err, EXIT_USAGE) : 0;
}

static int run(struct daemon *d)
{
    struct err err = {0};

    /* Credentials are in memory: no core of it, and no look into it by other processes of this
     * user, which is the application's. */
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is a full disk, which is said and waited out */
    notify_setup();
    /* Nobody asks SQLite how much memory it uses, and counting takes a lock at every allocation. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int rc = daemon_run(d, &err);
    if (rc == 0)
        return 0;
    /* A wrong user or a missing region will not go away by starting again. What a job of syncctl
     * locks for a moment will. */
    return fail(&err, rc == -EINVAL || rc == -EADDRINUSE ? EXIT_USAGE : EXIT_UNREACHABLE);
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    static struct arguments a; /* the settings are read again by a reload */
    struct err err = {0};
    int code = parse(argc, argv, &a);

    if (code >= 0)
        return code;
    daemon.request.file = a.config;
    daemon.request.settings = a.settings;
    if (take_level(&a, &err) < 0 || config_load(&daemon.request, &daemon.config, &err) < 0 ||
        config_export_environment(daemon.config, &err) < 0)
        return fail(&err, EXIT_USAGE);
    if (a.check)
        return check(daemon.config);
    log_setup((enum log_level)daemon.config->log_level, (enum log_format)daemon.config->log_format);
    return run(&daemon);
}
