#include "mirror/owned_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mirror/internal.h"
#include "mirror/owned.h"

enum { GENERATION_DIGITS = 2 * CAPTURE_ID_SIZE };

int owned_read(struct store *s, uint32_t target, struct owned *out)
{
    char name[32];
    int64_t owned = 0;

    snprintf(name, sizeof name, "owned:%u", target);
    int rc = store_get_int(s, name, &owned);
    *out = (struct owned){.alone = owned & OWNED_ALONE, .handed_over = owned & OWNED_HANDED};
    return rc == -ENOENT ? 0 : rc;
}

bool owned_generation(struct store *s, uint32_t target, const char *generation, bool *any)
{
    _cleanup_buf_ struct buf kept = {0};
    char name[32];

    snprintf(name, sizeof name, "generation:%u", target);
    int rc = store_get(s, name, &kept);
    *any = rc != -ENOENT;
    if (rc < 0 || strlen(generation) != GENERATION_DIGITS)
        return false;
    for (size_t at = 0; at + GENERATION_DIGITS <= kept.len; at += GENERATION_DIGITS)
        if (memcmp(kept.data + at, generation, GENERATION_DIGITS) == 0)
            return true;
    return false;
}
