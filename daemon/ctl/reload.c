#include <errno.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

enum { OPT_APPLY = CTL_OPTION };

int cmd_reload(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"apply", no_argument, NULL, OPT_APPLY}, {0}};
    _cleanup_buf_ struct buf text = {0}, body = {0};
    bool apply = false;
    struct err err;
    size_t i;
    json_t *key;
    int o, r = CTL_DONE;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        apply |= o == OPT_APPLY;
    }
    if (optind < argc)
        return ctl_usage(ctl, "reload takes no operand (%s)", argv[optind]);
    r = ctl_call(ctl, "POST", apply ? "/v1/reload?apply=1" : "/v1/reload", &body);
    if (r != CTL_DONE)
        return r;
    if (ctl->json)
        return ctl_print_json(&body);
    json_auto_t *root = ctl_parse(&body, &err);
    if (!root)
        return ctl_fail(-EIO, &err);
    json_array_foreach(json_object_get(root, "changed"), i, key)
    {
        buf_puts(&text, i ? ", " : "");
        format_safe(&text, json_is_string(key) ? json_string_value(key) : "");
    }
    if (!buf_ok(&text))
        return ctl_print(&text);
    if (text.len)
        ctl_say(ctl, "reloaded: %s", text.data);
    else
        ctl_say(ctl, "reloaded: nothing has changed");
    return CTL_DONE;
}
