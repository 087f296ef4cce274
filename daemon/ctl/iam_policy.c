#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "jobs/iam_policy.h"

enum { OPT_FOR = CTL_OPTION, OPT_ACCOUNT };

static bool account_valid(const char *text)
{
    return strcmp(text, "*") == 0 || (strlen(text) == 12 && strspn(text, "0123456789") == 12);
}

int cmd_iam_policy(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"for", required_argument, NULL, OPT_FOR},
                                        {"account", required_argument, NULL, OPT_ACCOUNT},
                                        {0}};
    _cleanup_buf_ struct buf policy = {0};
    unsigned purposes = 1u << POLICY_DAEMON;
    const struct config *config;
    const char *account = "*", *unknown;
    struct err err, note;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        if (o == OPT_ACCOUNT)
            account = optarg;
        else if ((unknown = policy_purposes_find(optarg, &purposes)) != NULL)
            return ctl_usage(ctl,
                             "--for %.*s is none of daemon, tables, verify, restore, purge, "
                             "export and migrate",
                             (int)strcspn(unknown, ","), unknown);
    }
    if (optind < argc)
        return ctl_usage(ctl, "iam-policy takes no operand (%s)", argv[optind]);
    if (!account_valid(account))
        return ctl_usage(ctl, "--account %s is no account: 12 digits", account);
    /* What is exported has to do with no database. */
    if (purposes == 1u << POLICY_EXPORT && !ctl->request.database)
        ctl->request.database = "/nonexistent/export";
    r = ctl_config(ctl, &config, &err);
    if (r == 0)
        r = job_iam_policy(config, purposes, account, &policy, &note, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    if (note.text[0])
        fprintf(stderr, "syncctl: %s\n", note.text);
    return ctl_print(&policy);
}
