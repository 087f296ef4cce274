/* Capture: the journal table and the triggers that write the keys of changed rows into it.
 *
 *     _syncd_journal(seq INTEGER PRIMARY KEY, t INTEGER, k0, k1, …)
 *
 * seq orders the changes, t is the id of a table's capture, k0… are the values of the plan's entry
 * columns: the row key, and what else the remote key is made of. The first row is the sentinel: t =
 * 0, k0 = a random nonce, k1 = the database's id, seq = up to where entries are acknowledged; so
 * the sequence never restarts, and a restored or truncated journal is told from ours.
 *
 * The triggers (capture_sql.h) are written in SQL that SQLite 3.7 understands, as far as the
 * table's own indexes are; name key columns and those of unique indexes only, which cannot be
 * dropped while they are that; and use nothing but INSERT into a table without constraints, so that
 * no conflict clause, setting or old library of the application makes them fail. They run inside
 * the application: every name in them is quoted.
 *
 * What they do not see: a row whose index the plan says is beyond us (plan_capture.limits), and a
 * row of a table without lookups that REPLACE removes by a rowid that is not its key, as in
 * INSERT OR REPLACE INTO t(rowid, key); and a row that a TEMP trigger, which runs before all
 * others, keeps while it gives up the rest (capture_cut_short). */
#ifndef SYNCD_SOURCE_CAPTURE_H
#define SYNCD_SOURCE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/plan.h"
#include "source/source.h"

enum { CAPTURE_NONCE_SIZE = 16, CAPTURE_ID_SIZE = 16, CAPTURE_KIND_SIZE = 24 };

/* A table whose changes are to be captured. */
struct capture_table {
    uint32_t id;
    const struct table_plan *plan;
    bool intact;  /* in: capture_intact() has said so of the state at hand */
    bool rebuilt; /* out: its triggers were not as they should be and were made anew */
};

struct capture {
    struct capture_table *tables;
    size_t count;
    int64_t journal_limit; /* entries; the oldest go beyond it */
    /* Which database this is, and a digest of where: kept in a trigger's text and the sentinel. */
    uint8_t id[CAPTURE_ID_SIZE], place[CAPTURE_ID_SIZE];
    int64_t schema_version; /* of which the plans were made; 0: of any */
    bool canary;            /* the canary's table is to be there (canary.h) */
    char **marks;           /* out: capture_mark() of each table as it was left; NULL: not asked */
    int64_t *marked_at;     /* out with these: the schema version then */
};

/* One trigger of ours in the database. */
struct capture_found {
    uint32_t id;                  /* 0: the journal's own */
    char kind[CAPTURE_KIND_SIZE]; /* as in capture_sql.h */
    int64_t entry, root;          /* in the schema: its rowid, its root page */
    char *name, *table, *sql;
};

/* A table in the schema. */
struct capture_entry {
    int64_t entry, root;
    char *name;
    int64_t others; /* the last trigger on it that is not ours and may run before ours; 0: none */
};

struct capture_state {
    struct capture_found *triggers; /* in the order of the schema */
    size_t count;
    struct capture_found **by_name, **by_table; /* the same */
    struct capture_entry *tables;               /* by name */
    size_t table_count;
    uint32_t max_id;       /* of all triggers */
    bool journal;          /* the table is there */
    bool canary;           /* and the canary's */
    unsigned journal_keys; /* k0 … k(n-1) */
    int64_t first_seq;     /* -1: empty */
    int64_t first_t;
    int64_t max_seq; /* -1: empty */
    uint8_t nonce[CAPTURE_NONCE_SIZE];
    bool nonce_valid; /* the first row is a sentinel */
    bool id_valid, place_valid;
    uint8_t id[CAPTURE_ID_SIZE], place[CAPTURE_ID_SIZE];
};

/* What of ours is in the database. An SQLite result code. */
int capture_look(struct source *s, struct capture_state **out);
void capture_state_free(struct capture_state *st);

/* Our trigger of that name, or NULL. */
const struct capture_found *capture_find(const struct capture_state *st, const char *name);
/* Id under which triggers on `table` were made, 0 when there are none. */
uint32_t capture_id_of(const struct capture_state *st, const char *table);
/* Highest id in any trigger's name. */
uint32_t capture_max_id(const struct capture_state *st);
/* The newest of a table's triggers runs first, and one of the application's that runs after a row
 * was written may give up what is behind it but keep the row: by RAISE(IGNORE), RAISE(FAIL), or a
 * constraint under OR FAIL. Does one stand before this trigger of ours? */
bool capture_cut_short(const struct capture_state *st, const struct capture_found *f);
/* Are the triggers of this id all those of the plan, and where none of the application's can keep
 * them from running? `some_differ`: one that is there writes other entries, or of another table (a
 * changed key needs a new id); not so when some are merely missing, or look for rows in another way
 * because an index came or went. */
bool capture_intact(const struct capture_state *st, const struct capture_table *t,
                    bool *some_differ);
/* Does anything at all differ from what capture_install() would leave? */
bool capture_differs(const struct capture_state *st, const struct capture *c);

/* Make the database so, in one transaction: journal, sentinel (with `nonce` when a new one is
 * needed), the canary's table, triggers; ours that are not wanted go. Sets `rebuilt` and `marks`.
 * An SQLite result code; on failure nothing has changed. SQLITE_BUSY also when the schema is
 * another by now: a table that was rebuilt meanwhile must not get its triggers back before somebody
 * has judged it. */
int capture_install(struct source *s, const struct capture *c,
                    const uint8_t nonce[CAPTURE_NONCE_SIZE]);

/* Id and place out of the text of the trigger _syncd_cap; false when it has none. */
bool capture_parse_identity(const char *sql, uint8_t id[CAPTURE_ID_SIZE],
                            uint8_t place[CAPTURE_ID_SIZE]);

/* Take the triggers out, journal and canary too when asked for, in one transaction. */
int capture_remove(struct source *s, bool journal_too);

/* Text that changes when the table or one of our triggers on it was dropped and made again, even
 * word for word: root page and schema rowids. Free with sqlite3_free(); NULL: no memory, or no such
 * table. */
char *capture_mark(const struct capture_state *st, const char *table);
/* The exception: whoever drops every trigger of ours that is behind the table's first, that one and
 * the cap included, and makes them again in the same order, leaves each number as it was. That
 * takes more changes of the schema (each moves its version by one) than there are such triggers.
 * May `changes` have been that? */
bool capture_mark_deceives(const struct capture_state *st, const char *table, uint32_t changes);

#endif
