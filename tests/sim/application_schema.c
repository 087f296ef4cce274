/* The application changes its schema: columns, rebuilds in one transaction or in several, triggers
 * that are dropped. */
#include <string.h>

#include "application.h"

/* The CREATE statement of a table under another name. */
static char *create_as(struct world *w, const char *from, const char *to)
{
    char *sql = app_ask(w, "SELECT sql FROM sqlite_schema WHERE name=%Q", from);
    char *as = sql ? sqlite3_mprintf("CREATE TABLE \"%w\"%s", to, strchr(sql, '(')) : NULL;

    sqlite3_free(sql);
    return as;
}

static void copy_table(struct world *w, const char *from, const char *to)
{
    char *create = create_as(w, from, to);

    if (create && app_run(w, "%s", create))
        app_run(w, "INSERT INTO \"%w\" SELECT * FROM \"%w\"", to, from);
    sqlite3_free(create);
}

/* One step of a rebuild: a copy beside the table takes its place, or the table makes room for a
 * copy. The kinds differ in the names that are seen meanwhile. */
void app_rebuild_step(struct world *w)
{
    const char *name = application_table((unsigned)w->rebuilding);
    char *beside = sqlite3_mprintf(w->rebuild_kind == 0   ? "%s_new"
                                   : w->rebuild_kind == 1 ? "_alembic_tmp_%s"
                                                          : "%s_old",
                                   name);
    unsigned stage = w->rebuild_stage++;

    if (w->rebuild_kind < 2 && stage == 0)
        copy_table(w, name, beside);
    else if (w->rebuild_kind < 2 && stage == 1)
        app_run(w, "DROP TABLE %s", name);
    else if (stage == 0 || w->rebuild_kind < 2)
        app_run(w, "ALTER TABLE \"%w\" RENAME TO \"%w\"", stage == 0 ? name : beside,
                stage == 0 ? beside : name);
    else if (stage == 1)
        copy_table(w, beside, name);
    else
        app_run(w, "DROP TABLE \"%w\"", beside);
    if (stage == 2)
        w->rebuilding = -1;
    sqlite3_free(beside);
}

static void some_writes(struct world *w)
{
    for (unsigned n = sim_pick(w, 4); n > 0; n--)
        app_write_row(w);
}

/* A rebuild in one transaction that puts every trigger back, word for word, with rows changed while
 * there were none. */
static void rebuild_by_the_book(struct world *w, unsigned t)
{
    char *triggers =
        app_ask(w,
                "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE type='trigger' "
                "AND tbl_name=%Q",
                application_table(t));

    app_run(w, "BEGIN IMMEDIATE");
    copy_table(w, application_table(t), "new__table");
    app_run(w, "DROP TABLE %s", application_table(t));
    app_run(w, "ALTER TABLE new__table RENAME TO %s", application_table(t));
    some_writes(w);
    if (triggers)
        app_run(w, "%s", triggers);
    app_run(w, "COMMIT");
    sqlite3_free(triggers);
}

/* So do those who want no trigger while they fill tables: they go, and come back as they were. */
static void do_without_triggers(struct world *w)
{
    const char *each = "SELECT group_concat(%s, ';') FROM (SELECT name, sql FROM sqlite_schema "
                       "WHERE type='trigger' ORDER BY rowid)";
    char *drops = app_ask(w, each, "'DROP TRIGGER '||name"), *creates = app_ask(w, each, "sql");

    app_run(w, "BEGIN IMMEDIATE");
    if (drops)
        app_run(w, "%s", drops);
    for (unsigned n = 1 + sim_pick(w, 8); n > 0; n--)
        app_write_row(w);
    if (creates)
        app_run(w, "%s", creates);
    app_run(w, "COMMIT");
    sqlite3_free(drops);
    sqlite3_free(creates);
}

static void drop_triggers(struct world *w)
{
    bool one = sim_chance(w, 500), all = sim_chance(w, 200);
    const char *table = application_table(sim_pick(w, SIM_SOURCES));
    char *drops = app_ask(w,
                          "SELECT group_concat('DROP TRIGGER '||name, ';') FROM (SELECT name FROM "
                          "sqlite_schema WHERE type='trigger' AND name<>'_syncd_cap' AND "
                          "(%d OR tbl_name=%Q) ORDER BY rowid LIMIT %d)",
                          all, table, one ? 1 : -1);

    if (drops)
        app_run(w, "%s", drops);
    sqlite3_free(drops);
    some_writes(w);
}

/* Where there is one: an order may have taken it out. */
static void empty_journal(struct world *w)
{
    char *there = app_ask(w, "SELECT 1 FROM sqlite_schema WHERE name='_syncd_journal'");

    if (there)
        app_run(w, "DELETE FROM _syncd_journal");
    sqlite3_free(there);
}

static void change_columns(struct world *w, unsigned t)
{
    char *column = app_other_column(w, t), *value = app_new_value(w);
    char *second = app_ask(w,
                           "SELECT name FROM pragma_table_info(%Q) WHERE pk=0 AND name NOT IN "
                           "(" KEY_COLUMNS ") LIMIT 1 OFFSET 1",
                           application_table(t));
    unsigned dice = sim_pick(w, 3);

    if (dice == 0 && column)
        app_run(w, "ALTER TABLE %s RENAME COLUMN \"%w\" TO x%u", application_table(t), column,
                w->column++);
    else if (dice == 1 && second)
        app_run(w, "ALTER TABLE %s DROP COLUMN \"%w\"", application_table(t), column);
    else if (!strchr(value, '('))
        app_run(w, "ALTER TABLE %s ADD COLUMN x%u %s DEFAULT %s", application_table(t), w->column++,
                sim_chance(w, 500) ? "TEXT" : "", value);
    sqlite3_free(column);
    sqlite3_free(second);
    sqlite3_free(value);
}

void app_change_schema(struct world *w)
{
    unsigned t = sim_pick(w, SIM_SOURCES), dice = sim_pick(w, 1000);

    if (w->rebuilding >= 0 && dice < 500)
        app_rebuild_step(w);
    else if (dice < w->faults.triggers_dropped)
        drop_triggers(w);
    else if (dice < w->faults.triggers_dropped + w->faults.journal_emptied)
        empty_journal(w);
    else if (dice < 400 && app_table_exists(w, t))
        change_columns(w, t);
    else if (dice < 600 && w->rebuilding < 0) {
        w->rebuilding = (int)t;
        w->rebuild_stage = 0;
        w->rebuild_kind = sim_pick(w, 3);
        app_rebuild_step(w);
        /* What a dead process had in flight for a table that was gone when its successor looked is
         * found by comparison with DynamoDB only, not by the state file. */
        bool at_once =
            sim_chance(w, 300) || w->faults.crash || w->faults.power || w->faults.restart;
        while (at_once && w->rebuilding >= 0)
            app_rebuild_step(w);
    } else if (dice < 720 && w->rebuilding < 0)
        rebuild_by_the_book(w, t);
    else if (dice < 800 && w->rebuilding < 0)
        do_without_triggers(w);
    else if (dice < 900)
        app_run(w, "VACUUM");
    else if (dice < 950)
        app_run(w, "CREATE TABLE IF NOT EXISTS passing(x); DROP TABLE passing");
    else
        app_run(w,
                "CREATE TABLE IF NOT EXISTS later(id INTEGER PRIMARY KEY, v); INSERT INTO "
                "later(v) VALUES('text %u')",
                sim_pick(w, 1000));
}
