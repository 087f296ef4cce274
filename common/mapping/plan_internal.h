/* Shared by the plan's files only: plan.c (columns, attributes, finishing), plan_key.c (what
 * identifies a row, and what that becomes in DynamoDB), plan_meet.c (can two rows become one item),
 * plan_attributes.c (conversions, defaults, what is added), plan_oversize.c (items that are too
 * large), plan_capture.c (what triggers need). */
#ifndef SYNCD_MAPPING_PLAN_INTERNAL_H
#define SYNCD_MAPPING_PLAN_INTERNAL_H

#include "mapping/plan.h"

/* A plan in the making, and what it is made of. */
struct plan_maker {
    const struct table_info *table;
    const struct plan_options *options;
    struct table_plan *plan;
    struct err *err;
};

static inline bool plan_given(const char *s)
{
    return s && s[0];
}

/* Write the reason and return -ENOTSUP. */
int plan_refuse(struct plan_maker *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int plan_no_memory(struct plan_maker *m);
/* Index of a column of the plan by name, or -1. */
long plan_column(const struct table_plan *p, const char *name);

/* The columns of the table that identify a row: `columns` are indexes into table.columns, borrowed
 * from the table. */
int plan_find_row_key(struct plan_maker *m, const size_t **columns, size_t *count);
/* Do the options make the remote key of this column, among others? */
bool plan_key_names(const struct plan_maker *m, const char *column);
/* Schema and parts of the remote key, once the columns are there. */
int plan_make_key(struct plan_maker *m);
/* Why rows may meet at one remote key, into plan.meeting. */
int plan_find_meeting(struct plan_maker *m);
/* Can the row key be read back from the remote key? */
bool plan_has_plain_key(const struct table_plan *p);
/* Literals, columns in braces and {source_id}, appended to *segments. */
int plan_parse_template(struct plan_maker *m, struct key_segment **segments, size_t *count,
                        const char *text);
void plan_segments_free(struct key_segment *segments, size_t count);

/* Conversion, default and the rest of what the options say of a column that was just added. */
int plan_dress_column(struct plan_maker *m, struct plan_column *c);
/* A key cannot be a BOOL, say: why not, and what to write. */
int plan_refuse_key(struct plan_maker *m, const struct plan_column *c);
/* Attributes that are no column's own, and the TTL; after the key is made. */
int plan_add_attributes(struct plan_maker *m);
/* What becomes of items that are too large; after the attributes are made. */
int plan_add_oversize(struct plan_maker *m);
/* `"attribute":{` as JSON. */
int plan_prefix(struct plan_maker *m, const char *attribute, char **prefix, size_t *len);
void plan_column_clear(struct plan_column *c);
void plan_added_clear(struct plan_added *a);

/* What capture needs, once the entry's columns are settled. */
int plan_add_capture(struct plan_maker *m);
void plan_capture_clear(struct plan_capture *c);

#endif
