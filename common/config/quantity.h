/* Numbers as people write them: whole numbers, durations (20ms, 5s, 10m), sizes (64M). */
#ifndef SYNCD_CONFIG_QUANTITY_H
#define SYNCD_CONFIG_QUANTITY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

/* Decimal digits, perhaps after a minus. 0, or -EINVAL (also past 64 bits). */
int quantity_whole(const char *text, int64_t *out);

/* A number and one of us ms s m h d, blanks between allowed; 0 needs no unit. 0 or -EINVAL. */
int quantity_duration(const char *text, usec *out);
/* The largest unit that divides it. */
void quantity_append_duration(struct buf *out, usec value);

/* Bytes: a number, perhaps with K, M or G (powers of 1024). 0 or -EINVAL. */
int quantity_size(const char *text, int64_t *out);
void quantity_append_size(struct buf *out, int64_t value);

/* 0% to 100%, whole. 0 or -EINVAL. */
int quantity_percent(const char *text, int64_t *out);

#endif
