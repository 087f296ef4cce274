/* Shared by the engine's files only: engine.c (events), entry.c (keys and their payloads),
 * dispatch.c (what is sent when), outcome.c (what a reply means), room.c (how much may wait). */
#ifndef SYNCD_ENGINE_INTERNAL_H
#define SYNCD_ENGINE_INTERNAL_H

#include "base/blocks.h"
#include "base/list.h"
#include "base/map.h"
#include "base/plant.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "engine/limiter.h"

/* The retry quota of the endpoint, in tokens: a retry takes some, its success brings them back, any
 * other success one. Without them retries go one at a time. */
enum { RETRY_QUOTA = 500, RETRY_TRANSIENT = 14, RETRY_THROTTLED = 5 };

enum { ENTRIES_KEPT = 2048 }; /* blocks of memory */

enum entry_state {
    ENTRY_READY,   /* in its target's ready list */
    ENTRY_HELD,    /* its turn came before EVENT_DURABLE: in its target's held list */
    ENTRY_WAITING, /* in the heap, until not_before */
    ENTRY_SENT,    /* in a request in flight */
    ENTRY_ASKED,   /* its turn came: in engine.asked, until its row was read again */
    ENTRY_BOUND,   /* in a request that waits to be sent exactly as it is (half of a refused one) */
};

/* A remote key that has something pending or in flight. */
struct entry {
    struct map_node node;
    struct list link; /* READY, HELD: the target's list; ASKED: the engine's */
    enum entry_state state;
    uint32_t target;
    struct payload *pending; /* the newest read, not yet sent */
    struct payload *sent;    /* in flight */
    unsigned attempts;       /* unprocessed this often in a row */
    unsigned retry;          /* tokens that sending it again takes; 0: it is no retry */
    bool uncertain;          /* an earlier write of the key may yet have been carried out */
    bool stale;              /* `pending` was sent, came back, and was not read again since */
    uint64_t ticket;         /* ASKED */
    usec not_before;         /* WAITING */
    size_t heap_at;          /* WAITING: place in the heap */
};

struct batch {
    struct list link; /* in engine.flying or engine.bound */
    struct request request;
    struct entry *entries[BATCH_MAX_ITEMS];
    uint64_t epoch;       /* of the endpoint when it was sent */
    uint64_t credentials; /* generation that signed it */
    usec sent_at;
    unsigned took; /* tokens of the retry quota */
    bool probe;    /* holds writes of a table that was throttled and has taken nothing since */
};

struct target {
    bool parked;
    bool alone;        /* a shared request failed for one of its tables: send it alone */
    unsigned failures; /* throttled in a row */
    uint64_t epoch;    /* throttles that were noticed; one wait for all requests in flight then */
    usec not_before;
    struct limiter limiter;
    struct list ready, held;
    size_t ready_count; /* in `ready`, also such as are not durable yet */
    size_t items;       /* entries of it */
    size_t waiting;     /* of these, in the heap */
    size_t bytes;       /* memory of its payloads */
};

struct engine {
    struct engine_config config;
    struct rng rng;
    struct map keys;
    struct blocks idle_entries; /* memory of entries */
    struct map doubts; /* keys without an entry whose last write may yet have been carried out */
    bool doubt_all;    /* one could not be remembered: spare nothing any more */
    struct target *targets;
    uint32_t target_count, next_target;
    struct entry **heap; /* WAITING entries, the earliest first */
    size_t heap_count, heap_cap;
    struct list flying, bound; /* batches */
    struct list asked;         /* entries, in the order in which they came to be there */
    uint64_t next_ticket;
    unsigned in_flight, probes;
    unsigned window; /* requests in flight that the endpoint is trusted with after failures */
    unsigned quota;  /* tokens for retries */
    uint64_t next_request, next_serial;
    uint64_t durable; /* what was offered before this serial may be sent */
    size_t bytes;
    bool paused, stopped, waiting_credentials;
    bool expired;         /* credentials expired and nothing was accepted since */
    uint64_t credentials; /* generation: raised by EVENT_CREDENTIALS */
    unsigned failures;    /* of the endpoint, in a row */
    uint64_t epoch;       /* raised by each noticed failure */
    usec not_before;      /* of the endpoint */
    usec partial_since;   /* since when a batch that is not full has been ready; 0: none */
    struct bucket units;  /* of write_units_per_second */
    usec deadline;
    struct engine_stats stats;
};

/* Writes in a request. */
static inline size_t batch_items(const struct engine *e)
{
    return e->config.batch_items ? e->config.batch_items : BATCH_MAX_ITEMS;
}

/* engine.c */
int action_push(struct actions *out, const struct action *a);
/* A batch that waited to be sent as it is: its writes go into any other. */
void batch_unbind(struct engine *e, struct batch *b);

/* entry.c */
int entry_offer(struct engine *e, struct payload *p);
void entry_ready(struct engine *e, struct entry *n, bool front);
void entry_wait(struct engine *e, struct entry *n, usec until);
static inline bool entry_durable(const struct engine *e, const struct entry *n)
{
    return PLANTED(SENT_BEFORE_SYNC) || n->pending->serial < e->durable;
}
/* A READY entry whose turn has come is held back, and keeps its turn. */
void entry_hold(struct engine *e, struct entry *n);
/* A READY entry whose turn has come is to be read again first. */
void entry_ask(struct engine *e, struct entry *n);
/* Those asked for with a lesser ticket go as they are, in their order and before all others. */
void entry_keep_asked(struct engine *e, uint64_t before);
void entry_forget_asked(struct engine *e, uint32_t target);
/* Those that are durable by now are ready again, before all others and in their order. */
void entry_release_held(struct engine *e);
/* The entry that has waited long enough, out of the heap; NULL: none. */
struct entry *entry_due(struct engine *e, usec now);
void entry_free(struct engine *e, struct entry *n);
/* Free an entry whose outcome is unknown to us: the doubt stays. */
void entry_forget(struct engine *e, struct entry *n);
/* Of a parked target: what was sent is forgotten, what was offered since is kept. */
void entry_forget_sent(struct engine *e, struct entry *n);
void entry_forget_waiting(struct engine *e, uint32_t target);
/* The sent payload goes back to being pending, unless a newer one is. */
void entry_unsend(struct engine *e, struct entry *n);
void payload_drop(struct engine *e, struct payload *p);
/* Its memory is the engine's, or no longer. */
static inline void payload_count(struct engine *e, const struct payload *p)
{
    e->bytes += payload_memory(p);
    e->targets[p->target].bytes += payload_memory(p);
}
static inline void payload_uncount(struct engine *e, const struct payload *p)
{
    e->bytes -= payload_memory(p);
    e->targets[p->target].bytes -= payload_memory(p);
}
/* The next write of the key is not spared. */
void doubt_keep(struct engine *e, const struct entry *n, const struct payload *p);
void doubts_free(struct engine *e);

/* dispatch.c */
int engine_dispatch(struct engine *e, usec now, struct actions *out);

/* outcome.c */
int engine_outcome(struct engine *e, usec now, struct batch *b, const struct reply *reply,
                   struct actions *out);

#endif
