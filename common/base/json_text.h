/* The pieces of JSON text (RFC 8259), read strictly and without losing anything: strings with every
 * character checked, numbers as they are written. For readers that keep numbers exact; a value that
 * may pass through doubles is jansson's.
 *
 * Text is borrowed; nothing is allocated but through the buffers that are appended to. What cannot
 * be read leaves a clause in `why` ("a string does not end"), owned by the program, and -EINVAL.
 * The text must be valid UTF-8 (utf8_valid()). */
#ifndef SYNCD_BASE_JSON_TEXT_H
#define SYNCD_BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct json_text {
    const char *at, *end;
    const char *why;
};

enum json_word { JSON_WORD_TRUE, JSON_WORD_FALSE, JSON_WORD_NULL };

void json_skip_space(struct json_text *t);
/* Space, then this character, if it comes next. */
bool json_take_char(struct json_text *t, char c);
/* The string behind its opening quote, appended to `out` without escapes. 0, -EINVAL, -ENOMEM. */
int json_take_string(struct json_text *t, struct buf *out);
/* A number, as it is written. 0 or -EINVAL. */
int json_take_number(struct json_text *t, const char **from, size_t *n);
int json_take_word(struct json_text *t, enum json_word *out);

/* Behind one whole value, checked on the way but for keys that come twice; values within values at
 * most `depth` levels deep. *from is where it begins, t->at where it ends. 0 or -EINVAL. */
int json_skip_value(struct json_text *t, unsigned depth, const char **from);

/* The keys of an object, to see that none comes twice. Zero-initialised is empty. */
struct json_names {
    struct buf bytes, list;
};
void json_names_free(struct json_names *names);
#define _cleanup_json_names_ _cleanup_(json_names_free)
void json_names_add(struct json_names *names, const char *name, size_t n);
/* 0; -EINVAL: one comes twice; -ENOMEM. */
int json_names_check(struct json_names *names);

#endif
