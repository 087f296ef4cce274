/* What the parts of the model DynamoDB share; world.h has what the world asks of it. service.c
 * takes requests and answers them, service_items.c keeps tables and items, service_late.c writes
 * that nobody waits for any more, service_tables.c is what becomes of tables and whose they are. */
#ifndef SYNCD_TESTS_SIM_SERVICE_H
#define SYNCD_TESTS_SIM_SERVICE_H

#include "world.h"

struct sim_write {
    uint32_t target;
    struct sim_table *table;
    bool put, unentered, orphan;
    uint64_t process; /* that sent it: so many starts */
    bool stateless;   /* the state file was lost while it was on its way */
    struct buf key, json;
};

/* A write that is on its way though nobody waits for it any more. */
struct sim_late {
    struct list link; /* in world.late, the next one first */
    usec due;
    struct sim_write write;
};

struct sim_flight {
    struct list link;
    uint64_t id;
    usec sent, due;
    bool arrived;
    struct reply reply;
    unsigned count;
    struct sim_write writes[BATCH_MAX_ITEMS];
};

/* Replaces what is there. */
struct sim_item *service_put(struct sim_table *t, const struct buf *key, const struct buf *json);
void service_clear(struct sim_table *t); /* of all items */
/* Do its keys, or its marker, say of every item of ours that it is? */
bool service_tells(const struct world *w, const struct sim_table *t);
/* Do the journal's entries of its table go unread, as it is left out, or as this process took the
 * journal out? */
bool service_passed_over(const struct world *w, const struct sim_table *t);
/* As an item that cannot be. */
bool service_refuses(const struct world *w, const struct sim_write *x);
void service_carry_out(struct world *w, struct sim_write *x, bool late);

/* How late a write may be: soon or at any time, while the service admits its request. */
usec service_lateness(struct world *w);
/* Takes over the write's key and item. */
void service_leave(struct world *w, struct sim_write *x, usec due);
void service_late_free(struct sim_late *l);

#endif
