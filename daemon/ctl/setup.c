#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "jobs/setup.h"
#include "jobs/systemctl.h"

enum { APPLICATION = CTL_OPTION, CREDENTIALS, USER, FORCE, ROOT };

static bool take_options(struct ctl *ctl, int argc, char **argv, struct setup_request *r,
                         int *exit_code)
{
    static const struct option own[] = {{"application", required_argument, NULL, APPLICATION},
                                        {"credentials", required_argument, NULL, CREDENTIALS},
                                        {"user", required_argument, NULL, USER},
                                        {"force", no_argument, NULL, FORCE},
                                        {"root", required_argument, NULL, ROOT},
                                        {0}};
    int o;

    while ((o = ctl_option(ctl, argc, argv, own, exit_code)) != -1) {
        if (o == CTL_STOP)
            return false;
        if (o == FORCE)
            r->force = true;
        else
            *(o == APPLICATION   ? &r->application
              : o == CREDENTIALS ? &r->credentials
              : o == USER        ? &r->user
                                 : &r->root) = optarg;
    }
    if (optind + 1 != argc) {
        *exit_code = optind == argc
                         ? ctl_usage(ctl, "setup needs a name for the configuration, such as app")
                         : ctl_usage(ctl, "setup takes one name (%s)", argv[optind + 1]);
        return false;
    }
    r->name = argv[optind];
    r->database = ctl->request.database;
    r->region = ctl->request.region;
    r->endpoint_url = ctl->request.endpoint_url;
    r->profile = ctl->request.profile;
    return true;
}

/* An order among units is no fault when one of them does not exist, so nobody else would tell. */
static bool is_unknown(const char *unit)
{
    _cleanup_buf_ struct buf shown = {0};
    struct err ignored;

    if (systemctl_ask("show", "--property=LoadState", unit, &shown, &ignored) < 0)
        return false;
    _cleanup_free_ char *state = systemctl_property(&shown, "LoadState");
    return state && strcmp(state, "not-found") == 0;
}

static void say_next(const struct ctl *ctl, const struct setup *s, const char *name)
{
    ctl_say(ctl, "wrote %s", s->config_path.data);
    ctl_say(ctl, "wrote %s (User=%s, Group=%s, ReadWritePaths=%s)", s->drop_in_path.data,
            s->user.data, s->group.data, s->directory.data);
    if (s->uid == 0)
        ctl_say(ctl,
                "note: the database belongs to root, so the daemon will run as root; better let "
                "a user of its own have application and database");
    if (s->application.len && access("/run/systemd/system", F_OK) == 0 &&
        is_unknown(s->application.data))
        ctl_say(ctl, "note: there is no unit %s yet; the order counts once there is",
                s->application.data);
    ctl_say(ctl,
            "\nnext:\n"
            "  sudo syncctl --name %s doctor\n"
            "  sudo systemctl enable --now %.*s\n"
            "  sudo syncctl --name %s status",
            name, (int)(s->unit.len - strlen(".service")), s->unit.data, name);
}

int cmd_setup(struct ctl *ctl, int argc, char **argv)
{
    struct setup_request request = {0};
    struct setup s = {0};
    struct err err;
    int exit_code = CTL_DONE;

    if (!take_options(ctl, argc, argv, &request, &exit_code))
        return exit_code;
    if (!request.database)
        return ctl_usage(ctl, "say which database: setup %s --database PATH", request.name);
    if (!request.root && geteuid() != 0)
        return ctl_usage(ctl, "setup writes to " SYNCD_SYSCONFDIR ": run it as root (sudo)");
    int rc = setup_plan(&request, &s, &err);
    if (rc == 0)
        rc = setup_install(&s, request.force, &err);
    if (rc == 0)
        say_next(ctl, &s, request.name);
    setup_free(&s);
    /* All that can be wrong here is what was asked for, or what is there already. */
    return rc < 0 ? ctl_fail(rc == -EEXIST || rc == -ENOENT ? -EINVAL : rc, &err) : exit_code;
}
