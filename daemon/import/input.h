/* The bytes of a file, unpacked when it is gzip (of any number of members), read once from front to
 * back in bounded memory. */
#ifndef SYNCD_DAEMON_IMPORT_INPUT_H
#define SYNCD_DAEMON_IMPORT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct input;

/* 0 or a negative errno with a sentence that names the file. */
int input_open(const char *path, struct input **out, struct err *err);
void input_close(struct input *in); /* NULL is taken */

/* The next bytes, at most `n`; 0 at the end; negative with a clause ("its gzip data is cut off").
 */
ssize_t input_read(struct input *in, char *to, size_t n, struct err *err);

/* Of the file itself, packed or not: how far it was read, how long it was when it was opened. */
int64_t input_position(const struct input *in);
int64_t input_size(const struct input *in);
bool input_packed(const struct input *in);

#endif
