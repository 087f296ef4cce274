#include "mapping/row.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text.h"
#include "mapping/number.h"

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

static int take_number(struct maker *m, size_t column, const json_t *v)
{
    _cleanup_buf_ struct buf canonical = {0};

    if (number_canonical(&canonical, json_string_value(v), json_string_length(v)) < 0)
        return fail(m, column, "N");
    if (!buf_ok(&canonical))
        return -ENOMEM;
    value_from_number(canonical.data, m->plan->columns[column].affinity, &m->row[column]);
    return 0;
}

static int take_bytes(struct maker *m, size_t column, const json_t *v)
{
    size_t at = m->store->len;

    if (base64_decode(m->store, json_string_value(v), json_string_length(v)) < 0)
        return fail(m, column, "B");
    m->stored[column] = at;
    m->row[column] = (struct value){.kind = VALUE_BLOB, .len = m->store->len - at};
    return 0;
}

/* One attribute: {"S":"…"}. */
static int take_attribute(struct maker *m, size_t column, const json_t *attribute)
{
    const char *type = json_object_iter_key(json_object_iter((json_t *)attribute));
    const json_t *v = type ? json_object_get(attribute, type) : NULL;

    if (!type || json_object_size(attribute) != 1)
        return fail(m, column, "none");
    if (strcmp(type, "NULL") == 0 && json_is_true(v))
        return 0;
    if (!json_is_string(v))
        return fail(m, column, type);
    if (strcmp(type, "N") == 0)
        return take_number(m, column, v);
    if (strcmp(type, "B") == 0)
        return take_bytes(m, column, v);
    if (strcmp(type, "S") != 0)
        return fail(m, column, type);
    m->row[column] = (struct value){
        .kind = VALUE_TEXT, .bytes = json_string_value(v), .len = json_string_length(v)};
    return 0;
}

int row_from_item(const struct table_plan *p, const json_t *item, struct value *row,
                  struct buf *store, struct item_fault *fault)
{
    _cleanup_free_ size_t *stored = calloc(p->column_count ? p->column_count : 1, sizeof *stored);
    struct maker m = {p, row, store, stored, fault};
    int rc = stored ? 0 : -ENOMEM;

    buf_clear(store);
    for (size_t i = 0; rc == 0 && i < p->column_count; i++) {
        const json_t *attribute = json_object_get(item, p->columns[i].attribute);
        row[i] = (struct value){.kind = VALUE_NULL};
        stored[i] = SIZE_MAX;
        if (attribute)
            rc = take_attribute(&m, i, attribute);
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
    if (c->affinity == AFFINITY_NONE || c->affinity == AFFINITY_BLOB)
        return "it has no numeric type, so that a real number that is whole (1.0) comes back as "
               "an integer";
    return NULL;
}
