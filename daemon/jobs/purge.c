#include "jobs/purge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "jobs/definitions.h"
#include "jobs/deleter.h"
#include "jobs/purge_look.h"
#include "jobs/purge_owner.h"
#include "jobs/table_delete.h"

/* Digests that are gone are kept so in steps: after a crash the rest is looked for once more. */
enum { COMMIT_EVERY = 5000 };

struct purge {
    const struct config *config;
    const struct purge_order *order;
    struct err *err;
    struct plan_list plans;
    struct definition_list targets;
    struct store *store;
    struct connection connection;
    struct purge_table *tables;
    struct purge_found *found; /* by target */
    struct buf about;
    uint64_t deleted, uncommitted;
    double units;
    size_t at; /* target at hand */
    uint32_t store_id;
};

static bool named(const struct purge_order *o, const char *table)
{
    for (size_t i = 0; i < o->only_count; i++)
        if (strcasecmp(o->only[i], table) == 0)
            return true;
    return o->only_count == 0;
}

/* --- before ----------------------------------------------------------------------------------- */

static int open_state(struct purge *p)
{
    int rc = store_open(p->config->state_path, &p->store, p->err);
    struct err why = *p->err;

    if (rc == -EBUSY)
        return err_set(
            p->err, rc,
            "a daemon mirrors there, and would send again what is removed: stop it first "
            "(systemctl stop), and take the triggers out (syncctl detach) if the items "
            "are to stay away: %.300s",
            why.text);
    return rc;
}

static void report_looking(void *arg, uint64_t items, double units)
{
    struct purge *p = arg;

    if (p->order->progress)
        p->order->progress(p->order->arg, false, items, 0, units);
}

/* Where the state file tells what was sent, nothing else is taken for ours: somebody may have put
 * items into a table that was ours alone once. */
static bool state_knows(const struct purge *p, const char *target)
{
    bool known = false;

    for (size_t i = 0; !known && i < p->plans.count; i++) {
        struct store_table t = {0};
        const struct table_plan *plan = p->plans.plans[i];
        known = plan && strcmp(plan->target, target) == 0 &&
                store_table_by_name(p->store, plan->table, &t) != -ENOENT;
        store_table_clear(&t);
    }
    return known;
}

static int look_at(struct purge *p, size_t i)
{
    const struct table_definition *d = p->targets.items[i];
    struct purge_table *t = &p->tables[i];
    struct table_answers now = {0};

    t->target = d->table;
    int rc = table_describe(&p->connection, d->table, &now, p->err);
    if (rc == -ENOENT) {
        t->missing = true;
        return 0;
    }
    struct table_description about = {.status = TABLE_UNKNOWN};
    if (rc == 0)
        rc = tables_read_json(now.describe, d->table, &d->key, &about, p->err);
    if (rc == -EEXIST)
        rc = -EINVAL;
    if (rc == 0 && !p->about.len)
        connection_about(&p->connection, &now.facts, &p->about);
    table_answers_clear(&now);
    if (rc < 0)
        return rc;
    bool alone = false;
    bool meta = strcmp(d->table, p->config->meta_table) == 0;
    if (!meta)
        rc = purge_owner(&p->connection, p->config, p->store, d->table, about.identity, &alone,
                         p->err);
    if (rc < 0)
        return rc;
    struct purge_look look = {.connection = &p->connection,
                              .store = p->store,
                              .plans = &p->plans,
                              .definition = d,
                              .alone = alone && !state_knows(p, d->table),
                              .only = p->order->only,
                              .only_count = p->order->only_count,
                              .progress = report_looking,
                              .arg = p};
    rc = purge_look(&look, &p->found[i], p->err);
    t->ours = p->found[i].ours;
    t->others = p->found[i].others;
    t->foreign = p->found[i].foreign;
    t->example = p->found[i].example.len ? p->found[i].example.data : NULL;
    /* Other daemons have items in the meta table. */
    t->whole = rc == 0 && p->order->delete_tables && !meta;
    return rc;
}

/* A table goes only when nothing but ours is in it. */
static int check_whole(const struct purge *p)
{
    for (size_t i = 0; i < p->targets.count; i++) {
        const struct purge_table *t = &p->tables[i];
        if (t->whole && t->foreign)
            return err_set(p->err, -EPERM,
                           "DynamoDB table %s holds items that are not ours (%llu, such as %.200s) "
                           "and is not deleted; nothing was done: purge without --delete-tables "
                           "removes ours alone",
                           t->target, (unsigned long long)t->foreign, t->example ? t->example : "");
        if (t->whole && t->others)
            return err_set(
                p->err, -EPERM,
                "DynamoDB table %s holds items of other tables of the database (%llu) and "
                "is not deleted; nothing was done: name these tables too, or leave "
                "--delete-tables out",
                t->target, (unsigned long long)t->others);
    }
    return 0;
}

static struct purge_plan summary(const struct purge *p)
{
    struct purge_plan s = {.about = p->about.data ? p->about.data : "",
                           .tables = p->tables,
                           .count = p->targets.count,
                           .uncertain = store_suspect_count(p->store)};

    for (size_t i = 0; i < s.count; i++) {
        s.ours += p->tables[i].ours;
        s.foreign += p->tables[i].foreign;
        s.whole_tables += p->tables[i].whole;
    }
    return s;
}

/* --- the state file --------------------------------------------------------------------------- */

static int state_failed(struct purge *p, int rc)
{
    return rc < 0 ? err_set(p->err, rc, "state file %s cannot be written: %s", store_path(p->store),
                            store_error(p->store))
                  : rc;
}

/* What is known of the items counts no more, but that they are ours; and their tables are loaded
 * from the beginning when a daemon starts. */
static int void_knowledge(struct purge *p)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->plans.count; i++) {
        struct store_table known = {0};
        const struct table_plan *plan = p->plans.plans[i];
        if (!plan || !named(p->order, plan->table))
            continue;
        rc = store_table_by_name(p->store, plan->table, &known);
        if (rc == -ENOENT) { /* never loaded */
            rc = 0;
            continue;
        }
        if (rc == 0)
            rc = store_digest_doubt(p->store, known.id);
        if (rc == 0 && known.load != LOAD_GONE) {
            known.load = LOAD_ROWS;
            known.full = true;
            buf_clear(&known.cursor);
            rc = store_table_save(p->store, &known);
        }
        store_table_clear(&known);
    }
    if (rc < 0)
        return state_failed(p, rc);
    return store_dirty(p->store) ? store_sync(p->store, p->err) : 0;
}

/* --- deleting --------------------------------------------------------------------------------- */

static int next_key(void *arg, struct buf *key, struct err *err)
{
    struct purge *p = arg;

    return purge_found_next(&p->found[p->at], key, err);
}

static int deleted(void *arg, const void *key, size_t n, double units, struct err *err)
{
    struct purge *p = arg;
    int rc = store_digest_delete(p->store, p->store_id, key, n);

    if (rc == 0 && ++p->uncommitted >= COMMIT_EVERY) {
        p->uncommitted = 0;
        rc = store_commit(p->store, err);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return state_failed(p, rc);
    p->tables[p->at].deleted++;
    p->units += units;
    if (p->order->progress)
        p->order->progress(p->order->arg, true, ++p->deleted, summary(p).ours, p->units);
    return 0;
}

/* Every table of the database that has items there was named. */
static bool whole_target(const struct purge *p, const char *target)
{
    for (size_t i = 0; i < p->plans.count; i++)
        if (p->plans.plans[i] && strcmp(p->plans.plans[i]->target, target) == 0 &&
            !named(p->order, p->plans.plans[i]->table))
            return false;
    return true;
}

static int remove_from(struct purge *p, size_t i)
{
    const struct table_definition *d = p->targets.items[i];
    const struct deleter_options o = {
        .table = d->table, .schema = &d->key, .arg = p, .next = next_key, .deleted = deleted};
    int rc;

    p->at = i;
    if (p->tables[i].missing)
        return 0;
    rc = state_failed(p, store_target(p->store, d->table, &p->store_id));
    if (rc < 0)
        return rc;
    rc = p->tables[i].whole ? table_delete(&p->connection, d->table, p->err)
                            : deleter_run(&p->connection, &o, p->err);
    if (rc < 0)
        return rc;
    if (p->tables[i].whole)
        p->tables[i].deleted = p->tables[i].ours;
    /* What the state file knew, and DynamoDB had no more. */
    if (whole_target(p, d->table))
        rc = state_failed(p, store_digest_clear(p->store, p->store_id));
    return rc;
}

static int carry_out(struct purge *p)
{
    int rc = void_knowledge(p);

    for (size_t i = 0; rc == 0 && i < p->targets.count; i++)
        rc = remove_from(p, i);
    struct err kept;
    int synced = store_dirty(p->store) ? store_sync(p->store, &kept) : 0;
    if (rc == 0 && synced < 0) {
        *p->err = kept;
        rc = synced;
    }
    if (p->order->done) {
        struct purge_plan s = summary(p);
        p->order->done(p->order->arg, &s);
    }
    return rc;
}

static int with_connection(struct purge *p)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->targets.count; i++)
        rc = look_at(p, i);
    if (rc == 0)
        rc = check_whole(p);
    if (rc < 0)
        return rc;
    if (!p->about.len)
        connection_about(&p->connection, NULL, &p->about);
    struct purge_plan s = summary(p);
    if (p->order->confirm && !p->order->confirm(p->order->arg, &s))
        return err_set(p->err, -ECANCELED, "not confirmed");
    return carry_out(p);
}

static int with_targets(struct purge *p)
{
    size_t n = p->targets.count ? p->targets.count : 1;
    int rc;

    p->tables = calloc(n, sizeof *p->tables);
    p->found = calloc(n, sizeof *p->found);
    if (!p->tables || !p->found)
        return err_set(p->err, -ENOMEM, "out of memory");
    if ((rc = open_state(p)) < 0 || (rc = connection_open(&p->connection, p->config, p->err)) < 0)
        return rc;
    rc = with_connection(p);
    connection_close(&p->connection);
    return rc;
}

int job_purge(const struct config *c, const struct purge_order *order, struct err *err)
{
    struct purge p = {.config = c, .order = order, .err = err};
    int rc = plan_list_make(c, &p.plans, err);

    if (rc < 0)
        return rc;
    rc = definitions_make(c, &p.plans, order->only, order->only_count, &p.targets, err);
    if (rc == 0)
        rc = with_targets(&p);
    for (size_t i = 0; p.found && i < p.targets.count; i++)
        purge_found_clear(&p.found[i]);
    free(p.found);
    free(p.tables);
    buf_free(&p.about);
    if (p.store)
        store_close(p.store);
    definitions_free(&p.targets);
    plan_list_free(&p.plans);
    return rc;
}
