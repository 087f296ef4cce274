/* What every command of syncctl works with: the options, the configuration, the daemon's answers,
 * and the exit codes.
 *
 * A command is one row of the table in main.c and one small file. It prints its own errors, one
 * sentence on stderr, and returns the exit code. */
#ifndef SYNCD_CTL_CTL_H
#define SYNCD_CTL_CTL_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "ctl/page.h"

/* health alone has its own: ok, warning, critical, unknown. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILURES = 1,    /* done, or not done, with what it says */
    CTL_USAGE = 2,       /* usage or configuration */
    CTL_UNREACHABLE = 3, /* the daemon, the database or DynamoDB */
};

struct command;

struct ctl {
    struct config_request request;
    bool json, no_color, quiet, verbose;
    const struct command *command; /* NULL while the options before it are read */
    struct config *config;         /* once asked for */
    struct buf socket;             /* once asked for */
};

struct command {
    const char *name;
    const char *group;
    const char *usage; /* arguments, "" for none */
    const char *summary;
    const char *help; /* more lines, "" for none */
    bool needs_daemon;
    int (*run)(struct ctl *ctl, int argc, char **argv); /* argv[0] is the command */
};

/* Options: getopt_long(3) with the global ones, which may stand on both sides of the command, taken
 * care of. Returns the value of one of `own` (NULL: none; values from CTL_OPTION up), -1 at the end
 * (operands start at optind), or CTL_STOP when help or a complaint was printed: then return
 * *exit_code. */
enum { CTL_OPTION = 256, CTL_STOP = 1000 };
int ctl_option(struct ctl *ctl, int argc, char **argv, const struct option *own, int *exit_code);
/* For commands that take neither options nor operands: true to go on. */
bool ctl_no_operands(struct ctl *ctl, int argc, char **argv, int *exit_code);

/* Print a sentence on stderr; returns the code to exit with: -EINVAL is CTL_USAGE, all else
 * CTL_UNREACHABLE. */
int ctl_fail(int code, const struct err *err);
int ctl_usage(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Say what was done, unless --quiet. */
void ctl_say(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Print what was gathered; returns CTL_DONE or, without memory, CTL_UNREACHABLE. */
int ctl_print(const struct buf *text);
/* The API's JSON, unchanged, and a newline. */
int ctl_print_json(const struct buf *body);
struct page ctl_page(const struct ctl *ctl);

/* The configuration, loaded once and kept in ctl. -EINVAL with a sentence when there is none. */
int ctl_config(struct ctl *ctl, const struct config **out, struct err *err);
/* And be its database's owner from then on (jobs/owner.h). -EIO with a sentence when that fails. */
int ctl_config_as_owner(struct ctl *ctl, const struct config **out, struct err *err);
/* Take a duration such as 60s; whole seconds, rounded up. false with a complaint printed. */
bool ctl_seconds(const struct ctl *ctl, const char *option, const char *text, int64_t *out);

/* Ask the daemon. Any HTTP status is an answer. Else -EINVAL (the socket's path cannot be found
 * out), -ECONNREFUSED (no daemon), -EACCES, -ETIMEDOUT, -EIO. */
int ctl_ask(struct ctl *ctl, const char *method, const char *target, usec timeout, int *status,
            struct buf *body, struct err *err);
/* 0 when `status` is a success; else the daemon's own sentence and -EINVAL (4xx) or -EIO. */
int ctl_check_status(int status, const struct buf *body, struct err *err);
/* Both, and the answer parsed: to be json_decref'd (json_auto_t), or NULL with a sentence and *rc.
 */
json_t *ctl_ask_json(struct ctl *ctl, const char *method, const char *target, usec timeout, int *rc,
                     struct err *err);
/* Likewise, and the sentence printed: CTL_DONE with the body, or the code to exit with. */
int ctl_call(struct ctl *ctl, const char *method, const char *target, struct buf *body);
/* An object, to be json_decref'd (json_auto_t), or NULL with a sentence. */
json_t *ctl_parse(const struct buf *body, struct err *err);
/* For a command without options and operands: ask, and take the answer apart. The object, or NULL
 * when nothing more is to be done (a complaint, or the JSON itself, was printed): then return
 * *exit_code. */
json_t *ctl_answer(struct ctl *ctl, int argc, char **argv, const char *method, const char *target,
                   int *exit_code);

/* Fields that may be missing or null. */
const char *field_text(const json_t *object, const char *key); /* "" */
int64_t field_count(const json_t *object, const char *key);    /* 0 */
double field_number(const json_t *object, const char *key);    /* NaN */
bool field_true(const json_t *object, const char *key);        /* false */

int cmd_status(struct ctl *ctl, int argc, char **argv);
int cmd_health(struct ctl *ctl, int argc, char **argv);
int cmd_tables(struct ctl *ctl, int argc, char **argv);
int cmd_metrics(struct ctl *ctl, int argc, char **argv);
int cmd_wait(struct ctl *ctl, int argc, char **argv);
int cmd_pause(struct ctl *ctl, int argc, char **argv);
int cmd_resume(struct ctl *ctl, int argc, char **argv);
int cmd_reload(struct ctl *ctl, int argc, char **argv);
int cmd_check(struct ctl *ctl, int argc, char **argv);
int cmd_attach(struct ctl *ctl, int argc, char **argv);
int cmd_detach(struct ctl *ctl, int argc, char **argv);
int cmd_uninstall(struct ctl *ctl, int argc, char **argv);
int cmd_setup(struct ctl *ctl, int argc, char **argv);
int cmd_doctor(struct ctl *ctl, int argc, char **argv);
int cmd_iam_policy(struct ctl *ctl, int argc, char **argv);
int cmd_migrate(struct ctl *ctl, int argc, char **argv);
int cmd_create_tables(struct ctl *ctl, int argc, char **argv);
int cmd_purge(struct ctl *ctl, int argc, char **argv);
int cmd_dead_letters(struct ctl *ctl, int argc, char **argv);
int cmd_handover(struct ctl *ctl, int argc, char **argv);
int cmd_approve(struct ctl *ctl, int argc, char **argv);
int cmd_import(struct ctl *ctl, int argc, char **argv);
int cmd_restore(struct ctl *ctl, int argc, char **argv);
int cmd_export(struct ctl *ctl, int argc, char **argv);
int cmd_diff(struct ctl *ctl, int argc, char **argv);
int cmd_verify(struct ctl *ctl, int argc, char **argv);
int cmd_resync(struct ctl *ctl, int argc, char **argv);

void ctl_command_help(const struct command *command);
void ctl_program_help(void);

#endif
