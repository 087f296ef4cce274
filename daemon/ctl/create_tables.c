#include <errno.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "jobs/local.h"
#include "jobs/owner.h"

int cmd_create_tables(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"dry-run", no_argument, NULL, CTL_OPTION}, {0}};
    const struct config *config;
    bool dry_run = false;
    struct err err;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        dry_run = true;
    }
    if (optind < argc)
        return ctl_usage(ctl, "create-tables takes no operand (%s)", argv[optind]);
    r = ctl_config(ctl, &config, &err);
    if (r == 0 && owner_become(config->database, &err) < 0)
        r = -EIO;
    if (r == 0)
        r = job_create_tables(config, dry_run, stdout, &err);
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}
