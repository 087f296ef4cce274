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
    {"verify", ROWS, "[--repair] [--delete-extra] [--sample N] [--rate UNITS] [TABLE...]",
     "compare every item and attribute in DynamoDB with its row",
     "Reads DynamoDB consistently; the application may write meanwhile. Exits 0 when both sides\n"
     "are equal, 1 when not, with what is missing, extra or different.\n"
     "  --repair          hand what is missing or different to the daemon, to be sent again\n"
     "  --delete-extra    hand over extra items, too: those that are ours are deleted\n"
     "  --sample N        only N random rows, and about N random items, of each table\n"
     "  --rate UNITS      read units a second at most\n",
     false, cmd_verify},
    {"diff", ROWS, "TABLE KEY", "one row, the item it should be, and the item that is",
     "Says whether a change of it is on its way, too. Exits 0 when both are equal, 1 when not.\n"
     "KEY names each column of the row's key: id=7, or a=1,b='x, y'; x'0aff' is a blob. The value\n"
     "of a single column may stand alone: 7.\n",
     false, cmd_diff},
    {"resync", ROWS, "TABLE... | --all [--full]",
     "compare with what was sent and send the differences",
     "  --all     every mirrored table\n"
     "  --full    send every row, whatever was sent before\n",
     true, cmd_resync},
    {"approve", ROWS, "", "let held comparisons delete what they would",
     "A comparison that would delete more than hold_deletes of a table waits for this; so do a\n"
     "database that is not the one we knew, and DynamoDB tables of another database.\n",
     true, cmd_approve},
    {"restore", ROWS, "--to FILE [--force] [--drill] [TABLE...]",
     "make a SQLite database of what is in DynamoDB",
     "Needs credentials, a region and the meta table; no daemon and no configuration. The schema "
     "is\n"
     "the one that the daemon kept there last. Interrupted at any moment, the same command goes "
     "on.\n"
     "Exits 1 when some row or index could not come back, and names it.\n"
     "  --to FILE           the database to make; FILE.partial until it is whole\n"
     "  --force             replace FILE, once the new one is whole\n"
     "  --drill             into a temporary file that is removed; compares with the live "
     "database\n"
     "                      of the configuration, if there is one\n"
     "  --database-id ID    which, where the meta table holds several\n"
     "  --meta-table NAME   the configuration's, or syncd-meta, when not given\n"
     "  --segments N        parts of a table that are read at once, 4 when not given\n"
     "  --rate N            at most so many read units a second\n"
     "  TABLE...            the rows of these tables alone\n",
     false, cmd_restore},
    {"import", ROWS, "FILE|DIR... --to DATABASE [--table TABLE] [--create] [--dry-run]",
     "put records of JSON files into a SQLite database",
     "Reads JSON arrays, objects keyed by id, JSON Lines, mongoexport's Extended JSON and "
     "DynamoDB's\n"
     "exports, plain or gzip, told by their content. A file goes into the table of its name; "
     "SQLite\n"
     "judges each record, and what it refuses is listed with file, line and reason (exit status "
     "1).\n"
     "The database is backed up first; the application and the daemon may go on meanwhile.\n"
     "  --to DATABASE            the database (or --database)\n"
     "  --table [PATTERN=]TABLE  the table of all files, or of those whose name fits\n"
     "  --map FIELD=COLUMN       where a field goes (TABLE:FIELD=COLUMN: of one table); "
     "author.name\n"
     "                           reaches into objects; FIELD= leaves it out on purpose\n"
     "  --convert COLUMN=HOW     (or TABLE:COLUMN=HOW) bool, timestamp, epoch, json, string, "
     "number,\n"
     "                           uuid5(NAMESPACE:NAME), binary, as in syncd.conf(5); base64: "
     "bytes\n"
     "                           of such text\n"
     "  --format FORMAT          array, keyed, lines, mongo or dynamodb\n"
     "  --create                 make tables that are missing, of what the files hold; print them\n"
     "  --uuid uuid4|uuid5       keys for records without one: random, or made of the record's _id "
     "or\n"
     "                           of all of it, the same each time; uuid5(NAMESPACE:NAME)\n"
     "  --existing HOW           a row that has the key already, and differs: refuse (when not\n"
     "                           said), skip, or update\n"
     "  --dry-run                do everything in one transaction, and roll it back\n"
     "  --no-backup              do not copy the database first (to DATABASE-TIME.backup)\n"
     "  --resume                 go on behind the last record of an import that was interrupted\n"
     "  --restart                forget that one, and begin anew\n"
     "  --batch-size N           records of a transaction at most, 1000 when not given\n"
     "  --no-space-check         begin even if the disk seems too small\n",
     false, cmd_import},
    {"export", ROWS, "[--from TABLE...] --to URI|FILE [--all] [--dry-run] [--verify]",
     "take items of any DynamoDB table to PostgreSQL or a file",
     "What becomes of the items is said by the [export \"NAME\"] sections of the configuration\n"
     "(syncd.conf(5)); without one, whole items go into a file. Every item is looked at before\n"
     "anything moves. What cannot move is listed and left, and the rest goes on; run again, it\n"
     "comes to the same. Needs credentials and a region; no daemon and no SQLite database. Exits 1 "
     "when\n"
     "something did not move or differs.\n"
     "  --from TABLE...     the DynamoDB tables; those of all sections when not given\n"
     "  --to URI            postgresql://USER@HOST/DATABASE; passwords best by PGPASSFILE or a\n"
     "                      service file: postgresql:///?service=NAME\n"
     "  --to FILE           a file that ends in .jsonl or .csv; {table} in its name is each\n"
     "                      table's\n"
     "  --create-tables     make the tables in PostgreSQL that are not there\n"
     "  --migrate           move the records (also when none of these is said)\n"
     "  --all               both\n"
     "  --verify            read every row back and compare it with its item; alone or afterwards\n"
     "  --dry-run           look at every item, show what would be, and change nothing\n"
     "  --force             replace FILE\n"
     "  --typed             whole items as DynamoDB's typed JSON, whatever the sections say\n"
     "  --segments N        parts of a table that are read at once, 4 when not given\n"
     "  --rate N            at most so many read units a second\n"
     "  --batch-size N      rows in a transaction, 5000 when not given\n"
     "  --timeout DURATION  how long PostgreSQL may say nothing before it is given up, 2m when "
     "not\n"
     "                      given\n",
     false, cmd_export},
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
    {"migrate", SETUP, "[--dry-run] [--backup[=FILE]] [--yes]",
     "the whole first move: check, create tables, load, verify",
     "Looks first: database, credentials, tables, every row; shows what it comes to, in time and\n"
     "money, and which rows would be left; asks; makes the tables; puts the triggers in; sends\n"
     "every row; compares every attribute. Interrupted, it goes on when it is run again; done, it\n"
     "does nothing twice. A running daemon does the work, else one for the time of the move.\n"
     "  --dry-run             look and show, change nothing anywhere\n"
     "  --backup[=FILE]       first copy the database (DATABASE-TIME.backup when not named)\n"
     "  --yes                 do not ask\n"
     "  --adopt               also into tables that hold items which are not ours\n"
     "  --no-verify           do not compare at the end (it reads every item)\n"
     "  --batch-size N        items in a request, 1 to 25\n"
     "  --orphans=WHAT        what becomes of rows whose foreign key names a row that is not "
     "there:\n"
     "                        report (sent, and told), skip (left out, and told) or dead-letter,\n"
     "                        instead of what [source] orphans says\n"
     "  --resume              go on after an interruption (it always does)\n"
     "  --sqlite-path PATH    as --database\n"
     "  --dynamodb-region R   as --region\n",
     false, cmd_migrate},
    {"create-tables", SETUP,
     "[--dry-run | --format FORMAT | --update | --force [--yes]] [TABLE...]",
     "make the DynamoDB tables that the mapping needs",
     "Each with its key, indexes, TTL, tags, protection and backups as configured, one after the\n"
     "other, until it is ACTIVE. A table that is there is compared, and nothing of it is changed;\n"
     "exits 1 when one differs. With TABLE (SQLite names) those alone.\n"
     "  --dry-run        print the requests, one a line, and send none\n"
     "  --format FORMAT  print a template instead: cloudformation, or terraform (for a .tf.json)\n"
     "  --update         add what is missing to tables that are there: indexes, TTL, tags,\n"
     "                   deletion protection, point-in-time recovery\n"
     "  --force          delete tables that are there, with everything in them, and make them\n"
     "                   anew; asks for the name of each\n"
     "  --yes            do not ask\n",
     false, cmd_create_tables},
    {"iam-policy", SETUP, "[--for PURPOSE[,PURPOSE...]] [--account ID]",
     "print the least-privilege IAM policy for this configuration",
     "Exact actions on the exact tables of the configuration and the schema.\n"
     "  --for PURPOSE    daemon (when not given): syncd; tables: create-tables; verify, restore:\n"
     "                   reading every item; purge: also create-tables --force; export: of\n"
     "                   the tables of [export] sections; migrate: daemon, tables and verify\n"
     "                   together. Of several all that they need\n"
     "  --account ID     the account in the ARNs, 12 digits; any when not given\n",
     false, cmd_iam_policy},
    {"purge", SETUP, "[--delete-tables] [--yes] [TABLE...]",
     "remove our items from DynamoDB, and never others",
     "Looks through the DynamoDB tables, says what is ours in them and what is not, asks, and\n"
     "deletes what is ours: what was sent from here, and items whose keys a template of ours "
     "makes.\n"
     "The rows stay in the database. No daemon may run meanwhile. With TABLE (SQLite names) what\n"
     "these have sent.\n"
     "  --delete-tables  delete the DynamoDB tables themselves, unless they hold other items\n"
     "  --yes            do not ask\n",
     false, cmd_purge},
    {"attach", SETUP, "[--adopt]", "put triggers and journal in, and heal what was missed",
     "  --adopt  also of a database that is held: it is mirrored as one of its own; and into\n"
     "           DynamoDB tables that are held because they hold items of others, which stay, or\n"
     "           belong to another database\n",
     false, cmd_attach},
    {"detach", SETUP, "[-- COMMAND...]", "take the triggers out until attached again",
     "With a COMMAND: take them out, run it, and attach again whatever happens; exits as the\n"
     "command did. For migrations that no trigger may meet.\n",
     false, cmd_detach},
    {"handover", SETUP, "[--timeout 30m] [--no-verify] | --undo [--yes]",
     "let others write DynamoDB from now on, and never overwrite them",
     "Waits until all is in DynamoDB and confirmed, compares both sides as verify does, takes the\n"
     "triggers out of the database, and marks the tables as handed over: here and in meta_table, "
     "so\n"
     "that no syncd writes there any more, not even one with a new state file or on another host.\n"
     "  --timeout DURATION    wait no longer; 30m when not given\n"
     "  --no-verify           do not compare: it costs read units, and its rights\n"
     "  --undo                take the tables back: what others wrote there since is overwritten\n"
     "                        by the rows of the database\n"
     "  --yes                 do not ask\n",
     true, cmd_handover},
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
