/* The engine: which write goes when, with which others, and what its reply means. Pure: no clock,
 * no network, no files; step(event) -> actions.
 *
 *              HELD (what was read is not durable)
 *               ^v
 *     offered -> READY -> SENT -> written                    (settled)
 *               ^  ^        |---> unprocessed -> WAITING -> READY
 *               v  |        |---> failed, to be sent again -> READY
 *            ASKED |        `---> refused whole -> BOUND (in halves) -> SENT ... -> refused
 * (sent before)    |                                                            (settled)
 *                  `-- spared: DynamoDB is known to hold it already (settled)
 *
 * Rules it keeps:
 * - one pending payload per remote key, the newest offer wins; at most one request in flight holds
 * a key, and no request holds a key twice;
 * - at most 25 writes and 16 MB in a request, over several tables;
 * - with a barrier, no write goes before EVENT_DURABLE has covered its offer; a newer read of a key
 * is covered later than the one whose place it takes;
 * - room is dealt out by table (room.c): what its own limits hold back takes a small part of what
 * is free, so that the others flow on whatever waits in front of them;
 * - what was sent and came back (unprocessed, throttled, failed) is sent again as its row is then.
 * With `reread`, its key is asked for when its turn has come, so that there is one reading a try,
 * whenever the gates open. Order and safety do not need it: an older write never goes after a newer
 * read of its key, and a row that changed has an entry in the journal that is yet to be read. It
 * buys that a table which was throttled is not written what has been out of date for minutes, then
 * once more; that what no entry speaks of (a connection without triggers) is not overwritten with
 * older contents; and that the mapping of today is used. Not read again: the halves of a refused
 * request, which must be the same to find out which write it is; and what EVENT_KEEP names, because
 * its row cannot be read now (mirror/reread.c lists them);
 * - nothing is ever given up: a write ends as written, spared, superseded by a newer one of its
 * key, or refused by DynamoDB for good;
 * - a write is spared only by what the store knows for sure, never while an earlier write of the
 * key has an unknown outcome, nor by what the store said before the last write of the key. That a
 * key is in doubt outlives its entry (a parked table, a refusal) until a write of it succeeds. */
#ifndef SYNCD_ENGINE_ENGINE_H
#define SYNCD_ENGINE_ENGINE_H

#include "dynamodb/batch.h"
#include "dynamodb/reply.h"
#include "engine/payload.h"

struct engine;

struct engine_config {
    unsigned max_in_flight; /* requests */
    unsigned batch_items;   /* writes in a request, at most BATCH_MAX_ITEMS; 0: as many */
    size_t max_items;       /* pending writes: see engine_room() */
    size_t max_bytes;       /* memory of pending writes, likewise */
    usec linger;            /* wait for a fuller batch while requests are in flight */
    usec backoff_base, backoff_max;
    usec throttle_base;             /* first wait after a throttled request */
    int64_t write_units_per_second; /* 0: no cap */
    uint64_t seed;                  /* of the jitter */
    bool reread;                    /* what came back is asked for before it goes again */
    bool barrier;                   /* from the start on: what is offered waits for EVENT_DURABLE */
    void *arg;
    /* Does DynamoDB hold exactly this item, for sure? Asked for puts, when about to be sent. */
    bool (*holds)(void *arg, struct payload *p);
};

/* A request: writes[i] stay valid until the reply's step returns. */
struct request {
    uint64_t id;
    unsigned count;
    struct payload *writes[BATCH_MAX_ITEMS];
};

enum event_kind {
    EVENT_OFFER, /* .payload: taken over by the engine. Nothing is sent before the next other
                          event: end a run of offers with EVENT_TIMER */
    EVENT_REPLY, /* .request_id, .reply */
    EVENT_TIMER, /* the deadline passed */
    EVENT_PAUSE, /* nothing is sent until EVENT_RESUME */
    EVENT_RESUME,
    EVENT_STOP,        /* nothing is sent any more; replies are awaited */
    EVENT_OPEN,        /* .target may be written */
    EVENT_PARK,        /* .target is not written; its pending writes are forgotten (the source reads
                          them again later) and in-flight ones when their replies come */
    EVENT_CREDENTIALS, /* credentials are there (again) */
    EVENT_KEEP,        /* what was asked for before .serial (see engine_asked()) goes as it is */
    EVENT_DURABLE,     /* what was offered before .serial (see engine_serial()) may be sent */
};

struct event {
    enum event_kind kind;
    struct payload *payload;
    uint64_t request_id, serial;
    const struct reply *reply;
    uint32_t target;
};

enum action_kind {
    ACTION_SEND,        /* .request */
    ACTION_WRITTEN,     /* .payload, now the receiver's */
    ACTION_SPARED,      /* .payload, now the receiver's: DynamoDB holds it already */
    ACTION_REFUSED,     /* .payload, now the receiver's; .reply says why */
    ACTION_PARK,        /* .target cannot be written: .reply; answer with EVENT_PARK */
    ACTION_CREDENTIALS, /* fresh credentials are needed: .reply; answer with EVENT_CREDENTIALS */
    ACTION_RETRY,       /* for the log: a request failed, .reply; it goes again after .delay */
};

struct action {
    enum action_kind kind;
    const struct request *request;
    struct payload *payload;
    uint32_t target;
    usec delay;
    const struct reply *reply; /* valid while the actions of this step are carried out */
};

/* Grown by the engine, cleared by the caller. */
struct actions {
    struct action *items;
    size_t count, cap;
};

struct engine_stats {
    size_t items, bytes; /* pending or in flight */
    unsigned in_flight;  /* requests */
    uint64_t requests, retries, throttled, unprocessed, written_bytes;
    double write_units;   /* as consumed by the service's own count, or our estimate */
    unsigned retry_quota; /* tokens left for retries; without them they go one at a time */
    usec retry_at;        /* when the next try after a failure is due, or USEC_NEVER */
    bool waiting_credentials;
};

/* `targets`: how many DynamoDB tables there are; all parked at first. NULL: no memory. */
struct engine *engine_new(const struct engine_config *c, uint32_t targets);
void engine_free(struct engine *e);
/* More targets; the new ones are parked. 0 or -ENOMEM. */
int engine_grow(struct engine *e, uint32_t targets);

/* Carry out one event. Actions are appended to `out`. 0, or -ENOMEM: then nothing was changed by an
 * offer (its payload is still the caller's). */
int engine_step(struct engine *e, usec now, const struct event *ev, struct actions *out);

/* Is there room for another slice of work (a thousand items, a few megabytes)? Of changes, which
 * have the half of what is free to themselves; or of a load, a comparison or the like. Never beyond
 * max_items and max_bytes. */
enum engine_share { SHARE_CHANGES, SHARE_LOADS };
bool engine_room(struct engine *e, usec now, enum engine_share share);
/* Is there enough to keep the requests in flight busy until the source is asked again? What is read
 * further ahead is older when it is sent, and out of the processor's cache by then. */
bool engine_ahead(struct engine *e, usec now, enum engine_share share);
/* And for one more write of this target? Where engine_limited(), which may change with every step,
 * only while it has less than a part of what is free (loads: half of that). */
bool engine_room_for(struct engine *e, usec now, uint32_t target, enum engine_share share);
/* Do the target's own limits hold its writes back: throttling, keys that wait, the cap? */
bool engine_limited(struct engine *e, usec now, uint32_t target);
/* Memory of writes that are yet to be offered counts as pending: so much of it comes, or (negative)
 * goes. */
void engine_reserve(struct engine *e, uint32_t target, ptrdiff_t bytes);
/* When EVENT_TIMER is due, or USEC_NEVER. */
usec engine_deadline(const struct engine *e);
void engine_stats(const struct engine *e, struct engine_stats *out);
/* Pending or in flight, of one target. */
size_t engine_pending(const struct engine *e, uint32_t target);
/* Write units a second that a target is sent at most, as learnt from its throttling; 0: no limit.
 */
double engine_limit(const struct engine *e, uint32_t target);
/* Serial of the next offer, and of the oldest one of a target that is not settled (UINT64_MAX:
 * none): together they tell when everything that was offered before some moment is over. */
uint64_t engine_serial(const struct engine *e);
uint64_t engine_oldest(const struct engine *e, uint32_t target);
/* A place among the offers for what was read now and is offered later (payload.serial). */
uint64_t engine_take_serial(struct engine *e);
/* The writes in flight whose outcome such a reply leaves open: `fn` for each. NULL for `reply`: of
 * every request in flight, as if none were answered any more. */
typedef void engine_write_fn(void *arg, const struct payload *p);
void engine_left_open(const struct engine *e, uint64_t request, const struct reply *reply,
                      engine_write_fn *fn, void *arg);
/* Is there a key of the target, neither pending nor in flight, whose last write may yet have been
 * carried out? */
bool engine_in_doubt(const struct engine *e, uint32_t target);
/* Is a write of this key pending or in flight? */
bool engine_has(const struct engine *e, uint32_t target, const void *key, size_t n);
/* The newest write of this key that is pending or in flight, until the next step; NULL: none. */
const struct payload *engine_newest(const struct engine *e, uint32_t target, const void *key,
                                    size_t n);
/* What became of a write could not be kept. Is there a newer one of its key? Then that takes over
 * its places, is spared by nothing that was known before, and `p` is freed. */
bool engine_overtaken(struct engine *e, struct payload *p);
/* Of which keys is a fresh read wanted? `fn` for at most so many of those writes, from that ticket
 * on, in the order in which they were asked for. Returns the ticket to go on from, which is `from`
 * when there are no more: offer what their rows are, then send EVENT_KEEP with it for those that
 * nothing came of. */
uint64_t engine_asked(const struct engine *e, uint64_t from, unsigned most, engine_write_fn *fn,
                      void *arg);
/* Is any wanted? Not after EVENT_STOP. */
bool engine_asks(const struct engine *e);
/* A changed configuration; `arg`, `holds`, `barrier` and `reread` stay as they are. */
void engine_configure(struct engine *e, const struct engine_config *c);

void actions_clear(struct actions *a);
void actions_free(struct actions *a);

#endif
