#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "ctl/either.h"
#include "jobs/local.h"

int cmd_attach(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"adopt", no_argument, NULL, CTL_OPTION}, {0}};
    _cleanup_buf_ struct buf body = {0};
    bool adopt = false;
    struct err err;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        adopt = true;
    }
    if (optind < argc)
        return ctl_usage(ctl, "attach takes no operand (%s)", argv[optind]);
    r = either_do(ctl, adopt ? "/v1/attach?adopt=1" : "/v1/attach", adopt ? job_adopt : job_attach,
                  &body, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    if (ctl->json && body.len)
        return ctl_print_json(&body);
    ctl_say(ctl, "attached: changes are captured, and what was missed is compared");
    return CTL_DONE;
}

static const int kept_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

#define SIGNAL_COUNT (sizeof kept_signals / sizeof kept_signals[0])

/* The command belongs to our process group, so that a terminal's signals reach it; we must live on
 * to attach. */
static void ignore_signals(struct sigaction before[SIGNAL_COUNT])
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        sigaction(kept_signals[i], &ignore, &before[i]);
}

static void restore_signals(const struct sigaction before[SIGNAL_COUNT])
{
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        sigaction(kept_signals[i], &before[i], NULL);
}

/* The exit code as a shell gives it: the command's, 128 + signal, 126 or 127 when it did not start.
 */
static int run_command(char **argv, const struct sigaction before[SIGNAL_COUNT])
{
    int status;

    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "syncctl: %s cannot be started: %s\n", argv[0], strerror(errno));
        return 126;
    }
    if (pid == 0) {
        restore_signals(before);
        execvp(argv[0], argv);
        int code = errno == ENOENT ? 127 : 126;
        fprintf(stderr, "syncctl: %s cannot be started: %s\n", argv[0], strerror(errno));
        _exit(code);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 126;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int detach_around(struct ctl *ctl, char **command)
{
    _cleanup_buf_ struct buf body = {0};
    struct sigaction before[SIGNAL_COUNT];
    struct err err;

    ignore_signals(before);
    int r = either_do(ctl, "/v1/detach", job_detach, &body, &err);
    if (r < 0) {
        err_prefix(&err, r, "%s was not run", command[0]);
        return ctl_fail(r, &err);
    }
    int exit_code = run_command(command, before);
    buf_clear(&body);
    r = either_do(ctl, "/v1/attach", job_attach, &body, &err);
    if (r < 0) {
        err_prefix(&err, r,
                   "STILL DETACHED after %s (exit code %d): changes are not captured until "
                   "\"syncctl attach\" succeeds",
                   command[0], exit_code);
        ctl_fail(r, &err);
        return CTL_UNREACHABLE;
    }
    return exit_code;
}

int cmd_detach(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_buf_ struct buf body = {0};
    struct err err;
    int r;

    if (ctl_option(ctl, argc, argv, NULL, &r) == CTL_STOP)
        return r;
    if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
        return ctl_usage(ctl, "a command to run stands after --: detach -- %s", argv[optind]);
    if (optind < argc)
        return detach_around(ctl, argv + optind);
    r = either_do(ctl, "/v1/detach", job_detach, &body, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    if (ctl->json && body.len)
        return ctl_print_json(&body);
    ctl_say(ctl, "detached: changes are not captured until syncctl attach, which finds them");
    return CTL_DONE;
}
