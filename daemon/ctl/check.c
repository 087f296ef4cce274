#include <errno.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "jobs/local.h"

int cmd_check(struct ctl *ctl, int argc, char **argv)
{
    const struct config *config;
    struct err err;
    int r;

    if (!ctl_no_operands(ctl, argc, argv, &r))
        return r;
    r = ctl_config_as_owner(ctl, &config, &err);
    if (r == 0)
        r = job_check(config, stdout, ctl->json, &err);
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}
