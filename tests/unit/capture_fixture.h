/* What the tests of capture ask about triggers and journal. */
#ifndef SYNCD_TESTS_CAPTURE_FIXTURE_H
#define SYNCD_TESTS_CAPTURE_FIXTURE_H

#include "database_fixture.h"

#include "mapping/plan_internal.h"

#define THREE_TABLES                                                                               \
    "CREATE TABLE a(id INTEGER PRIMARY KEY, v);"                                                   \
    "CREATE TABLE b(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"                                         \
    "CREATE TABLE c(x INT, y TEXT, v, PRIMARY KEY(x, y));"

static inline struct capture_state *look(struct world *w)
{
    struct capture_state *st = NULL;

    assert_int_equal(capture_look(w->source, &st), SQLITE_OK);
    return st;
}

/* To be freed with sqlite3_free(). */
static inline char *mark_of(struct world *w, const char *table)
{
    struct capture_state *st = look(w);
    char *mark = capture_mark(st, table);

    capture_state_free(st);
    return mark;
}

/* "intact", "missing" (nothing else is there in its place) or "altered". */
static inline const char *state_of(struct world *w, size_t table)
{
    struct capture_state *st = look(w);
    bool differ, intact = capture_intact(st, &w->tables[table], &differ);

    capture_state_free(st);
    return intact ? "intact" : differ ? "altered" : "missing";
}

static inline bool differs(struct world *w)
{
    struct capture_state *st = look(w);
    bool differ = capture_differs(st, &w->capture);

    capture_state_free(st);
    return differ;
}

/* Which tables the last install made anew, by their number; forgotten at once. */
static inline const char *rebuilt(struct world *w)
{
    static char which[MAX_TABLES + 1];
    size_t n = 0;

    for (size_t i = 0; i < w->capture.count; i++) {
        if (w->tables[i].rebuilt)
            which[n++] = (char)('0' + i);
        w->tables[i].rebuilt = false;
    }
    which[n] = '\0';
    return which;
}

/* Entries of the first `count` columns of the plan: a remote key made of more than the row key. */
static inline void widen_entry(struct world *w, size_t table, size_t count)
{
    struct table_plan *p = w->plans[table];
    struct err err = {.text = ""};
    struct plan_maker m = {.table = table_named(w, p->table), .plan = p, .err = &err};

    plan_capture_clear(&p->capture);
    p->capture = (struct plan_capture){.lookup_count = 0};
    p->entry_count = count;
    assert_int_equal(plan_add_capture(&m), 0);
}

#endif
