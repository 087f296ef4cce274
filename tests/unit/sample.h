/* How many random cases a test tries: all of them, or one in TEST_SAMPLE where each is dear, as
 * with sanitizers. */
#ifndef SYNCD_TESTS_SAMPLE_H
#define SYNCD_TESTS_SAMPLE_H

#include <stdint.h>
#include <stdlib.h>

static inline uint64_t sample_of(uint64_t cases)
{
    const char *text = getenv("TEST_SAMPLE");
    uint64_t one_in = text ? strtoull(text, NULL, 10) : 1;

    return one_in > 1 ? (cases + one_in - 1) / one_in : cases;
}

#endif
