/* The records of one file: opened, recognised, taken apart, with a digest of what lies behind. */
#ifndef SYNCD_DAEMON_IMPORT_READER_H
#define SYNCD_DAEMON_IMPORT_READER_H

#include <stdint.h>

#include "import/detect.h"
#include "import/input.h"
#include "import/split.h"

enum { READER_LONGEST = 16 * 1024 * 1024, READER_DIGEST = 32 };

/* A place between two records. The digest is SHA-256 of the bytes before it, unpacked, without a
 * byte order mark: a file that was changed there is told by it. */
struct reader_place {
    int64_t offset, line;
    bool begun, first;
    unsigned char digest[READER_DIGEST];
};

struct reader;

/* `format`: see detect_format(), or NULL. 0, or a negative errno with a sentence that names the
 * file; -EINVAL: it is none of records. */
int reader_open(const char *path, const char *format, struct reader **out, struct err *err);
void reader_close(struct reader *r); /* NULL is taken */
const struct format *reader_format(const struct reader *r);

/* As split_next(). Sentences do not name the file. A DynamoDB {"Item": …} is given without its
 * wrapping. */
enum split_result reader_next(struct reader *r, struct split_record *out, struct err *err);

/* Of the file itself (packed, if it is): bytes read so far, and in all. */
int64_t reader_position(const struct reader *r);
int64_t reader_size(const struct reader *r);

int reader_place(const struct reader *r, struct reader_place *out);
/* On from a place, of a reader that has read nothing. 1; 0: the file is another before that place,
 * and the reader is of no use any more; negative with a sentence. */
int reader_go(struct reader *r, const struct reader_place *place, struct err *err);

#endif
