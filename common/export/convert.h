/* An attribute as a column's text: the value as PostgreSQL prints it for the column's type, so that
 * keys compare by their text. Numbers never pass through a double. */
#ifndef SYNCD_EXPORT_CONVERT_H
#define SYNCD_EXPORT_CONVERT_H

#include <jansson.h>

#include "export/column.h"

/* What is wrong with a record. The words are those of the report and of --json. */
enum export_problem {
    PROBLEM_KEY_SHAPE, /* its key begins like others of its kind, and goes on otherwise */
    PROBLEM_UUID,
    PROBLEM_REQUIRED,  /* an attribute is missing that must be there */
    PROBLEM_TYPE,      /* a value is not what the column's type takes */
    PROBLEM_RANGE,     /* it is, but out of range, too long or too exact */
    PROBLEM_REFERENCE, /* it refers to a record that is not there */
    PROBLEM_DUPLICATE, /* another item comes out at the same primary key */
    PROBLEM_DATABASE,  /* PostgreSQL refused it */
    PROBLEM_KINDS,
};

const char *export_problem_word(enum export_problem kind);

/* A sentence without table and key, which the caller knows, and without the value but where the
 * value is why (a UUID that is none). */
struct export_fault {
    enum export_problem kind;
    char text[256];
};

int export_fault_set(struct export_fault *f, enum export_problem kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* `attribute` is DynamoDB's typed JSON, {"S":"…"}, or NULL: the item has none. *is_null tells
 * whether the column is to be NULL; else its text is appended. 0; -EINVAL with the fault; -ENOMEM.
 */
int export_convert(const struct export_column *c, const json_t *attribute, struct buf *out,
                   bool *is_null, struct export_fault *f);

/* The fallback of a column, which its parser does not look at: 0, or -EINVAL with a sentence. */
int export_fallback_check(const struct export_column *c, struct err *err);

#endif
