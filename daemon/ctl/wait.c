#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/ctl.h"

#define DEFAULT_SECONDS 60
#define MAX_SECONDS     (INT64_C(366) * 86400)
#define GRACE           (15 * USEC_PER_SEC) /* for the answer itself, past the time asked for */

int cmd_wait(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"timeout", required_argument, NULL, CTL_OPTION}, {0}};
    _cleanup_buf_ struct buf body = {0}, target = {0};
    int64_t seconds = DEFAULT_SECONDS;
    struct err err;
    int o, r, status;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        if (!ctl_seconds(ctl, "--timeout", optarg, &seconds))
            return CTL_USAGE;
    }
    if (optind < argc)
        return ctl_usage(ctl, "wait takes no operand (%s)", argv[optind]);
    if (seconds > MAX_SECONDS)
        seconds = MAX_SECONDS;
    buf_printf(&target, "/v1/wait?timeout=%" PRId64, seconds);
    if (!buf_ok(&target))
        return ctl_print(&target);
    r = ctl_ask(ctl, "POST", target.data, seconds * USEC_PER_SEC + GRACE, &status, &body, &err);
    if (r == 0)
        r = ctl_check_status(status, &body, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    json_auto_t *root = ctl_parse(&body, &err);
    if (!root)
        return ctl_fail(-EIO, &err);
    bool done = field_true(root, "done");
    if (ctl->json && (r = ctl_print_json(&body)) != CTL_DONE)
        return r;
    if (done)
        return CTL_DONE;
    const char *reason = field_text(root, "reason");
    err_set(&err, 0, "%s", *reason ? reason : "not all of it is in DynamoDB yet");
    ctl_fail(0, &err);
    return CTL_FAILURES;
}
