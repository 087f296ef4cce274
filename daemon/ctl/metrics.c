#include "ctl/ctl.h"

int cmd_metrics(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_buf_ struct buf body = {0};
    int r;

    if (!ctl_no_operands(ctl, argc, argv, &r))
        return r;
    r = ctl_call(ctl, "GET", "/metrics", &body);
    return r == CTL_DONE ? ctl_print(&body) : r;
}
