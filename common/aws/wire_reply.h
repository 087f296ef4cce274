/* A reply of HTTP/1.1 or 1.0 taken apart as its bytes arrive (RFC 9112). No input or output, no
 * clock.
 *
 * Strict: lines end in CR LF, no folded lines, no control characters, one length that all agree on;
 * what breaks a rule makes the reply WIRE_BAD. How the bytes are cut into pieces makes no
 * difference. A body whose end is only told by the connection's end is no whole reply and WIRE_BAD
 * as well. Nothing is allocated for a header line, unless it came in pieces; the body grows in
 * `body`. */
#ifndef SYNCD_AWS_WIRE_REPLY_H
#define SYNCD_AWS_WIRE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum wire_verdict {
    WIRE_MORE,  /* all bytes were taken, more are to come */
    WIRE_WHOLE, /* the reply is complete; bytes after it were not taken */
    WIRE_BAD,   /* not HTTP as it should be: see `problem` */
    WIRE_TOO_LARGE,
    WIRE_NO_MEMORY,
};

enum wire_state {
    WIRE_STATUS_LINE,
    WIRE_HEADERS,
    WIRE_BODY,
    WIRE_CHUNK_SIZE,
    WIRE_CHUNK_DATA,
    WIRE_CHUNK_END,
    WIRE_TRAILERS,
    WIRE_ENDED, /* by any verdict but WIRE_MORE, which all further bytes get as well */
};

struct wire_reply {
    /* What it says. Texts are cut at the room there is, printable, "" when absent. */
    int status;      /* of the last status line; 0 until there was one */
    bool keep_alive; /* the connection may carry another request */
    char request_id[80], date[40];
    bool has_crc32;
    uint32_t crc32, retry_after_ms;
    struct buf body;
    const char *problem; /* for people, after WIRE_BAD */

    /* How far it is. */
    enum wire_state state;
    enum wire_verdict verdict; /* once WIRE_ENDED */
    bool started;              /* a byte has come */
    bool http_1_0, has_length, chunked;
    uint64_t left; /* of the body, or of its chunk */
    size_t header_bytes, max_header_bytes, max_body;
    struct buf line; /* a line's beginning, when its end has not come */
};

/* Before each reply; the memory of `body` and `line` is kept from the one before. Starts from a
 * zeroed struct the first time. */
void wire_reply_begin(struct wire_reply *r, size_t max_header_bytes, size_t max_body);
/* Take `n` bytes; *used is how many belong to this reply. */
enum wire_verdict wire_reply_take(struct wire_reply *r, const char *bytes, size_t n, size_t *used);
/* `secret`: what was read is wiped. Else memory of usual size is kept. */
void wire_reply_forget(struct wire_reply *r, bool secret);
void wire_reply_free(struct wire_reply *r);

#endif
