/* syncctl: asks syncd how it is and runs the jobs around it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "base/text.h"
#include "ctl/ctl.h"

#define SEE   "See how it is"
#define STEER "Steer the daemon"
#define ROWS  "Rows"
#define SETUP "Put in and take out"

/* In the order of the help. */
static const struct command commands[] = {
    {"status", SEE, "[--watch]", "a page about the daemon, its source, target and tables",
     "  --watch    again every second, until Ctrl-C\n", true, cmd_status},
    {"health", SEE, "", "one line; exits 0 ok, 1 warning, 2 critical, 3 unknown",
     "The exit codes are those of monitoring plugins.\n", true, cmd_health},
    {"tables", SEE, "", "one row a table: target, pending, written, deleted, state",
     "With --json the whole status is printed; the tables are its \"tables\".\n", true, cmd_tables},
    {"metrics", SEE, "", "numbers as Prometheus text", "", true, cmd_metrics},
    {"wait", STEER, "[--timeout 60s]", "until all that is committed is in DynamoDB",
     "Returns 0 once every change committed before the call, and any unfinished load, is in\n"
     "DynamoDB or a dead letter; 1 when the time is over, or at once when that cannot happen\n"
     "(paused, parked), naming it. Unconfirmed items (status) do not hold it.\n"
     "  --timeout DURATION    60s when not given\n",
     true, cmd_wait},
    {"pause", STEER, "[--for 2h]", "stop sending; capture goes on",
     "  --for DURATION    resume by itself after that\n", true, cmd_pause},
    {"resume", STEER, "", "start sending again", "", true, cmd_resume},
    {"reload", STEER, "[--apply]", "read the configuration again, as SIGHUP does",
     "  --apply    also take what changes items (keys, targets, conversions): the tables are\n"
     "             compared with what was sent, and what differs is sent\n",
     true, cmd_reload},
    {"dead-letters", ROWS, "[list | show ID | retry ID...|--all | discard ID...]",
     "rows that DynamoDB cannot hold, and what to do with them",
     "  list       all of them (also when nothing is said)\n"
     "  show ID    one, with its reason in full\n"
     "  retry      send the rows again, after the row or the configuration was mended\n"
     "  discard    forget them; DynamoDB keeps what it has\n",
     true, cmd_dead_letters},
    {"resync", ROWS, "TABLE... | --all [--full]",
     "compare with what was sent and send the differences",
     "  --all     every mirrored table\n"
     "  --full    send every row, whatever was sent before\n",
     true, cmd_resync},
    {"approve", ROWS, "", "let held comparisons delete what they would",
     "A comparison that would delete more than hold_deletes of a table waits for this.\n", true,
     cmd_approve},
    {"setup", SETUP, "NAME --database PATH [--application UNIT] [--region R]",
     "write the configuration and the unit's drop-in for a database",
     "Writes /etc/syncd/NAME.conf, with what --region, --endpoint-url and --profile say, and for\n"
     "syncd@NAME.service a drop-in that lets the daemon run as the database's owner and write in\n"
     "its directory; then says what to do next.\n"
     "  --application UNIT    the unit that writes to the database: the daemon starts before it\n"
     "                        and stops after it\n"
     "  --credentials FILE    keys in a shared credentials file that root alone may read: systemd\n"
     "                        hands it to the daemon (LoadCredential=)\n"
     "  --user USER           owner of a database that is not there yet\n"
     "  --force               replace files that are there\n"
     "  --root DIR            write below DIR instead of /\n",
     false, cmd_setup},
    {"doctor", SETUP, "", "check database, unit, credentials, tables and clock",
     "One line a check: ok, warning or failed, and what to do. Exits 1 when one failed. Run it as\n"
     "root or as the database's owner; works with and without a daemon.\n",
     false, cmd_doctor},
    {"check", SETUP, "", "read configuration and schema, print the mapping", "", false, cmd_check},
    {"create-tables", SETUP, "[--dry-run]", "make the DynamoDB tables that the mapping needs",
     "  --dry-run    only say which\n", false, cmd_create_tables},
    {"iam-policy", SETUP, "[--for daemon|tables|verify|restore] [--account ID]",
     "print the least-privilege IAM policy for this configuration",
     "Exact actions on the exact tables of the configuration and the schema.\n"
     "  --for PURPOSE    daemon (when not given): syncd; tables: create-tables; verify, restore:\n"
     "                   reading every item\n"
     "  --account ID     the account in the ARNs, 12 digits; any when not given\n",
     false, cmd_iam_policy},
    {"attach", SETUP, "[--adopt]", "put triggers and journal in, and heal what was missed",
     "  --adopt  also of a database that is held: it is mirrored as one of its own\n", false,
     cmd_attach},
    {"detach", SETUP, "[-- COMMAND...]", "take the triggers out until attached again",
     "With a COMMAND: take them out, run it, and attach again whatever happens; exits as the\n"
     "command did. For migrations that no trigger may meet.\n",
     false, cmd_detach},
    {"uninstall", SETUP, "[--all]", "remove every _syncd_ object from the database for good",
     "  --all    the daemon's own file as well\n", false, cmd_uninstall},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

void ctl_program_help(void)
{
    const char *group = "";

    fputs("usage: syncctl [OPTIONS] COMMAND ...\n", stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(group, commands[i].group) != 0)
            printf("\n%s\n", commands[i].group);
        group = commands[i].group;
        printf("  %-15s%s\n", commands[i].name, commands[i].summary);
    }
    fputs("\nOptions\n"
          "  --config FILE | --name NAME    the configuration (NAME: /etc/syncd/NAME.conf)\n"
          "  --socket PATH                  where the daemon listens, whatever it says\n"
          "  --json                         the daemon's JSON, for programs\n"
          "  --no-color                     no colours (nor in a pipe, or with NO_COLOR)\n"
          "  -q, --quiet                    do not say what was done\n"
          "  -v, --verbose                  say what is asked\n"
          "  --database PATH, --region R, --profile P, --endpoint-url URL\n"
          "                                 for one-off jobs without a configuration\n"
          "  --version, -h, --help\n"
          "\nsyncctl COMMAND --help says more about one.\n",
          stdout);
}

void ctl_command_help(const struct command *command)
{
    printf("usage: syncctl [OPTIONS] %s%s%s\n\n%s: %s%s\n", command->name,
           *command->usage ? " " : "", command->usage, command->name, command->summary,
           command->needs_daemon ? " (needs the daemon)" : "");
    if (*command->help)
        printf("\n%s", command->help);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown_command(const struct ctl *ctl, const char *name)
{
    const struct command *nearest = NULL;
    unsigned best = 4; /* further away it is no slip of the finger */

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        unsigned distance = text_distance(name, commands[i].name);
        if (distance < best) {
            best = distance;
            nearest = &commands[i];
        }
    }
    if (nearest)
        return ctl_usage(ctl, "there is no command %s, perhaps %s", name, nearest->name);
    return ctl_usage(ctl, "there is no command %s", name);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
    int exit_code = CTL_DONE;

    if (ctl_option(ctl, argc, argv, NULL, &exit_code) == CTL_STOP)
        return exit_code;
    if (optind == argc)
        return ctl_usage(ctl, "a command is missing");
    argc -= optind;
    argv += optind;
    const struct command *command = find_command(argv[0]);
    if (!command)
        return unknown_command(ctl, argv[0]);
    ctl->command = command;
    optind = 0; /* start anew, permuting */
    return command->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {0};

    curl_global_init(CURL_GLOBAL_DEFAULT);
    int exit_code = run(&ctl, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "syncctl: the output cannot be written: %s\n", strerror(errno));
        exit_code = CTL_UNREACHABLE;
    }
    config_free(ctl.config);
    buf_free(&ctl.socket);
    curl_global_cleanup();
    return exit_code;
}
