#include "ctl/either.h"
#include "jobs/local.h"

static int uninstall(const struct config *c, struct err *err)
{
    return job_uninstall(c, false, err);
}

static int uninstall_all(const struct config *c, struct err *err)
{
    return job_uninstall(c, true, err);
}

int cmd_uninstall(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"all", no_argument, NULL, CTL_OPTION}, {0}};
    _cleanup_buf_ struct buf body = {0};
    bool all = false;
    struct err err;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        all = true;
    }
    if (optind < argc)
        return ctl_usage(ctl, "uninstall takes no operand (%s)", argv[optind]);
    r = either_do(ctl, all ? "/v1/uninstall?all=1" : "/v1/uninstall",
                  all ? uninstall_all : uninstall, &body, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    if (ctl->json && body.len)
        return ctl_print_json(&body);
    ctl_say(ctl, "uninstalled: the database holds nothing of syncd any more");
    return CTL_DONE;
}
