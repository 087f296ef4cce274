#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/either.h"
#include "dynamodb/same.h"
#include "jobs/compare.h"
#include "jobs/diff.h"

enum { NAMES = 16 };

struct standing {
    bool daemon, pending, unconfirmed;
};

/* What the daemon has to say of the item. */
static int ask_daemon(struct ctl *ctl, const struct diff *d, struct standing *out, struct err *err)
{
    _cleanup_buf_ struct buf target = {0}, body = {0};
    int status, r = either_daemon(ctl, &out->daemon, err);

    if (r < 0 || !out->daemon || !d->key.len)
        return r;
    buf_puts(&target, "/v1/items?table=");
    client_escape(&target, d->table);
    buf_puts(&target, "&key=");
    hex_append(&target, d->key.data, d->key.len);
    if (!buf_ok(&target))
        return err_set(err, -ENOMEM, "out of memory");
    r = ctl_ask(ctl, "GET", target.data, 30 * USEC_PER_SEC, &status, &body, err);
    /* A daemon of another configuration has no such table: it knows nothing of the item. */
    if (r < 0 || status != 200) {
        out->daemon = r == 0 && status == 404 ? false : out->daemon;
        return r < 0 ? r : status == 404 ? 0 : ctl_check_status(status, &body, err);
    }
    json_auto_t *root = ctl_parse(&body, err);
    const json_t *item = json_array_get(json_object_get(root, "items"), 0);
    out->pending = field_true(item, "pending");
    out->unconfirmed = field_true(item, "unconfirmed");
    return root ? 0 : -EIO;
}

static const char *pending_text(const struct diff *d, const struct standing *s)
{
    if (s->pending)
        return "a write is on its way";
    if (d->journaled)
        return s->daemon ? "a change is in the journal, perhaps sent already"
                         : "a change waits in the journal; no daemon runs";
    if (s->unconfirmed)
        return "no, but unconfirmed: an older write may yet be carried out";
    return s->daemon ? "no" : "no; no daemon runs";
}

static void add_json(struct page *p, const char *label, const json_t *v, const char *nothing)
{
    char *text = v ? json_dumps(v, JSON_PRESERVE_ORDER) : NULL;

    page_label(p, label);
    if (text)
        page_put_safe(p, TONE_PLAIN, text);
    else
        page_put(p, TONE_MILD, nothing);
    page_put(p, TONE_PLAIN, "\n");
    free(text);
}

static void add_differences(struct page *p, const struct diff *d)
{
    const char *names[NAMES];
    size_t n = item_differences(d->should, d->is, names, NAMES);

    for (size_t i = 0; i < n && i < NAMES; i++) {
        _cleanup_buf_ struct buf line = {0};
        buf_printf(&line, "%s is ", names[i]);
        attribute_describe(&line, json_object_get(d->is, names[i]));
        buf_lit(&line, ", should be ");
        attribute_describe(&line, json_object_get(d->should, names[i]));
        page_label(p, "");
        page_put_safe(p, TONE_BAD, line.data ? line.data : "");
        page_put(p, TONE_PLAIN, "\n");
    }
}

static bool is_equal(const struct diff *d)
{
    if (!d->should || !d->is)
        return !d->should && !d->is && !d->fault[0];
    return compared_same(d->is, d->should);
}

static int print_page(struct ctl *ctl, const struct diff *d, const struct standing *s)
{
    _cleanup_page_ struct page page = ctl_page(ctl);

    page_put_safe(&page, TONE_STRONG, d->table);
    page_put(&page, TONE_STRONG, " ");
    page_put_safe(&page, TONE_STRONG, d->key_text ? d->key_text : "?");
    page_put(&page, TONE_PLAIN, " -> ");
    page_put_safe(&page, TONE_PLAIN, d->target);
    page_put(&page, TONE_PLAIN, "\n");
    add_json(&page, "row", d->row, d->fault[0] ? "cannot be read" : "there is none");
    add_json(&page, "should be", d->should, d->fault[0] ? d->fault : "no item");
    add_json(&page, "is", d->is,
             d->key.len ? "no item" : "not known: without the row its key is not");
    page_label(&page, "pending");
    page_put(&page, TONE_PLAIN, pending_text(d, s));
    page_put(&page, TONE_PLAIN, "\n");
    page_label(&page, "verdict");
    if (is_equal(d))
        page_put(&page, TONE_GOOD, "equal\n");
    else
        page_put(&page, TONE_BAD, d->fault[0] ? "no item can be made of the row\n" : "different\n");
    if (d->should && d->is)
        add_differences(&page, d);
    return ctl_print(&page.out);
}

static json_t *or_null(json_t *v)
{
    return v ? json_incref(v) : json_null();
}

static json_t *names_json(const struct diff *d)
{
    const char *names[NAMES];
    json_t *list = json_array();
    size_t n = d->should && d->is ? item_differences(d->should, d->is, names, NAMES) : 0;

    for (size_t i = 0; i < n && i < NAMES; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

static int print_json(const struct diff *d, const struct standing *s)
{
    json_t *o = json_object();

    json_object_set_new(o, "table", json_string(d->table));
    json_object_set_new(o, "target", json_string(d->target));
    json_object_set_new(o, "key", json_string(d->key_text ? d->key_text : ""));
    json_object_set_new(o, "row", or_null(d->row));
    json_object_set_new(o, "should", or_null(d->should));
    json_object_set_new(o, "fault", d->fault[0] ? json_string(d->fault) : json_null());
    json_object_set_new(o, "is", or_null(d->is));
    json_object_set_new(o, "in_journal", json_boolean(d->journaled));
    json_object_set_new(o, "pending", s->daemon ? json_boolean(s->pending) : json_null());
    json_object_set_new(o, "unconfirmed", s->daemon ? json_boolean(s->unconfirmed) : json_null());
    json_object_set_new(o, "equal", json_boolean(is_equal(d)));
    json_object_set_new(o, "differing", names_json(d));
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
    return CTL_DONE;
}

int cmd_diff(struct ctl *ctl, int argc, char **argv)
{
    struct standing standing = {.daemon = false};
    const struct config *config;
    struct diff d = {0};
    struct err err;
    int r;

    if (ctl_option(ctl, argc, argv, NULL, &r) == CTL_STOP)
        return r;
    if (argc - optind != 2)
        return ctl_usage(ctl, "name a table and a key, such as id=7");
    r = ctl_config_as_owner(ctl, &config, &err);
    if (r == 0)
        r = job_diff(config, argv[optind], argv[optind + 1], &d, &err);
    if (r == 0)
        r = ask_daemon(ctl, &d, &standing, &err);
    if (r < 0)
        r = ctl_fail(r, &err);
    else if ((r = ctl->json ? print_json(&d, &standing) : print_page(ctl, &d, &standing)) ==
             CTL_DONE)
        r = is_equal(&d) ? CTL_DONE : CTL_FAILURES;
    diff_free(&d);
    return r;
}
