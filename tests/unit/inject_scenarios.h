/* What the mirror does while something in it fails. Each is played in a world of its own; it may
 * find the process ended at any moment. */
#ifndef SYNCD_TESTS_INJECT_SCENARIOS_H
#define SYNCD_TESTS_INJECT_SCENARIOS_H

#include "inject_world.h"

static void load(struct world *w)
{
    for (unsigned t = 0; t < SIM_SOURCES; t++)
        many(w, t, "v");
    turns(w, 60);
}

static void insert_rows(struct world *w)
{
    app_run(w, "INSERT INTO people(name,v) VALUES('a',1),('b',2.5),('c',x'00ff')");
    app_run(w, "INSERT INTO notes(slug,v) VALUES('fresh','text'),('other',NULL)");
    turns(w, 25);
    app_run(w, "INSERT INTO grid VALUES(1,'x','y','z')");
    turns(w, 15);
}

static void update_rows(struct world *w)
{
    app_run(w, "UPDATE people SET v='changed'");
    turns(w, 6);
    app_run(w, "UPDATE people SET v='changed again' WHERE id%%2");
    app_run(w, "UPDATE grid SET v='changed'");
    turns(w, 30);
}

static void delete_rows(struct world *w)
{
    app_run(w, "DELETE FROM people WHERE id%%2");
    app_run(w, "DELETE FROM notes");
    turns(w, 10);
    app_run(w, "DELETE FROM seats; DELETE FROM grid WHERE a=1");
    turns(w, 25);
}

static void move_keys(struct world *w)
{
    app_run(w, "UPDATE people SET id=id+1000");
    app_run(w, "UPDATE msgs SET room=room+7, usr='moved'");
    turns(w, 10);
    app_run(w, "INSERT OR REPLACE INTO people(id,name) VALUES(1001,'replaced')");
    app_run(w, "UPDATE seats SET place=place||'x'; UPDATE tags SET tag=upper(tag)");
    turns(w, 30);
}

static void swap_rows(struct world *w)
{
    app_run(w, "DELETE FROM seats; INSERT INTO seats VALUES(1,'front','a'),(2,'back','b')");
    turns(w, 20);
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "UPDATE seats SET place='aside' WHERE id=1");
    app_run(w, "UPDATE seats SET place='front' WHERE id=2");
    app_run(w, "UPDATE seats SET place='back' WHERE id=1");
    app_run(w, "COMMIT");
    turns(w, 25);
}

static void meet(struct world *w)
{
    app_run(w, "DELETE FROM seats; DELETE FROM desks");
    app_run(w, "INSERT INTO seats VALUES(1,'front','a'),(2,'front','b'),(3,'front','c')");
    turns(w, 20);
    app_run(w, "INSERT INTO desks VALUES('d','front','d')");
    app_run(w, "DELETE FROM seats WHERE id=1");
    turns(w, 20);
    app_run(w, "UPDATE seats SET place='back' WHERE id=2");
    turns(w, 20);
}

static void dead_letters(struct world *w)
{
    app_run(w, "INSERT INTO people(id,v) VALUES(501,'" SIM_POISON "'),(502,9e999),(503,'well'),"
               "(504,zeroblob(1200000))");
    turns(w, 25);
    app_run(w, "UPDATE people SET v='mended' WHERE id IN (501,504)");
    app_run(w, "DELETE FROM people WHERE id=502");
    turns(w, 25);
}

static void retry_letters_again(struct world *w)
{
    app_run(w, "INSERT INTO people(id,v) VALUES(501,'" SIM_POISON "'),(502,9e999)");
    turns(w, 25);
    if (alive_again(w))
        WITHIN(int, 0, mirror_dead_letters_retry(w->mirror, w->now, 0));
    w->pumping = true;
    turns(w, 25);
}

static int give_resync(struct mirror *m, struct err *err)
{
    int rc = mirror_resync(m, NULL, false, err);

    return rc < 0 && rc != -ENOENT ? rc : 0;
}

static int give_full_resync(struct mirror *m, struct err *err)
{
    int rc = mirror_resync(m, NULL, true, err);

    return rc < 0 && rc != -ENOENT ? rc : 0;
}

static void compare_tables(struct world *w)
{
    order(w, give_resync);
    app_run(w, "UPDATE people SET v='while comparing'; DELETE FROM notes");
    turns(w, 30);
}

static void send_all(struct world *w)
{
    order(w, give_full_resync);
    turns(w, 30);
}

static void add_column(struct world *w)
{
    app_run(w, "ALTER TABLE people ADD COLUMN age DEFAULT 7");
    turns(w, 15);
    app_run(w, "UPDATE people SET age=8 WHERE id=1; ALTER TABLE people RENAME COLUMN age TO years");
    turns(w, 30);
}

static void rebuild(struct world *w)
{
    rebuild_by_the_book(w, PEOPLE);
    turns(w, 15);
    rebuild_by_the_book(w, SEATS);
    turns(w, 30);
}

static void lose_triggers(struct world *w)
{
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND tbl_name='people'");

    if (drops)
        app_run(w, "%s", drops);
    sqlite3_free(drops);
    app_run(w, "UPDATE people SET v='unseen'; DELETE FROM people WHERE id=1");
    turns(w, 40);
}

static void lose_journal(struct world *w)
{
    app_run(w, "UPDATE people SET v='before'");
    app_run(w, "DROP TABLE IF EXISTS _syncd_journal");
    turns(w, 40);
}

static void drop_table(struct world *w)
{
    app_run(w, "DROP TABLE tags");
    turns(w, 20);
    w->now += 61 * USEC_PER_SEC;
    turns(w, 20);
    app_run(w, "CREATE TABLE later(id INTEGER PRIMARY KEY, v); INSERT INTO later(v) VALUES('x')");
    turns(w, 10);
    w->now += 61 * USEC_PER_SEC;
    turns(w, 30);
}

static void restart_with_work(struct world *w)
{
    app_run(w, "UPDATE people SET v='before the stop'");
    turns(w, 3);
    restart(w);
    app_run(w, "UPDATE people SET v='after the stop'");
    turns(w, 20);
    restart(w);
    turns(w, 20);
}

static void crash_with_work(struct world *w)
{
    app_run(w, "UPDATE people SET v='before the crash'; DELETE FROM grid");
    turns(w, 4);
    crash(w);
    app_run(w, "UPDATE people SET v='after the crash' WHERE id%%2");
    turns(w, 12);
    crash(w);
    turns(w, 20);
}

static void detach_and_attach(struct world *w)
{
    order(w, mirror_detach);
    app_run(w, "UPDATE people SET v='while detached'; DELETE FROM notes");
    turns(w, 5);
    order(w, mirror_attach_order);
    turns(w, 30);
}

static void uninstall_and_attach(struct world *w)
{
    order(w, mirror_uninstall);
    app_run(w, "UPDATE people SET v='while taken out'");
    turns(w, 5);
    order(w, mirror_attach_order);
    turns(w, 30);
}

static void pause_and_resume(struct world *w)
{
    if (alive_again(w))
        sim_pause(w, true);
    app_run(w, "UPDATE people SET v='while paused'");
    turns(w, 10);
    if (alive_again(w))
        sim_pause(w, false);
    turns(w, 20);
}

static void rest_and_wake(struct world *w)
{
    for (unsigned i = 0; i < 40 && alive_again(w) && !mirror_resting(w->mirror); i++)
        turns(w, 1);
    app_run(w, "UPDATE people SET v='woken'");
    turns(w, 20);
}

static void lose_table(struct world *w)
{
    struct sim_table *t = alive_again(w) ? service_table(w, "notes") : NULL;

    if (t && list_empty(&w->flights)) {
        t->exists = false;
        service_clear(t);
    }
    app_run(w, "INSERT OR REPLACE INTO notes(slug,v) VALUES('n1','again')");
    turns(w, 20);
    w->now += 6 * USEC_PER_SEC;
    turns(w, 20);
}

static void vacuum(struct world *w)
{
    app_run(w, "UPDATE people SET v='before'");
    app_run(w, "VACUUM");
    turns(w, 25);
}

static void rollback_journal(struct world *w)
{
    for (unsigned i = 0; i < 40 && alive_again(w) && !mirror_resting(w->mirror); i++)
        turns(w, 1);
    sqlite3_exec(w->app, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    app_run(w, "UPDATE people SET v='by rollback journal'");
    turns(w, 20);
    app_run(w, "DELETE FROM people WHERE id=1");
    turns(w, 20);
}

/* `cold`: from the first start on; otherwise from when the mirror was at rest. */
static const struct scenario {
    const char *name;
    void (*run)(struct world *w);
    bool cold;
} scenarios[] = {{"load", load, true},
                 {"insert", insert_rows, false},
                 {"update", update_rows, false},
                 {"delete", delete_rows, false},
                 {"move", move_keys, false},
                 {"swap", swap_rows, false},
                 {"meet", meet, false},
                 {"dead-letters", dead_letters, false},
                 {"retry", retry_letters_again, false},
                 {"resync", compare_tables, false},
                 {"full-resync", send_all, false},
                 {"add-column", add_column, false},
                 {"rebuild", rebuild, false},
                 {"triggers", lose_triggers, false},
                 {"journal", lose_journal, false},
                 {"drop", drop_table, false},
                 {"restart", restart_with_work, false},
                 {"crash", crash_with_work, false},
                 {"detach", detach_and_attach, false},
                 {"uninstall", uninstall_and_attach, false},
                 {"pause", pause_and_resume, false},
                 {"rest", rest_and_wake, false},
                 {"lost-table", lose_table, false},
                 {"vacuum", vacuum, false},
                 {"rollback", rollback_journal, false}};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

#endif
