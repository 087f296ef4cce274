/* Patterns that tell the items of one kind from those of others in a single-table design, and take
 * values out of their keys: CONV#{id:uuid}, MSG#{conversation_id:uuid}#{id:uuid}.
 *
 * Text stands for itself ({{ and }} for a brace). {NAME} captures one character or more up to the
 * text that follows it, and no #: that is what keys are divided by. {NAME:TYPE} also says what it
 * must be:
 *
 *     text      anything (when no type is said)
 *     uuid      36 characters, either case
 *     integer   digits, perhaps with a minus sign
 *     number    a decimal number
 *     rest      anything, # too, to the end
 *
 * Bytes are compared as they are. A match takes time in proportion to the text. */
#ifndef SYNCD_EXPORT_PATTERN_H
#define SYNCD_EXPORT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { PATTERN_MAX_PARTS = 32 };

enum pattern_kind {
    PATTERN_LITERAL,
    PATTERN_TEXT,
    PATTERN_UUID,
    PATTERN_INTEGER,
    PATTERN_NUMBER,
    PATTERN_REST,
};

struct pattern_part {
    enum pattern_kind kind;
    char *text; /* the literal, or the capture's name */
};

/* All zero is empty. */
struct pattern {
    struct pattern_part parts[PATTERN_MAX_PARTS];
    size_t count;
};

/* 0; -EINVAL with a sentence; -ENOMEM. `out` is empty on failure. */
int pattern_parse(const char *text, struct pattern *out, struct err *err);
void pattern_clear(struct pattern *p);
/* The part that captures under that name, or -1. */
int pattern_capture(const struct pattern *p, const char *name);

/* How far a text is what the pattern says, from nothing to all. */
enum pattern_match {
    PATTERN_NONE,   /* it does not begin as the pattern does */
    PATTERN_BEGINS, /* it does, and goes on otherwise */
    PATTERN_SHAPED, /* its parts are there, and one is not of its type */
    PATTERN_FULL,
};

/* Within the text that was matched. */
struct pattern_span {
    const char *at;
    size_t n;
};

/* `spans`: one for each part, filled in for PATTERN_SHAPED and PATTERN_FULL. `part`: of
 * PATTERN_BEGINS the first that is not there (`count`: text is left over), of PATTERN_SHAPED the
 * first that is not of its type. */
enum pattern_match pattern_match(const struct pattern *p, const char *s, size_t n,
                                 struct pattern_span spans[PATTERN_MAX_PARTS], size_t *part);

/* "a UUID", for sentences. */
const char *pattern_kind_name(enum pattern_kind kind);

#endif
