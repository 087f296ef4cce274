#include <inttypes.h>

#include "ctl/ctl.h"

int cmd_pause(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"for", required_argument, NULL, CTL_OPTION}, {0}};
    _cleanup_buf_ struct buf body = {0}, target = {0}, span = {0};
    int64_t seconds = 0;
    bool limited = false;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        if (!ctl_seconds(ctl, "--for", optarg, &seconds))
            return CTL_USAGE;
        limited = true;
    }
    if (optind < argc)
        return ctl_usage(ctl, "pause takes no operand (%s)", argv[optind]);
    buf_puts(&target, "/v1/pause");
    if (limited)
        buf_printf(&target, "?for=%" PRId64, seconds);
    format_span(&span, (double)seconds);
    if (!buf_ok(&target) || !buf_ok(&span))
        return ctl_print(&target);
    if ((r = ctl_call(ctl, "POST", target.data, &body)) != CTL_DONE)
        return r;
    if (ctl->json)
        return ctl_print_json(&body);
    json_auto_t *root = json_loads(body.data, 0, NULL);
    const json_t *durable = json_object_get(root, "durable");
    if (durable && !json_is_true(durable))
        ctl_say(ctl,
                "the state file cannot be written now, so the pause may not outlive a restart");
    if (limited)
        ctl_say(ctl, "paused for %s; changes are still captured", span.data);
    else
        ctl_say(ctl, "paused until syncctl resume; changes are still captured");
    return CTL_DONE;
}

int cmd_resume(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_buf_ struct buf body = {0};
    int r;

    if (!ctl_no_operands(ctl, argc, argv, &r))
        return r;
    if ((r = ctl_call(ctl, "POST", "/v1/resume", &body)) != CTL_DONE)
        return r;
    if (ctl->json)
        return ctl_print_json(&body);
    ctl_say(ctl, "sending again");
    return CTL_DONE;
}
