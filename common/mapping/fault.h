/* Why a row cannot be an item, or an item no row. */
#ifndef SYNCD_MAPPING_FAULT_H
#define SYNCD_MAPPING_FAULT_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct item_fault {
    const char *column; /* of the plan, or NULL when it is about the whole item */
    const char *code;   /* key_null key_empty key_type key_too_long number_range not_a_number
                           invalid_utf8 item_too_large not_a_bool not_a_time not_json not_text
                           not_binary not_for_uuid not_ours */
    char text[256];     /* a sentence without table and key, which the caller knows, and without the
                           value, which is nobody's business */
};

/* None so far. Its text is large, and is left as it is. */
static inline void fault_none(struct item_fault *f)
{
    f->column = f->code = NULL;
    f->text[0] = '\0';
}

/* Returns -EINVAL. */
__attribute__((format(printf, 4, 5))) static inline int
fault_set(struct item_fault *f, const char *column, const char *code, const char *fmt, ...)
{
    va_list args;

    f->column = column;
    f->code = code;
    va_start(args, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, args);
    va_end(args);
    return -EINVAL;
}

#endif
