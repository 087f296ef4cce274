/* Numbers as DynamoDB holds them: decimal text of at most 38 significant digits, zero or
 * 1E-130 <= |n| <= 9.9999999999999999999999999999999999999E+125
 * (Amazon DynamoDB Developer Guide, "Naming rules and data types"). */
#ifndef SYNCD_MAPPING_NUMBER_H
#define SYNCD_MAPPING_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Shortest decimal that reads back to the same double, in digits or d.dddE±x form. Infinities and
 * NaN print as words: number_check_double() first where DynamoDB is to take it. -0.0 prints as 0.
 */
void number_print_double(struct buf *out, double d);
/* The same into `to`: how many bytes, without a NUL. */
enum { NUMBER_TEXT = 40 };
size_t number_text_double(char to[NUMBER_TEXT], double d);

/* 0 when DynamoDB can hold it, -EDOM for infinity and NaN, -ERANGE for a magnitude out of range. */
int number_check_double(double d);

/* One text for each value, so that keys compare as DynamoDB compares them: 100, 1E2 and 100.0
 * become "1e2"; zero is "0". -EINVAL when `s` is not a decimal number. */
int number_canonical(struct buf *out, const char *s, size_t n);

/* Decimal text that DynamoDB can hold? 0; -EINVAL when it is no number; -ERANGE when it has more
 * than 38 significant digits or a magnitude out of range. */
int number_check(const char *s, size_t n);

/* Decimal text in the form that numbers have here: no plus sign, no needless zeros, digits and a
 * point, or d.ddde±x where that would be long. Nothing is rounded. 0, -EINVAL or -ENOMEM. */
int number_print_decimal(struct buf *out, const char *s, size_t n);

/* Bytes that an N counts in an item's size: 1 + ceil(integer digits / 2) + ceil(fraction digits /
 * 2)
 * + 1 when negative; leading and trailing zeros trimmed, the exponent ignored; zero is 1. */
size_t number_size(const char *s, size_t n);

#endif
