/* Where records begin and end in a stream of JSON: nothing is understood but strings, nesting and
 * commas, so that one record that cannot be read costs that record alone, and memory is bounded by
 * the longest record that is taken. What is inside is record.h's.
 *
 *     SPLIT_LINES      a record a line (JSON Lines, mongoexport, DynamoDB's export); blank lines
 *                      are passed over
 *     SPLIT_DOCUMENTS  records one after another, each over several lines (mongoexport --pretty)
 *     SPLIT_ARRAY      [record, record]
 *     SPLIT_KEYED      {"id": record, "id": record} */
#ifndef SYNCD_DAEMON_IMPORT_SPLIT_H
#define SYNCD_DAEMON_IMPORT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

enum split_form { SPLIT_LINES, SPLIT_DOCUMENTS, SPLIT_ARRAY, SPLIT_KEYED };

/* Up to `n` bytes more; 0 at the end, or a negative errno with a sentence. */
typedef ssize_t split_read_fn(void *arg, char *to, size_t n, struct err *err);
/* Bytes that were passed by for good, in order: what a digest is made of. */
typedef void split_passed_fn(void *arg, const char *bytes, size_t n);

struct split_record {
    const char *text; /* until the next call */
    size_t len;
    const char *key; /* SPLIT_KEYED: the member's name as JSON text, with its quotes; else NULL */
    size_t key_len;
    int64_t line; /* where it begins, from 1 */
};

enum split_result {
    SPLIT_RECORD,
    SPLIT_TOO_LONG, /* a record that is longer than `longest`: its line is told, its text is not */
    SPLIT_END,
    SPLIT_BROKEN, /* nothing more can be told apart; a sentence says why */
    SPLIT_FAILED, /* reading failed, or there is no memory; a sentence says why */
};

struct split {
    enum split_form form;
    size_t longest; /* bytes of a record */
    split_read_fn *read;
    split_passed_fn *passed; /* NULL: nobody asks */
    void *arg;

    /* Where it is; to go on later, all but `data` and what is under it are to be put back. */
    bool begun;     /* the opening bracket is behind */
    bool first;     /* no record was met yet: no comma stands before the next */
    int64_t offset; /* bytes passed by */
    int64_t line;   /* of the next byte, from 1 */

    char *data;
    size_t start, len, cap; /* data[start, len) is there and not passed by */
    bool end;               /* of the stream */
    struct buf key;
};

void split_init(struct split *s, enum split_form form, size_t longest, split_read_fn *read,
                split_passed_fn *passed, void *arg);
void split_free(struct split *s);
enum split_result split_next(struct split *s, struct split_record *out, struct err *err);

/* One value, told apart step by step: zero at first. Takes bytes up to its end; true then, with
 * *used behind it. A number or a word ends before the first byte that is none of it. */
struct split_scan {
    unsigned depth;
    bool begun, string, escaped, bare;
};
bool split_scan(struct split_scan *scan, const char *bytes, size_t n, size_t *used);

#endif
