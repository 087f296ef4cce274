/* Values as people read them. What comes from outside (names, messages) is made safe for a
 * terminal: control characters become '?', bytes that are no UTF-8 become U+FFFD. */
#ifndef SYNCD_CTL_FORMAT_H
#define SYNCD_CTL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

/* Columns on a terminal, roughly: wide East Asian characters and emoji take two, marks none. */
size_t format_width(const char *text);
/* Bytes of the longest start of `text` that is at most `columns` wide. */
size_t format_fit(const char *text, size_t columns);

void format_safe(struct buf *out, const char *text);
/* Cut to `columns` with an ellipsis: at the end, or (names of files) at the start. */
enum format_cut { CUT_END, CUT_START };
void format_cut(struct buf *out, const char *safe_text, size_t columns, enum format_cut cut);

void format_count(struct buf *out, int64_t n);         /* 12,345 */
void format_bytes(struct buf *out, int64_t n);         /* 512 B, 4.0 KiB */
void format_span(struct buf *out, double seconds);     /* 12ms, 3s, 2m 10s, 5h 3m, 3d 4h */
void format_ago(struct buf *out, usec then, usec now); /* "3s ago"; "just now" for the future */

/* RFC 3339, such as 2024-01-31T12:00:00.250Z or +01:00, to microseconds since 1970. */
bool format_parse_time(const char *text, usec *out);

#endif
