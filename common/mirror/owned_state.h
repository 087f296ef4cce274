/* What the state file says of whose a DynamoDB table is, for jobs that have no mirror: owned.c
 * writes it. `target` is store_target()'s. */
#ifndef SYNCD_MIRROR_OWNED_STATE_H
#define SYNCD_MIRROR_OWNED_STATE_H

#include "state/store.h"

struct owned {
    bool alone;       /* nothing but ours was there when it was first written */
    bool handed_over; /* others write there now */
};

/* 0, also when it says nothing; or -EIO. */
int owned_read(struct store *s, uint32_t target, struct owned *out);
/* Has the state file written the table's marker, and was it under this name (32 digits)? */
bool owned_generation(struct store *s, uint32_t target, const char *generation, bool *any);

#endif
