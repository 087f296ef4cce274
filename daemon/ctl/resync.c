#include <errno.h>
#include <inttypes.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

enum { OPT_ALL = CTL_OPTION, OPT_FULL };

/* One request: what it covers is added to *tables. */
static int resync(struct ctl *ctl, const char *table, bool full, int64_t *tables)
{
    _cleanup_buf_ struct buf target = {0}, body = {0};
    struct err err;

    buf_puts(&target, "/v1/resync?");
    buf_puts(&target, table ? "table=" : "all=1");
    if (table)
        client_escape(&target, table);
    if (full)
        buf_puts(&target, "&full=1");
    if (!buf_ok(&target))
        return ctl_print(&target);
    int r = ctl_call(ctl, "POST", target.data, &body);
    if (r != CTL_DONE)
        return r;
    if (ctl->json)
        return ctl_print_json(&body);
    json_auto_t *root = ctl_parse(&body, &err);
    if (!root)
        return ctl_fail(-EIO, &err);
    *tables += field_count(root, "tables");
    return CTL_DONE;
}

int cmd_resync(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {
        {"all", no_argument, NULL, OPT_ALL}, {"full", no_argument, NULL, OPT_FULL}, {0}};
    bool all = false, full = false;
    int64_t tables = 0;
    int o, r = CTL_DONE;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        all |= o == OPT_ALL;
        full |= o == OPT_FULL;
    }
    if (all == (optind < argc))
        return ctl_usage(ctl, "name tables, or say --all");
    r = all ? resync(ctl, NULL, full, &tables) : CTL_DONE;
    for (int i = optind; i < argc && r == CTL_DONE; i++)
        r = resync(ctl, argv[i], full, &tables);
    if (r != CTL_DONE || ctl->json)
        return r;
    ctl_say(ctl, "%" PRId64 " table%s will be %s; syncctl wait returns when that is done", tables,
            tables == 1 ? "" : "s", full ? "sent in full" : "compared");
    return CTL_DONE;
}

int cmd_approve(struct ctl *ctl, int argc, char **argv)
{
    int r;

    json_auto_t *root = ctl_answer(ctl, argc, argv, "POST", "/v1/approve", &r);
    if (!root)
        return r;
    int64_t tables = field_count(root, "approved");
    if (tables)
        ctl_say(ctl, "%" PRId64 " table%s released", tables, tables == 1 ? " is" : "s are");
    else
        ctl_say(ctl, "nothing is held");
    return CTL_DONE;
}
