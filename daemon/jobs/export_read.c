#include "jobs/export_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "jobs/scanner.h"
#include "jobs/table_facts.h"

static void take_keys(const json_t *description, struct export_source *out)
{
    const json_t *schema = json_object_get(description, "KeySchema");

    for (size_t i = 0; i < json_array_size(schema); i++) {
        const json_t *e = json_array_get(schema, i);
        const char *name = json_string_value(json_object_get(e, "AttributeName"));
        const char *kind = json_string_value(json_object_get(e, "KeyType"));
        bool hash = kind && strcmp(kind, "HASH") == 0;
        text_copy(hash ? out->partition_key : out->sort_key, sizeof out->sort_key,
                  name ? name : "");
    }
}

int export_source_look(struct connection *x, const char *table, struct export_source *out,
                       struct err *err)
{
    struct table_answers a = {0};
    int rc = table_describe(x, table, &a, err);

    *out = (struct export_source){.table = table};
    if (rc == 0) {
        int64_t items = table_item_count(&a.facts);
        out->items = items > 0 ? items : 0;
        take_keys(a.facts.table, out);
    } else if (rc == -ENOENT) {
        rc = err_set(err, -EINVAL,
                     "there is no DynamoDB table %s in %s; see its name, the region and the "
                     "endpoint",
                     table, x->endpoint.region);
    }
    table_answers_clear(&a);
    return rc;
}

static void append_key(const char *name, const json_t *item, struct buf *out)
{
    const json_t *attribute = json_object_get(item, name);
    const char *type;
    json_t *value;

    buf_printf(out, "%s%s=", out->len ? ", " : "", name);
    json_object_foreach((json_t *)attribute, type, value) if (json_is_string(value))
        buf_append(out, json_string_value(value), json_string_length(value));
}

void export_source_key(const struct export_source *s, const json_t *item, struct buf *out)
{
    append_key(s->partition_key, item, out);
    if (*s->sort_key)
        append_key(s->sort_key, item, out);
}

struct reading {
    const struct export_order *order;
    const struct export_source *source;
    export_item_fn *fn;
    void *arg;
    struct scanner *scanner;
    int64_t *done, total;
    double units;
    bool over;
    int rc;
    struct err *err;
};

static void got_page(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                     double consumed)
{
    struct reading *r = arg;
    const struct export_ui *ui = r->order->ui;

    (void)segment;
    (void)last_key;
    r->units += consumed;
    for (size_t i = 0; r->rc == 0 && i < json_array_size(items); i++) {
        r->rc = r->fn(r->arg, r->source, json_array_get(items, i), r->err);
        ++*r->done;
    }
    ui->progress(ui->arg, "scan", "items", *r->done, r->total, r->units);
    if (r->rc < 0) {
        r->over = true;
        scanner_cancel(r->scanner);
    }
}

static void ended(void *arg, int rc, const struct err *err)
{
    struct reading *r = arg;

    r->over = true;
    r->rc = rc;
    if (rc < 0)
        *r->err = *err;
}

int export_read(struct connection *x, const struct export_order *o, const struct export_source *s,
                export_item_fn *fn, void *arg, int64_t *done, int64_t total, struct err *err)
{
    const struct scanner_options so = {.table = s->table,
                                       .segments = o->segments,
                                       .consistent = true,
                                       .read_units_per_second = o->rate};
    struct reading r = {
        .order = o, .source = s, .fn = fn, .arg = arg, .done = done, .total = total, .err = err};

    r.scanner = scanner_start(x, &so, got_page, ended, &r);
    if (!r.scanner)
        return err_set(err, -ENOMEM, "out of memory");
    while (!r.over)
        uv_run(&x->loop, UV_RUN_ONCE);
    return r.rc;
}
