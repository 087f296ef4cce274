#include <errno.h>

#include "ctl/ctl.h"

int cmd_reload(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_buf_ struct buf body = {0}, text = {0};
    struct err err;
    size_t i;
    json_t *key;
    int r;

    if (!ctl_no_operands(ctl, argc, argv, &r))
        return r;
    if ((r = ctl_call(ctl, "POST", "/v1/reload", &body)) != CTL_DONE)
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
