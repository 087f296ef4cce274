/* What the daemon does when the schema is new to it: plans, triggers, and tables taken anew. */
#include <fnmatch.h>
#include <stdlib.h>
#include <strings.h>

#include "oracle_parts.h"

void oracle_let_go(struct oracle *o)
{
    journal_close(o->journal);
    o->journal = NULL;
    for (size_t i = 0; i < o->table_count; i++) {
        rows_close(o->tables[i].rows);
        o->tables[i].rows = NULL;
    }
}

static struct oracle_table *table_of(struct oracle *o, const char *name)
{
    for (size_t i = 0; i < o->table_count; i++)
        if (strcasecmp(o->tables[i].name, name) == 0)
            return &o->tables[i];
    if (o->table_count == MAX_ORACLE_TABLES)
        abort();
    struct oracle_table *t = &o->tables[o->table_count++];
    *t = (struct oracle_table){.name = must(strdup(name))};
    return t;
}

static struct table_plan *plan_of(const struct oracle *o, const struct table_info *t)
{
    struct plan_options options = {.target = "target"};
    struct table_plan *plan = NULL;
    struct err err = {.text = ""};

    for (size_t i = 0; i < MAX_PROGRAM_TABLES; i++) {
        const struct key_options *k = &o->program->keys[i];
        if (!k->table || strcasecmp(k->table, t->name) != 0)
            continue;
        options.partition_key = k->partition_key;
        options.sort_key = k->sort_key;
        if (plan_make(t, &options, &plan, &err) == 0)
            return plan;
    }
    options.partition_key = options.sort_key = NULL;
    return plan_make(t, &options, &plan, &err) == 0 ? plan : NULL;
}

static char *columns_of(const struct table_plan *p)
{
    struct buf b = {0};

    buf_printf(&b, "%zu %zu", p->row_key_count, p->entry_count);
    for (size_t i = 0; i < p->column_count; i++)
        buf_printf(&b, ",%s", p->columns[i].name);
    return b.data;
}

/* The id stays while the triggers that are there are the plan's; another layout gets another. */
static uint32_t id_of(struct oracle *o, const struct capture_state *st, struct oracle_table *t)
{
    uint32_t id = capture_id_of(st, t->name), max = capture_max_id(st);
    struct capture_table ct = {.id = id, .plan = t->plan};
    bool differ = false;

    if (id)
        capture_intact(st, &ct, &differ);
    if (id && !differ)
        return id;
    o->last_id = (max > o->last_id ? max : o->last_id) + 1;
    return o->last_id;
}

static void plan_tables(struct oracle *o, const struct capture_state *st)
{
    for (size_t i = 0; i < o->table_count; i++)
        o->tables[i].present = false;
    for (size_t i = 0; i < o->catalog->count; i++) {
        struct table_plan *plan = plan_of(o, &o->catalog->tables[i]);
        if (!plan)
            continue;
        struct oracle_table *t = table_of(o, o->catalog->tables[i].name);
        plan_free(t->plan);
        t->plan = plan;
        t->present = true;
        t->id = id_of(o, st, t);
        o->extra_columns += plan->entry_count > plan->row_key_count;
    }
}

static void refresh(struct oracle *o, struct oracle_table *t)
{
    o->refreshed++;
    oracle_forget(o, t->name);
    oracle_every_row(o, o->source->db, t, oracle_put);
}

/* A table that is no longer captured has no items that anybody vouches for. */
static void after_install(struct oracle *o, const struct capture *c)
{
    size_t at = 0;

    for (size_t i = 0; i < o->table_count; i++) {
        struct oracle_table *t = &o->tables[i];
        if (!t->present) {
            oracle_forget(o, t->name);
            continue;
        }
        char *columns = columns_of(t->plan);
        bool rebuilt = c->tables[at++].rebuilt;
        if (rebuilt || !t->columns || strcmp(columns, t->columns) != 0)
            refresh(o, t);
        free(t->columns);
        t->columns = columns;
        oracle_went(o, rows_open(o->source, t->plan, &t->rows), "preparing lookups");
    }
}

static bool install(struct oracle *o)
{
    struct capture_table tables[MAX_ORACLE_TABLES];
    struct capture c = {.tables = tables, .journal_limit = 1000000};

    for (size_t i = 0; i < o->table_count; i++)
        if (o->tables[i].present)
            tables[c.count++] =
                (struct capture_table){.id = o->tables[i].id, .plan = o->tables[i].plan};
    if (!oracle_went(o, capture_install(o->source, &c, oracle_nonce), "installing the triggers"))
        return false;
    after_install(o, &c);
    return true;
}

static void write_trigger(struct oracle *o, const char *name, const char *sql)
{
    const struct plant *p = o->plant;
    const char *at = p->from ? strstr(sql, p->from) : NULL;
    bool drop = p->drop && fnmatch(p->drop, name, 0) == 0;

    if (!drop && !at)
        return;
    o->planted++;
    char *text = sqlite3_mprintf("DROP TRIGGER \"%w\"", name);
    oracle_went(o, source_exec(o->source, text), "planting");
    sqlite3_free(text);
    if (drop)
        return;
    _cleanup_buf_ struct buf other = {0};
    for (; at; sql = at + strlen(p->from), at = strstr(sql, p->from)) {
        buf_append(&other, sql, (size_t)(at - sql));
        buf_puts(&other, p->to);
    }
    buf_puts(&other, sql);
    oracle_went(o, source_exec(o->source, other.data), "planting");
}

/* The objects that are ours: kept as SQL for the report, and spoilt where a fault is planted. */
static void look_at_installed(struct oracle *o)
{
    struct capture_state *st = NULL;
    bool first = o->installed.len == 0;

    if (!oracle_went(o, capture_look(o->source, &st), "looking at the triggers"))
        return;
    if (first) {
        buf_puts(&o->installed, "CREATE TABLE _syncd_journal(seq INTEGER PRIMARY KEY, t INTEGER");
        for (unsigned i = 0; i < st->journal_keys; i++)
            buf_printf(&o->installed, ", k%u", i);
        buf_puts(&o->installed, ");\n");
    }
    for (size_t i = 0; i < st->count; i++) {
        const struct capture_found *f = &st->triggers[i];
        if (first && f->id)
            buf_printf(&o->installed, "%s;\n", f->sql);
        if (o->plant)
            write_trigger(o, f->name, f->sql);
    }
    if (!oracle_failed(o) && oracle_went(o, journal_open(o->source, st->journal_keys, &o->journal),
                                         "preparing to read the journal"))
        oracle_went(o, source_query_int(o->source, "PRAGMA schema_version", &o->schema_version),
                    "reading the schema's version");
    capture_state_free(st);
}

static void attach(struct oracle *o)
{
    struct capture_state *st = NULL;
    struct err err = {.text = ""};

    o->schema_version = -1;
    oracle_let_go(o);
    catalog_free(o->catalog);
    o->catalog = NULL;
    enum source_problem p = catalog_read(o->source, &o->catalog, &err);
    if (p != SOURCE_OK) {
        if (p != SOURCE_LOCKED)
            oracle_fail(o, "%s", err.text);
        return;
    }
    if (!oracle_went(o, capture_look(o->source, &st), "looking at the triggers"))
        return;
    plan_tables(o, st);
    capture_state_free(st);
    if (install(o) && !oracle_failed(o))
        look_at_installed(o);
}

void oracle_notice(struct oracle *o)
{
    int64_t now;

    if (oracle_failed(o) ||
        !oracle_went(o, source_query_int(o->source, "PRAGMA schema_version", &now), "looking"))
        return;
    if (now != o->schema_version)
        attach(o);
}
