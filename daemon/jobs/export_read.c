#include "jobs/export_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "jobs/restore_internal.h"
#include "jobs/scanner.h"
#include "jobs/table_facts.h"

static enum attr_type type_of(const json_t *description, const char *name)
{
    const json_t *attributes = json_object_get(description, "AttributeDefinitions");

    for (size_t i = 0; name && i < json_array_size(attributes); i++) {
        const json_t *a = json_array_get(attributes, i);
        const char *n = json_string_value(json_object_get(a, "AttributeName"));
        const char *t = json_string_value(json_object_get(a, "AttributeType"));
        if (n && t && strcmp(n, name) == 0)
            return *t == 'N' ? ATTR_N : *t == 'B' ? ATTR_B : ATTR_S;
    }
    return ATTR_S;
}

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
        out->schema.parts[hash ? 0 : 1].type = type_of(description, name);
    }
    out->schema.parts[0].name = out->partition_key;
    out->schema.parts[1].name = out->sort_key;
    out->schema.count = *out->sort_key ? 2 : 1;
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
    json_t *later; /* keys of items in pieces, as JSON */
    int64_t *done, total;
    double units;
    bool over;
    int rc;
    struct err *err;
};

/* The key of an item, as JSON. */
static int keep_for_later(struct reading *r, const json_t *item)
{
    const struct key_schema *k = &r->source->schema;
    json_auto_t *key = json_object();
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < k->count; i++)
        rc = json_object_set(key, k->parts[i].name, json_object_get(item, k->parts[i].name));
    char *text = rc == 0 ? json_dumps(key, JSON_COMPACT) : NULL;
    if (!text || json_array_append_new(r->later, json_string(text)) < 0)
        rc = err_set(r->err, -ENOMEM, "out of memory");
    free(text);
    return rc;
}

static int take_item(struct reading *r, json_t *item)
{
    json_auto_t *whole = NULL;
    struct err why;
    int part = restore_whole(item, &whole, &why);

    switch (part) {
    case RESTORE_WHOLE:
        ++*r->done;
        return r->fn(r->arg, r->source, whole, r->err);
    case RESTORE_LATER:
        return keep_for_later(r, item);
    case RESTORE_PART:
        return 0;
    case RESTORE_DAMAGED: /* what is left of it */
        ++*r->done;
        return r->fn(r->arg, r->source, item, r->err);
    default:
        return err_set(r->err, part, "out of memory");
    }
}

/* Once the scan is over: what is in pieces. */
static int take_later(struct connection *x, struct reading *r)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < json_array_size(r->later); i++) {
        json_auto_t *whole = NULL;
        const char *key = json_string_value(json_array_get(r->later, i));
        int part = restore_fetch(x, r->source->table, &r->source->schema, key, &whole, r->err);
        if (part == RESTORE_DAMAGED)
            return err_prefix(r->err, -EIO, "item %.200s of table %s", key, r->source->table);
        if (part < 0)
            return part;
        if (part == RESTORE_WHOLE) {
            ++*r->done;
            rc = r->fn(r->arg, r->source, whole, r->err);
        }
    }
    return rc;
}

static void got_page(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                     double consumed)
{
    struct reading *r = arg;
    const struct export_ui *ui = r->order->ui;

    (void)segment;
    (void)last_key;
    r->units += consumed;
    for (size_t i = 0; r->rc == 0 && i < json_array_size(items); i++)
        r->rc = take_item(r, json_array_get(items, i));
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
    struct reading r = {.order = o,
                        .source = s,
                        .fn = fn,
                        .arg = arg,
                        .later = json_array(),
                        .done = done,
                        .total = total,
                        .err = err};

    r.scanner = r.later ? scanner_start(x, &so, got_page, ended, &r) : NULL;
    if (!r.scanner)
        r.rc = err_set(err, -ENOMEM, "out of memory");
    while (r.scanner && !r.over)
        uv_run(&x->loop, UV_RUN_ONCE);
    if (r.rc == 0)
        r.rc = take_later(x, &r);
    json_decref(r.later);
    return r.rc;
}
