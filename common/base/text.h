/* Text and bytes: UTF-8 validity (RFC 3629), JSON strings (RFC 8259), base64 (RFC 4648, standard
 * alphabet with padding), hex. Nothing here allocates but through the buffer it appends to. */
#ifndef SYNCD_BASE_TEXT_H
#define SYNCD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* No overlong forms, no surrogates, nothing past U+10FFFF. NUL is allowed. */
bool utf8_valid(const void *bytes, size_t n);

/* Copy as much of `s` as fits, with its NUL; a cut falls between characters. */
void text_copy(char *out, size_t size, const char *s);

/* Append "…" with quotes. The bytes must be valid UTF-8. */
void json_append_string(struct buf *out, const char *s, size_t n);

/* The same for text whose bytes are looked at once: false, and nothing is appended, where they are
 * not valid UTF-8. */
bool json_append_utf8(struct buf *out, const char *s, size_t n);

/* As above for text that may hold anything: bytes that are not UTF-8 become U+FFFD. */
void json_append_string_lossy(struct buf *out, const char *s, size_t n);

void base64_append(struct buf *out, const void *bytes, size_t n);
/* Strict: no white space, padding present, unused bits zero. 0 or -EINVAL, then nothing was
 * appended. */
int base64_decode(struct buf *out, const char *s, size_t n);

void hex_append(struct buf *out, const void *bytes, size_t n);
/* Even count of hex digits, either case. 0 or -EINVAL, then nothing was appended. */
int hex_decode(struct buf *out, const char *s, size_t n);

/* Edit distance of two names, for "did you mean"; capped at 99. */
unsigned text_distance(const char *a, const char *b);

#endif
