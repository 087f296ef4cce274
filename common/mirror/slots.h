/* What the mirror holds while it runs: its targets, its tables, what waits for the state file. */
#ifndef SYNCD_MIRROR_SLOTS_H
#define SYNCD_MIRROR_SLOTS_H

#include "base/map.h"
#include "mirror/mirror.h"
#include "mirror/place.h"
#include "mirror/split.h"
#include "source/catalog.h"
#include "source/durable.h"
#include "source/journal.h"
#include "source/references.h"
#include "source/rows.h"
#include "source/stamp.h"

enum {
    READ_LIMIT = 250, /* entries or rows of one slice: replies wait no longer than that */
    READ_BYTES = 4 * 1024 * 1024, /* encoded */
    ENGINE_ITEMS = 12000,
    ENGINE_BYTES = 24 * 1024 * 1024,
    SCAN_LIMIT = 50000,               /* entries passed over in one slice for those of one table */
    RECORDS_MAX = 2400,               /* outcomes in one store transaction, */
    RECORDS_BYTES = 12 * 1024 * 1024, /* and what they hold in memory until it is durable */
    LAG_SAMPLES = 1024,
    MIRROR_ACK_BOUNDS = 10,
};
#define READ_TIME        (20 * USEC_PER_MSEC)
#define FLUSH_DELAY      (100 * USEC_PER_MSEC)
#define FLUSH_GAP        (20 * USEC_PER_MSEC) /* between two that nothing waits for */
#define ORDER_PATIENCE   (2 * USEC_PER_SEC)   /* an operator waits for it */
#define OPENING_PATIENCE (2 * USEC_PER_SEC)   /* for what is not open yet, at first */
#define ATTACH_PATIENCE  (20 * USEC_PER_MSEC)
#define READ_PATIENCE    (2 * USEC_PER_MSEC)
#define SCHEMA_QUIET     (250 * USEC_PER_MSEC)
#define SCHEMA_LATEST    (800 * USEC_PER_MSEC)
#define READ_QUIET       USEC_PER_MSEC
#define READ_POSTPONED   (500 * USEC_PER_MSEC)
#define ADOPT_DELAY      (60 * USEC_PER_SEC)
#define ACK_QUIET        (250 * USEC_PER_MSEC)
#define ACK_INTERVAL     (5 * USEC_PER_SEC)
#define ACK_ROLLBACK     (3 * USEC_PER_SEC)
#define ACK_BUSY_RETRY   (100 * USEC_PER_MSEC)
#define STORE_RETRY      (1 * USEC_PER_SEC)
#define HELD_LOOK        (5 * 60 * USEC_PER_SEC) /* others may have cleaned up */
enum { ACK_ENTRIES = 10000 };
/* A table parked for longer, or with more entries waiting, holds the journal no more. */
#define PARKED_PATIENCE (60 * USEC_PER_SEC)
enum { PARKED_ENTRIES = 100000 };
/* Such a table is to the store one whose load has not begun, with one of these for a cookie: that
 * nothing of it can be on its way, not even when the process is killed; or that it could be when a
 * load was interrupted before. */
#define COOKIE_PARKED        INT64_MIN
#define COOKIE_PARKED_UNSURE (INT64_MIN + 1)

/* What an operator has ordered, as "detached" in the store; ORDER_ATTACH: the opposite, and it is
 * not carried out yet; ORDER_ADOPT: that, as a database of its own. */
enum { ORDER_NONE, ORDER_DETACH, ORDER_UNINSTALL, ORDER_HAND_OVER, ORDER_ATTACH, ORDER_ADOPT };

/* Among SQLite's result codes of the user's database: our own state file failed. */
enum { STATE_FAILED = SQLITE_INTERNAL };

/* What a process that was killed may have left on its way to a target besides what its window of
 * the journal tells. */
enum shaken {
    SHAKEN_NOT,
    SHAKEN_ENTRIES, /* older contents of rows, whose change is in the journal */
    SHAKEN_ROWS,    /* and of rows whose change is not */
};

struct target_slot {
    struct mirror_target view;
    char *name;
    struct key_schema schema; /* owned copy */
    uint32_t store_id;
    bool fresh;  /* another table than before, and not yet known so by the store */
    bool unread; /* whether it is so could not be read */
    char identity[80];
    usec looked_at; /* when the edge found it well at the first look */
    bool opening;   /* waits for the state file to say so */
    char then[500]; /* why it is parked, and that it will be compared */
    bool shared;    /* by several tables */
    bool beside;    /* it is the one of a table, too, that is there and not mirrored */
    bool unwatched; /* nothing was mirrored into it since it was looked at: it may be another */
    bool contested; /* rows may meet at one key: see owner.c */
    bool split;     /* rows of some table may become several items: see split.h */
    bool was_split; /* or might once, and chunks of them may be there still */
    bool waiting;   /* to be opened once the state file can be written */
    enum shaken shaken;
    uint64_t unseen; /* offers before it may be of rows that changed unseen; 0: none: windows.c */
    /* whose it is: survey.c */
    unsigned owned;        /* OWNED_ bits, as in the store */
    unsigned owned_before; /* an order, should that fail */
    bool made;             /* just now, by us: nothing is in it */
    bool ahead;            /* its marker is of a later life than the state file */
    unsigned told; /* OWNED_ bits by its marker, of which the state file does not know yet */
    bool marking, marked;
    bool found;  /* in the survey under way: items of ours of which no more is known, */
    bool others; /* and such as no table's keys tell */
    bool joined; /* a table came amid it */
    bool later;  /* and such as may be several tables', whose rows are not all sent */
    int mixed;   /* items of tables that are not mirrored just now may be there; -1: not asked */
    uint64_t survey_rollbacks; /* of the state file, when it began */
    usec held_at, survey_retry;
    char example[80]; /* key of the first foreign item */
};

struct table_slot {
    char *name;
    struct table_plan *plan; /* NULL: not mirrored */
    char *refusal;
    bool canary;     /* ours: see canary.c */
    bool intact;     /* its triggers were, when attaching */
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
    uint64_t rechecked;   /* they were: offers before it may be of them; 0: all is settled */
    bool referred_to;     /* some table's rows are left out while a row of this one is missing */
    bool had_items;   /* the load began with items known to be there: extra ones are looked for */
    bool held;        /* the sweep would delete more than hold_deletes allows */
    bool approved;    /* and may */
    bool sweep_again; /* once the sweep under way is over: it may have passed what is to be seen */
    int64_t extras, items; /* items without a row, of how many; counted before any is deleted */
    bool reading_done;     /* the current phase has read everything; its spans are still out */
    uint64_t page;
    int64_t rows_read; /* by this load; an interrupted one began with the items known then */
    struct track load_track;

    bool skipped;     /* the reader passes over its entries; they are read again from lag_seq */
    bool behind;      /* for lack of room: what was read of it is still pending (room.c) */
    bool lag_tracked; /* lag_track holds back the journal */
    int64_t lag_seq;
    struct track lag_track;
    usec behind_since; /* skipped or catching up: a table that is open for moments only is behind */
    int64_t waiting;   /* entries that were passed over since then */

    bool let_go;     /* skipped for long: its load is to begin anew, and nothing is held for it */
    bool unsure;     /* a load was interrupted: any of its rows may have been on its way */
    int64_t doubted; /* entries up to here that may have been on their way are suspects … */
    bool in_doubt;   /* … and there were some */

    uint64_t items_put, items_deleted;
};

/* A table that is gone from the database (dropped.c). */
struct dropped {
    struct table_slot table; /* id, name, target, a plan with no more than names and key, cursor */
    usec due;                /* when it is decided what becomes of its items */
    bool deleting;
    bool lingering;       /* all are deleted; a write may yet put one back */
    bool waiting;         /* some are chunks that stay until no head of theirs can come */
    size_t found;         /* other items met in this pass over them */
    uint64_t pass_serial; /* the next pass waits for what was offered before */
};

enum record_kind {
    RECORD_WRITTEN,
    RECORD_SPARED,
    RECORD_REFUSED,
    RECORD_FAULT,
    RECORD_SETTLED,
    RECORD_UNCONFIRMED, /* a write of the key may yet be carried out, until payload.sent_before */
    RECORD_SUSPECT,     /* an item of which only the key is known: a comparison looks at it */
    RECORD_UNWRITTEN,   /* nothing will be written of the key: a chunk of it was refused */
    RECORD_ORPHAN,      /* a row that awaits another, which payload.key stands for (orphans.c) */
    RECORD_CAME,        /* that other row is there */
    RECORD_DOUBT, /* an item of which only the key is known, and what is known of it counts no more
                   */
};

/* An outcome on its way to the store, and the span references it lets go of afterwards. */
struct record {
    struct list link;
    enum record_kind kind;
    bool durable;            /* kept by records_sync(): what was noted since is newer */
    struct payload *payload; /* RECORD_SETTLED and FAULT: row key only, may be NULL */
    struct span *span;
    char *column, *reason, *message; /* of REFUSED and FAULT */
};

/* Slices that had something in them, and until when the next is put off: see pace.c. */
enum { PACE_SLICES = 16 };
struct pace {
    usec found[PACE_SLICES];
    size_t count;
    usec until; /* monotonic; 0: not at all */
};

/* Is what was read on the disk (barrier.c)? */
struct barrier {
    bool read;         /* something was read, and the sync that covers it has not begun */
    bool syncing;      /* the edge is at it */
    bool ahead;        /* the edge is at one that began before reading, and may cover it */
    bool worth;        /* the last commits of others had something to send */
    bool failed;       /* the last one did */
    bool gap;          /* one did: what was read since may be taken back all the same */
    bool wal;          /* the database's mode when it was read last */
    bool known;        /* the state of `version` is durable */
    int64_t version;   /* data_version: counts commits of others */
    int64_t watermark; /* the journal is durable up to here, */
    int64_t acked;     /* and this acknowledgement of ours */
    int64_t seen;      /* after a gap: the state file knows that the journal was read up to here */
    /* The same, once the sync under way is over; and the offers before `serial` may be sent. */
    bool known_next;
    int64_t version_next, watermark_next, acked_next;
    uint64_t serial;
    uint64_t sync; /* the last one that the edge was asked for */
    usec retry;    /* a sync that failed is tried again then */
    struct err error;
};

/* See suspects.c and windows.c. */
struct suspects {
    bool begun;            /* a target was opened: from then on a kill leaves writes behind */
    bool killed;           /* the process before this one left some */
    int64_t window;        /* it may have sent the journal's entries up to here */
    usec window_until;     /* and none of its writes is carried out from here on (service's time);
                              USEC_NEVER: not known yet; 0: there are none */
    bool unknown;          /* which tables it wrote nobody knows: those to come, too */
    bool loose, was_loose; /* writes of no entry and no load may be on their way (were, then) */
    /* Entries up to `reserved` may be sent, because a state file that says so is on disk. */
    int64_t reserved, reserve_wanted, reserve_syncing;
    usec next_look;       /* at those whose time is over */
    struct buf after_key; /* of the one that was looked at last in this pass */
    struct store_suspect after;
};

/* See orphans.c. */
struct orphans {
    struct references references;
    bool due;         /* rows that were set aside may be due to be looked at again, */
    bool anew;        /* some since this pass over them began */
    usec again;       /* the next pass begins then, */
    uint64_t serial;  /* and when what was offered before is settled */
    unsigned read;    /* in this pass */
    struct buf after; /* the last one of this pass: what it awaits, */
    int64_t after_id; /* and its id */
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
    bool reread; /* this turn has seen to what the engine asks for */
    bool acting; /* actions are being carried out; those that follow join the end */

    enum source_problem problem;
    struct err problem_text;
    bool attached, detached, handed_over, uninstalled, paused, ever_attached;
    usec paused_until;    /* Unix us; USEC_NEVER: until resumed; 0: not paused */
    bool unclean;         /* the last process of this state file was killed */
    bool fresh_waiting;   /* some target is opening */
    const char *stranger; /* why every table is to be compared once attached; NULL: no reason */
    int64_t schema_version;
    int64_t schema_noticed; /* the version that was seen last, ours or another's */
    usec schema_began, schema_moved;
    bool schema_restless; /* somebody is changing the schema */
    uint32_t data_version;
    struct payload *late;    /* a planted fault's */
    uint32_t change_counter; /* rollback mode: the file header's, read without a lock */
    bool counter_known;

    /* whose database it is */
    uint8_t id[CAPTURE_ID_SIZE], place[CAPTURE_ID_SIZE];
    bool unsettled; /* it is doubtful: left alone until its files stand still */
    usec unsettled_since, still_since;
    bool held;        /* nothing is read or sent until the operator says what it is */
    bool held_paused; /* the engine knows */
    struct err held_text;
    uint8_t held_as[CAPTURE_ID_SIZE]; /* what an approval is for */
    bool adopting;                    /* `attach --adopt`: a database of its own */
    bool reattaching;                 /* attached by order after it was taken out by order */
    bool order_failed;                /* an order failed, and the store may not know it yet: */
    int64_t order_before;             /* what stood before it stands */

    /* resting: attached, without a connection */
    bool resting;          /* all is known while the files are as in `stamp` */
    bool woken;            /* not yet looked at since */
    struct stamp stamp;    /* at rest, held or unsettled; else since `idle_since` */
    usec idle_since;       /* USEC_NEVER: not idle */
    char *wal_path;        /* of the stamp */
    unsigned journal_keys; /* of the journal that is closed */
    char journal_mode[12];
    uint64_t wakeups;
    int64_t seen_kept; /* "seen" in the store */

    struct table_slot *tables;
    size_t table_count, found; /* the one that was asked for last */
    size_t canary;             /* index of the canary's table; table_count: it is not mirrored */
    size_t trigger_count;      /* triggers of ours when they were whole */
    uint64_t moved;            /* counts what was read of tables */
    struct target_slot **targets;
    uint32_t target_count, announced_targets;
    struct seen_table *seen;
    size_t seen_count;
    usec adopt_at;  /* when a table that appeared may be adopted, or one that went counts as dropped
                     */
    bool probation; /* a table is not taken up yet, because it has just appeared */
    struct dropped *dropped;
    size_t dropped_count;

    /* the journal */
    struct track track;
    int64_t watermark;  /* read up to here */
    usec postponed;     /* rollback mode: since when reading gives way to writers; 0: no more */
    usec unwritten;     /* and since when none was seen; 0: one was */
    int64_t acked;      /* the sentinel stands here */
    bool sentinel;      /* and is a sentinel of ours */
    int64_t force_upto; /* entries found at the start, or when what a killed process had sent could
                           come no more, are sent whatever the digests say */
    int64_t doubt_upto; /* the last process was killed: they may have been on their way */
    uint32_t *doubted;  /* ids whose digests were put in doubt: all, to be told of again */
    size_t doubted_count;
    uint8_t nonce[CAPTURE_NONCE_SIZE], old_nonce[CAPTURE_NONCE_SIZE];
    bool nonce_stored;
    usec last_change, last_ack, ack_retry;
    usec ack_refused; /* since when an acknowledgement fails, monotonic; 0: it does not */
    struct histogram ack_locks;
    size_t next_load, next_behind;

    struct barrier barrier;
    struct pace pace;
    struct suspects suspects;
    struct orphans orphans;

    /* rows that become several items */
    struct list splits;
    struct judged judged;

    /* outcomes */
    uint64_t flushes_begun, flushes_durable; /* of the state file */
    struct list records, syncing;
    struct payload_blocks payloads; /* memory of most payloads, */
    struct blocks idle_records;     /* and of records */
    size_t record_count, record_bytes;
    usec first_record, last_flush;
    bool awaited; /* somebody waits for what was written to be kept */
    bool sync_pending, state_broken;
    usec state_retry;
    uint64_t rollbacks; /* of the state file */
    usec now;           /* of the call at hand */
    struct err state_error;

    /* scratch, reused */
    struct buf key, row_key, entry, json;
    struct buf found_key, found_row; /* of the row at hand: see offer.c */
    struct map met;                  /* of the slice that is being read: see reader.c */
    struct blocks idle_met;

    uint64_t changes, items_put, items_deleted, spared, refused, discarded;
    usec converged_at;
    uint32_t lag[LAG_SAMPLES]; /* microseconds / 64, a ring */
    uint64_t lag_count;
    struct histogram lags;
    struct lag_ranks {
        uint64_t of; /* lag_count when they were found: looked for anew only when it has grown */
        uint32_t p50, p99, max;
    } lag_ranks;
};

#endif
