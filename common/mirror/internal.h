/* Shared by the mirror's files only: mirror.c (life, work, the engine's actions), attach.c (schema
 * and capture), identity.c (whose journal it is), reader.c (journal), loader.c (tables), records.c
 * (outcomes), ack.c, targets.c, orders.c, view.c. */
#ifndef SYNCD_MIRROR_INTERNAL_H
#define SYNCD_MIRROR_INTERNAL_H

#include "base/map.h"
#include "mirror/mirror.h"
#include "source/catalog.h"
#include "source/journal.h"
#include "source/rows.h"

enum {
    READ_LIMIT = 1000,            /* entries or rows of one slice */
    READ_BYTES = 4 * 1024 * 1024, /* encoded */
    ENGINE_ITEMS = 8000,
    ENGINE_BYTES = 16 * 1024 * 1024,
    RECORDS_MAX = 4000, /* outcomes in one store transaction */
    LAG_SAMPLES = 1024,
};
#define READ_TIME       (20 * USEC_PER_MSEC)
#define FLUSH_DELAY     (100 * USEC_PER_MSEC)
#define ORDER_PATIENCE  (2 * USEC_PER_SEC) /* an operator waits for it */
#define ATTACH_PATIENCE (20 * USEC_PER_MSEC)
#define READ_PATIENCE   (2 * USEC_PER_MSEC)
#define READ_QUIET      (USEC_PER_MSEC / 2)
#define READ_POSTPONED  (500 * USEC_PER_MSEC)
#define ADOPT_DELAY     (60 * USEC_PER_SEC)
#define ACK_QUIET       (250 * USEC_PER_MSEC)
#define ACK_INTERVAL    (5 * USEC_PER_SEC)
#define ACK_ROLLBACK    (3 * USEC_PER_SEC)
#define ACK_BUSY_RETRY  (100 * USEC_PER_MSEC)
#define STORE_RETRY     (1 * USEC_PER_SEC)
enum { ACK_ENTRIES = 10000 };

/* Among SQLite's result codes of the user's database: our own state file failed. */
enum { STATE_FAILED = SQLITE_INTERNAL };

struct target_slot {
    struct mirror_target view;
    char *name;
    struct key_schema schema; /* owned copy */
    uint32_t store_id;
    bool fresh; /* just made, and not yet known so by the store */
};

struct table_slot {
    char *name;
    struct table_plan *plan; /* NULL: not mirrored */
    char *refusal;
    uint32_t id;     /* of its capture */
    uint32_t target; /* index */
    struct rows *rows;

    enum load_state load;
    struct buf cursor; /* where the loader reads next */
    int64_t cookie;    /* schema_version that the cursor belongs to */
    bool full;         /* send rows whatever the digests say */
    enum { SWEEP_START, SWEEP_COUNT, SWEEP_DELETE } sweep;
    uint64_t load_serial; /* offers before it were read before the load began */
    bool recheck;         /* its dead letters are to be looked at again */
    bool had_items; /* the load began with items known to be there: extra ones are looked for */
    bool held;      /* the sweep would delete more than hold_deletes allows */
    bool approved;  /* and may */
    int64_t extras, items; /* items without a row, of how many; counted before any is deleted */
    bool reading_done;     /* the current phase has read everything; its spans are still out */
    uint64_t page;
    struct track load_track;

    bool skipped;     /* the reader passes over its entries; they are read again from lag_seq */
    bool lag_tracked; /* lag_track holds back the journal */
    int64_t lag_seq;
    struct track lag_track;

    uint64_t items_put, items_deleted;
};

enum record_kind { RECORD_WRITTEN, RECORD_SPARED, RECORD_REFUSED, RECORD_FAULT, RECORD_SETTLED };

/* An outcome on its way to the store, and the span references it lets go of afterwards. */
struct record {
    struct list link;
    enum record_kind kind;
    struct payload *payload; /* RECORD_SETTLED and FAULT: row key only, may be NULL */
    struct span *span;
    char *column, *reason, *message; /* of REFUSED and FAULT */
};

struct seen_table {
    char *name;
    usec since;
};

struct mirror {
    const struct config *config;
    struct mirror_edge edge;
    int database_lock; /* held beside the database, whatever state file another daemon may use */
    struct store *store;
    struct source *source;
    struct journal *journal;
    struct engine *engine;
    struct actions actions;
    bool acting; /* actions are being carried out; those that follow join the end */

    enum source_problem problem;
    struct err problem_text;
    bool attached, detached, uninstalled, paused, ever_attached;
    bool unclean;       /* the last process of this state file was killed */
    bool fresh_waiting; /* some target is fresh */
    bool replaced;      /* another file came to the path: every table is compared */
    int64_t schema_version;
    uint32_t data_version;

    struct table_slot *tables;
    size_t table_count;
    struct target_slot **targets;
    uint32_t target_count, announced_targets;
    struct seen_table *seen;
    size_t seen_count;
    usec adopt_at; /* when a table that appeared may be adopted */

    /* the journal */
    struct track track;
    int64_t watermark;    /* read up to here */
    usec postponed;       /* rollback mode: since when reading gives way to writers; 0: no more */
    usec unwritten;       /* and since when none was seen; 0: one was */
    int64_t acked;        /* the sentinel stands here */
    bool sentinel;        /* and is a sentinel of ours */
    int64_t force_upto;   /* entries found at the start are sent whatever the digests say */
    uint32_t doubted[16]; /* ids whose digests were put in doubt, a ring */
    unsigned doubted_count;
    uint8_t nonce[CAPTURE_NONCE_SIZE], old_nonce[CAPTURE_NONCE_SIZE];
    bool nonce_stored;
    usec last_change, last_ack, ack_retry;
    struct mirror_ack_locks ack_locks;
    size_t next_load;

    /* outcomes */
    struct list records, syncing;
    size_t record_count;
    usec first_record;
    bool sync_pending, state_broken;
    usec state_retry;
    usec now; /* of the call at hand */
    struct err state_error;

    /* scratch, reused */
    struct buf key, row_key, json;

    uint64_t changes, items_put, items_deleted, spared, refused, discarded;
    usec converged_at;
    uint32_t lag[LAG_SAMPLES]; /* microseconds / 64, a ring */
    uint64_t lag_count;
};

/* mirror.c */
int mirror_lock_database(struct mirror *m, struct err *err);
void mirror_act(struct mirror *m, usec now, const struct event *ev);
void mirror_fail(struct mirror *m, int sqlite_rc, const char *doing);
void mirror_note(struct mirror *m, enum log_level level, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
struct table_slot *mirror_table_by_id(struct mirror *m, uint32_t id);
struct table_slot *mirror_table_named(struct mirror *m, const char *name);
bool mirror_room(const struct mirror *m);
int64_t mirror_low(const struct mirror *m);

/* attach.c */
void table_slot_clear(struct table_slot *t);
void mirror_free_tables(struct mirror *m);
/* identity.c */
/* The first look at the journal of a database that was just attached. An SQLite result code. */
int identity_first_look(struct mirror *m, bool journal_was_there);
/* The journal at the path is not the one we knew: read it from its start and compare every table.
 */
int mirror_compare_all(struct mirror *m, const char *why);
/* A load begins, or goes on from its cursor, with no span out. */
void load_track_reset(struct mirror *m, struct table_slot *t);
int mirror_load_again(struct mirror *m, struct table_slot *t, bool full);

/* reader.c */
unsigned reader_slice(struct mirror *m, usec now);
/* Turn the row of `row_key` as it is now into a write and offer it. `found`: rows->values hold the
 * row. Spans may be NULL. 0 or -ENOMEM. */
int reader_offer(struct mirror *m, usec now, struct table_slot *t, const struct value *row_key,
                 const struct buf *row_key_bytes, int found, bool force, struct span *journal,
                 struct span *load);

/* A delete of the item in m->key, m->json, whose row key (if known) is in m->row_key. */
int reader_offer_delete(struct mirror *m, usec now, struct table_slot *t, struct span *load);

/* loader.c */
unsigned loader_slice(struct mirror *m, usec now);
void loader_advanced(void *arg, const struct span *s);
bool loader_pending(const struct mirror *m);

/* targets.c */
/* Open targets that waited for the state file to say that they are new. */
void targets_open_fresh(struct mirror *m, usec now);

/* orders.c */
/* Read the rows of a table's dead letters again: those that are gone or well are none any more. */
/* Dead letters of tables that are mirrored no more, or under another id, are moot. */
int orders_forget_letters(struct mirror *m);
void orders_recheck_letters(struct mirror *m, usec now, uint32_t table);

/* records.c */
int record_add(struct mirror *m, usec now, enum record_kind kind, struct payload *p,
               struct span *span, const char *column, const char *reason, const char *message);
void records_free(struct mirror *m);
/* What came of a write to the store: a failure has rolled back all that was written since the last
 * commit, and is said once and mended in a while. Returns `rc`. */
int records_kept(struct mirror *m, int rc);
/* The store cannot be written: roll back, say so once, try again in a while. */
void records_store_failed(struct mirror *m, usec now);

#endif
