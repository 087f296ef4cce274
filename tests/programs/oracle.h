/* The oracle: what another store would hold if it learnt of a database by the journal alone.
 *
 * It does what the daemon does: reads the schema, makes plans, installs the triggers, reads journal
 * entries in order, looks each key up, and puts or deletes. Where the installation says that a
 * table's triggers were not as they should be, or the plan reads other columns than before, that
 * table is taken anew from its rows, as the daemon compares it.
 *
 * At the end the store must be the tables, read by nothing that the draining used. */
#ifndef SYNCD_TESTS_ORACLE_H
#define SYNCD_TESTS_ORACLE_H

#include "base/rng.h"
#include "program.h"
#include "source/capture.h"
#include "source/catalog.h"
#include "source/journal.h"
#include "source/rows.h"

enum { MAX_ORACLE_TABLES = 8 };

/* A fault planted on purpose, to see that it is found. */
struct plant {
    const char *name;
    const char *drop;      /* triggers by this pattern go after each installation */
    const char *from, *to; /* in the triggers' text, … */
    bool trust_entries;    /* a row found by an entry is put under the entry's key */
};

struct oracle_table {
    char *name;
    char *columns; /* what the plan read last */
    uint32_t id;
    struct table_plan *plan;
    struct rows *rows;
    bool present;
};

struct oracle_item {
    char *key, *row;
};

struct oracle {
    const struct program *program; /* borrowed */
    const struct plant *plant;     /* borrowed; NULL: none */
    struct source *source;
    struct catalog *catalog;
    struct journal *journal;
    struct oracle_table tables[MAX_ORACLE_TABLES];
    size_t table_count;
    uint32_t last_id;
    int64_t schema_version; /* of which plans and triggers are; -1: none */
    int64_t read, acked;
    struct oracle_item *items;
    size_t item_count;
    struct buf why;       /* what is wrong; empty: nothing so far */
    struct buf installed; /* our objects as they were made first, as SQL */
    /* What it met, to see that programs do something. */
    size_t entries, refreshed, extra_columns, planted;
    size_t unseen; /* rows that went where the plan says that they may */
};

void oracle_open(struct oracle *o, const char *path);
void oracle_close(struct oracle *o);
bool oracle_failed(const struct oracle *o);
void oracle_fail(struct oracle *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* After each statement: takes up a changed schema as soon as the database can be written. */
void oracle_notice(struct oracle *o);
/* At most `limit` entries; 0: to the end. */
void oracle_drain(struct oracle *o, uint64_t limit);
void oracle_acknowledge(struct oracle *o, uint64_t less);
/* Is the store the tables? `db` is any other connection. */
void oracle_compare(struct oracle *o, sqlite3 *db);
void oracle_uninstall(struct oracle *o);

#endif
