/* Shared by item.c (attributes) and item_key.c (keys). */
#ifndef SYNCD_MAPPING_ITEM_INTERNAL_H
#define SYNCD_MAPPING_ITEM_INTERNAL_H

#include "mapping/item.h"

/* The value of a column, or what stands for its NULL. */
static inline const struct value *column_value(const struct plan_column *c, const struct value *v)
{
    return v->kind == VALUE_NULL && c->fallback ? c->fallback : v;
}

/* A column's value by its conversion, as convert_scalar() has it; the fault names the column. */
int item_scalar(const struct plan_column *c, const struct value *v, struct buf *out,
                enum attr_type *type, struct item_fault *fault);

/* Segments of a template, columns as text (bytes as hex), appended. 0; 1 when a column is NULL;
 * -EINVAL with the fault; -ENOMEM. */
int item_template(const struct table_plan *p, const struct key_segment *segments, size_t count,
                  const struct value *row, struct buf *out, struct item_fault *fault);

/* Key attributes that are no column of their own, as the first members of an object. */
int item_made_keys(const struct table_plan *p, const struct value *row, struct buf *json,
                   bool *first, size_t *size, struct item_fault *fault);

/* Is it what a key of this type can be, that of an index too? `sort`: a sort key. -EINVAL with the
 * fault. */
int item_check_key(const char *column, const char *attribute, enum attr_type type, bool sort,
                   size_t n, struct item_fault *fault);

#endif
