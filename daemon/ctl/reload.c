#include "ctl/ctl.h"

int cmd_reload(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_buf_ struct buf text = {0};
    size_t i;
    json_t *key;
    int r;

    json_auto_t *root = ctl_answer(ctl, argc, argv, "POST", "/v1/reload", &r);
    if (!root)
        return r;
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
