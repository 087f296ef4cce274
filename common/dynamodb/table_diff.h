/* A table that is there against the one that is wanted. */
#ifndef SYNCD_DYNAMODB_TABLE_DIFF_H
#define SYNCD_DYNAMODB_TABLE_DIFF_H

#include "dynamodb/tables.h"

/* What the service says of a table; NULL where it was not asked, or would not say. */
struct table_facts {
    const json_t *table;    /* "Table" of DescribeTable */
    const json_t *ttl;      /* "TimeToLiveDescription" of DescribeTimeToLive */
    const json_t *recovery; /* "ContinuousBackupsDescription" of DescribeContinuousBackups */
    const json_t *tags;     /* every tag, an array of Key and Value (ListTagsOfResource) */
};

enum table_aspect {
    ASPECT_INDEX,
    ASPECT_BILLING,
    ASPECT_TTL,
    ASPECT_TAGS,
    ASPECT_PROTECTION,
    ASPECT_RECOVERY,
};

struct table_difference {
    enum table_aspect aspect;
    const struct plan_index *index; /* the one that is missing, else NULL */
    bool missing;                   /* it can be added, and nothing that is there changes */
    bool note;                      /* worth a word, and no fault */
    const char *text;               /* "index by-user is missing"; lives during the call */
};

typedef void table_difference_fn(void *arg, const struct table_difference *d);

/* Name everything in which the table is not as defined, its key apart (tables_read_json()). Tags
 * that are there besides are nobody's business. Returns how many were no mere notes. */
size_t table_compare(const struct table_definition *d, const struct table_facts *f,
                     table_difference_fn *fn, void *arg);

/* "index", "billing", … */
const char *table_aspect_name(enum table_aspect a);

/* Shared with tables.c: of DescribeTable's or CreateTable's reply, what it describes. */
const json_t *tables_description(const json_t *reply);
bool tables_same_key(const json_t *keys, const json_t *definitions,
                     const struct key_schema *schema);
/* Append "a (S), b (N)". */
void tables_describe_key(const json_t *keys, const json_t *definitions, struct buf *out);

#endif
