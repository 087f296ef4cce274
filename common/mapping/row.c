#include "mapping/row.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "mapping/convert.h"

/* A row in the making. Bytes in `store` move while it grows, so that until the end they are known
 * by where they begin. */
struct maker {
    const struct table_plan *plan;
    struct value *row;
    struct buf *store;
    size_t *stored; /* by column: where its bytes begin in `store`; SIZE_MAX: not there */
    struct item_fault *fault;
};

static int fail(struct maker *m, size_t column, const char *type)
{
    const struct plan_column *c = &m->plan->columns[column];

    *m->fault = (struct item_fault){.column = c->name, .code = "not_ours"};
    snprintf(m->fault->text, sizeof m->fault->text,
             "the attribute \"%.80s\" is of type %.8s, which no value of the column becomes",
             c->attribute, type);
    return -EINVAL;
}

/* One attribute: {"S":"…"}. */
static int take_attribute(struct maker *m, size_t column, const struct conversion *convert,
                          const json_t *attribute)
{
    const struct plan_column *c = &m->plan->columns[column];
    const char *type = json_object_iter_key(json_object_iter((json_t *)attribute));
    const json_t *v = type ? json_object_get(attribute, type) : NULL;
    bool null = type && strcmp(type, "NULL") == 0 && json_is_true(v);
    size_t at = m->store->len;

    if (!type || json_object_size(attribute) != 1)
        return fail(m, column, "none");
    /* JSON's null is a value, unless NULL is written in the same way. */
    if (null && (convert->kind != CONVERT_JSON || m->plan->write_null))
        return 0;
    int rc = convert_back(convert, c->affinity, type, v, &m->row[column], m->store);
    if (rc == -EINVAL)
        return fail(m, column, type);
    const struct value *got = &m->row[column];
    bool bytes = got->kind == VALUE_TEXT || got->kind == VALUE_BLOB;
    if (rc == 0 && bytes && !got->bytes)
        m->stored[column] = at;
    return rc;
}

static int take_column(struct maker *m, size_t i, const json_t *item)
{
    static const struct conversion none;
    const struct plan_column *c = &m->plan->columns[i];
    const json_t *kept = c->kept ? json_object_get(item, c->kept) : NULL;
    const json_t *attribute = json_object_get(item, c->attribute);

    if (kept)
        return take_attribute(m, i, &none, kept);
    return attribute ? take_attribute(m, i, &c->convert, attribute) : 0;
}

int row_from_item(const struct table_plan *p, const json_t *item, struct value *row,
                  struct buf *store, struct item_fault *fault)
{
    _cleanup_free_ size_t *stored = calloc(p->column_count ? p->column_count : 1, sizeof *stored);
    struct maker m = {p, row, store, stored, fault};
    int rc = stored ? 0 : -ENOMEM;

    buf_clear(store);
    for (size_t i = 0; rc == 0 && i < p->column_count; i++) {
        row[i] = (struct value){.kind = VALUE_NULL};
        stored[i] = SIZE_MAX;
        rc = take_column(&m, i, item);
    }
    if (rc < 0)
        return rc;
    if (!buf_ok(store))
        return -ENOMEM;
    for (size_t i = 0; i < p->column_count; i++)
        if (stored[i] != SIZE_MAX)
            row[i].bytes = store->data ? store->data + stored[i] : "";
    return 0;
}

const char *plan_column_loss(const struct table_plan *p, const char *column)
{
    const struct plan_column *c = NULL;

    for (size_t i = 0; !c && i < p->column_count; i++)
        if (strcasecmp(p->columns[i].name, column) == 0)
            c = &p->columns[i];
    if (!c)
        return "it is excluded";
    const char *loss = conversion_loss(&c->convert, c->affinity, c->strict);
    if (c->kept)
        loss = conversion_loss(&(struct conversion){.kind = CONVERT_NONE}, c->affinity, c->strict);
    if (!loss && c->fallback && !c->not_null && !c->kept)
        loss = "NULL comes back as its default";
    return loss;
}

bool row_expired(const struct table_plan *p, const json_t *item, int64_t now)
{
    const json_t *ttl = p->ttl_attribute ? json_object_get(item, p->ttl_attribute) : NULL;
    const char *text = json_string_value(json_object_get(ttl, "N"));

    return text && strtod(text, NULL) < (double)now;
}
