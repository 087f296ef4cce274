/* A sentence for a person, carried by the caller beside the negative errno that functions return.
 * One sentence, naming the file, key, table or column, and what to do. No trailing newline. */
#ifndef SYNCD_BASE_ERR_H
#define SYNCD_BASE_ERR_H

#include <stdarg.h>

struct err {
    char text[768];
};

/* Write the sentence (cut at the buffer's end, at a UTF-8 boundary) and return `code`, so that
 * `return err_set(err, -EINVAL, ...)` reads as one thing. `err` may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_setv(struct err *err, int code, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Put "prefix: " before the sentence that is there. Returns `code`. */
int err_prefix(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
