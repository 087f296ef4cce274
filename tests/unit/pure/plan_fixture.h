/* Tables and plans made by hand, for the tests of plans and items. Include after cmocka.h. */
#ifndef SYNCD_TESTS_PLAN_FIXTURE_H
#define SYNCD_TESTS_PLAN_FIXTURE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mapping/item.h"
#include "mapping/plan.h"

#define COLUMN(n, a)                                                                               \
    {                                                                                              \
        .name = (char *)(n), .type = (char *)"", .affinity = (a), .collation = (char *)"BINARY"    \
    }

/* A rowid table of these columns whose primary key is the first `k` of them. */
#define TABLE(var, n, k, ...)                                                                      \
    struct column_info var##_columns[] = {__VA_ARGS__};                                            \
    size_t var##_key[] = {0, 1, 2, 3, 4};                                                          \
    struct table_info var = {.name = (char *)(n),                                                  \
                             .kind = TABLE_ROWID,                                                  \
                             .columns = var##_columns,                                             \
                             .column_count = sizeof var##_columns / sizeof *var##_columns,         \
                             .key = var##_key,                                                     \
                             .key_count = (k),                                                     \
                             .rowid_name = "rowid",                                                \
                             .sql = (char *)""}

/* Answers of the configuration, from lists of pairs. */
struct said {
    const char *excluded[3];
    const char *renamed[3][2];
    const char *converted[8][2];
    const char *defaulted[3][2];
    const char *added[4][2];
    const char *indexed[3];
};

static inline const char *said_of(const char *const (*pairs)[2], size_t n, const char *column)
{
    for (size_t i = 0; i < n && pairs[i][0]; i++)
        if (strcasecmp(pairs[i][0], column) == 0)
            return pairs[i][1];
    return NULL;
}

static inline const char *said_converted(void *arg, const char *column)
{
    return said_of(((const struct said *)arg)->converted, 8, column);
}

static inline const char *said_defaulted(void *arg, const char *column)
{
    return said_of(((const struct said *)arg)->defaulted, 3, column);
}

static inline bool said_added(void *arg, size_t i, const char **attribute, const char **text)
{
    const struct said *s = arg;

    if (i >= 4 || !s->added[i][0])
        return false;
    *attribute = s->added[i][0];
    *text = s->added[i][1];
    return true;
}

static inline bool said_indexed(void *arg, const char *attribute)
{
    const struct said *s = arg;

    for (size_t i = 0; i < 3 && s->indexed[i]; i++)
        if (strcmp(s->indexed[i], attribute) == 0)
            return true;
    return false;
}

static inline bool said_excludes(void *arg, const char *column)
{
    const struct said *s = arg;

    for (size_t i = 0; i < 3 && s->excluded[i]; i++)
        if (strcasecmp(s->excluded[i], column) == 0)
            return true;
    return false;
}

static inline const char *said_renamed(void *arg, const char *column)
{
    const struct said *s = arg;

    for (size_t i = 0; i < 3 && s->renamed[i][0]; i++)
        if (strcasecmp(s->renamed[i][0], column) == 0)
            return s->renamed[i][1];
    return NULL;
}

#define SAID(s)                                                                                    \
    .arg = &(s), .excludes = said_excludes, .renamed = said_renamed, .converted = said_converted,  \
    .defaulted = said_defaulted, .added = said_added, .indexed = said_indexed

static inline void plan_drop(struct table_plan **p)
{
    plan_free(*p);
}

#define _cleanup_plan_ _cleanup_(plan_drop)

static inline struct table_plan *planned(const struct table_info *t, const struct plan_options *o)
{
    static const struct plan_options none;
    struct table_plan *p = NULL;
    struct err err = {.text = ""};

    if (plan_make(t, o ? o : &none, &p, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
    assert_string_equal(err.text, "");
    return p;
}

/* Refused with a sentence that holds `part`, and the output untouched. */
static inline void refused(const struct table_info *t, const struct plan_options *o,
                           const char *part)
{
    static const struct plan_options none;
    struct table_plan *p = (struct table_plan *)&none;
    struct err err = {.text = ""};
    int rc = plan_make(t, o ? o : &none, &p, &err);

    if (rc == 0) {
        plan_free(p);
        fail_msg("%s was taken, not refused with: %s", t->name, part);
    }
    assert_int_equal(rc, -ENOTSUP);
    assert_ptr_equal(p, &none);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static inline struct value integer(int64_t n)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = n};
}

static inline struct value real(double d)
{
    return (struct value){.kind = VALUE_REAL, .real = d};
}

static inline struct value text_of(const char *s, size_t n)
{
    return (struct value){.kind = VALUE_TEXT, .bytes = s, .len = n};
}

static inline struct value text(const char *s)
{
    return text_of(s, strlen(s));
}

static inline struct value blob(const char *s, size_t n)
{
    return (struct value){.kind = VALUE_BLOB, .bytes = s, .len = n};
}

static inline struct value null(void)
{
    return (struct value){.kind = VALUE_NULL};
}

#endif
