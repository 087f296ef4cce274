/* What a comparison of both sides from outside (syncctl verify) found is mended here, by the doors
 * that there are: a row whose item is missing or other comes into the journal, as if it had been
 * written; an item without a row is what the sweep deletes, within hold_deletes, and only where it
 * is ours. In both cases what was thought to be known of the item counts no more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "mapping/ours.h"
#include "mapping/oversize.h"
#include "mirror/internal.h"
#include "mirror/owned.h"

/* NULL with a sentence. */
static struct table_slot *find_table(struct mirror *m, const char *table, struct err *err)
{
    struct table_slot *t = mirror_table_named(m, table);

    if (t && t->plan && !t->canary)
        return t;
    err_set(err, -ENOENT, "no table \"%s\" is mirrored; see `syncctl tables`", table);
    return NULL;
}

static int ready(struct mirror *m, struct table_slot *t, struct err *err)
{
    const char *text = "the database is not being mirrored just now; see `syncctl status`";

    if (!mirror_on_duty(m) || rest_wake(m) != SOURCE_OK || !m->attached || !m->source ||
        mirror_rows(m, t) != SQLITE_OK)
        return err_set(err, -EIO, "%s", text);
    if (m->state_broken)
        return err_set(err, -EIO, "state file %s cannot be written", store_path(m->store));
    return 0;
}

/* --- looking ---------------------------------------------------------------------------------- */

static bool known(struct mirror *m, const struct table_slot *t, const void *key, size_t n)
{
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t table;

    return engine_has(m->engine, t->target, key, n) ||
           store_digest_get(m->store, m->targets[t->target]->store_id, key, n, digest, &table);
}

/* Is it known as an item of a table that is not mirrored just now, whose items stay? 1, 0 or
 * negative. */
static int is_anothers(struct mirror *m, const struct table_slot *t, const void *key, size_t n)
{
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t table;
    bool mine = true;

    if (!store_digest_get(m->store, m->targets[t->target]->store_id, key, n, digest, &table) ||
        mirror_table_by_id(m, table))
        return 0;
    int rc = sweep_is_of(m, t, table, &mine);
    return rc < 0 ? records_kept(m, rc) : !mine;
}

/* A chunk is ours when the item is that it is of: nobody else makes such keys. By the table's mark
 * only where the key is one that the table's rows can have. 1, 0, -ENOMEM. */
static int is_ours(struct mirror *m, const struct table_slot *t, const void *key, size_t n)
{
    const struct table_plan *const plans[] = {t->plan};
    const struct table_plan *fits;
    struct oversize_key chunk = {.index = 0};
    int is_chunk = oversize_parse_key(key, n, &chunk);
    _cleanup_buf_ struct buf head = chunk.head;

    if (is_chunk < 0)
        return is_chunk;
    bool is_known = known(m, t, key, n) || (is_chunk && known(m, t, head.data, head.len));
    const struct claim_facts f = {.known = is_known,
                                  .alone = !is_known && owned_alone(m, t->target) &&
                                           !others_may_be_there(m, t->target),
                                  .plans = plans,
                                  .count = 1};
    enum item_claim claim = item_claim(&f, key, n, &fits);
    if (claim == ITEM_OURS_BY_KEY)
        return !others_make_key(m, t->target, is_chunk ? head.data : key, is_chunk ? head.len : n);
    return claim != ITEM_FOREIGN && (claim != ITEM_OURS_ALONE || fits);
}

int mirror_item_look(struct mirror *m, const char *table, const void *key, size_t n,
                     struct mirror_item *out, struct err *err)
{
    struct table_slot *t = find_table(m, table, err);

    if (!t)
        return -ENOENT;
    int ours = is_ours(m, t, key, n);
    if (ours < 0)
        return err_set(err, ours, "out of memory");
    *out = (struct mirror_item){
        .pending = engine_has(m->engine, t->target, key, n),
        .unconfirmed = store_suspect_has(m->store, m->targets[t->target]->store_id, key, n),
        .known = known(m, t, key, n),
        .ours = ours,
        .live = t->load == LOAD_DONE && !t->skipped && !t->let_go && !t->held &&
                m->targets[t->target]->view.open,
    };
    return 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* The entry columns of the row as it is, in m->entry, and its remote key in m->key: SQLITE_ROW;
 * SQLITE_DONE when there is no such row, or none that has a key; or an error. */
static int entry_of(struct mirror *m, struct table_slot *t, const struct mirror_key *row,
                    struct value *values)
{
    const struct table_plan *p = t->plan;
    struct item_fault fault;

    buf_clear(&m->entry);
    buf_clear(&m->key);
    if (values_decode(row->bytes, row->len, values, p->row_key_count) < 0)
        return SQLITE_DONE;
    int rc = rows_found_key(t->rows, values, &m->entry);
    if (rc != SQLITE_ROW)
        return rc;
    if (!buf_ok(&m->entry) ||
        values_decode(m->entry.data, m->entry.len, values, p->entry_count) < 0)
        return SQLITE_NOMEM;
    rc = item_key(p, values, &m->key, NULL, &fault);
    return rc == -ENOMEM ? SQLITE_NOMEM : rc < 0 ? SQLITE_DONE : SQLITE_ROW;
}

struct mending {
    struct mirror *m;
    struct table_slot *t;
    const struct mirror_key *rows;
    size_t n;
    struct value *values;
    int count;
};

static int doubt_item(struct mending *x, const struct buf *key, const struct mirror_key *row)
{
    return records_kept(x->m, store_digest_doubt_item(
                                  x->m->store, x->m->targets[x->t->target]->store_id, key->data,
                                  key->len, x->t->id, row->bytes, row->len)) < 0
               ? STATE_FAILED
               : SQLITE_OK;
}

/* And of the chunks of a row that has some (mapping/oversize.h). Its key is in m->key. */
static int doubt_chunks(struct mending *x, const struct mirror_key *row)
{
    const struct table_plan *p = x->t->plan;
    _cleanup_(oversize_free) struct oversize packed = {.count = 0};
    _cleanup_buf_ struct buf text = {0}, json = {0}, key = {0};
    struct item_fault fault;
    size_t size = 0;
    int rc = rows_lookup(x->t->rows, x->values), made = -EINVAL;

    if (rc == SQLITE_ROW)
        made = item_encode_whole(p, x->t->rows->values, &text, &size, &fault);
    rows_end(x->t->rows->lookup);
    if (made == 0 && size > oversize_limit(p))
        made = oversize_pack(p, &text, &x->m->key, &packed, &fault);
    rc = SQLITE_OK;
    for (unsigned i = 0; made == 0 && rc == SQLITE_OK && i < packed.count; i++) {
        buf_clear(&key);
        buf_clear(&json);
        made = oversize_chunk(&p->schema, &packed, &x->m->key, i, &key, &json, &size);
        rc = made == 0 ? doubt_item(x, &key, row) : rc;
    }
    return made == -ENOMEM ? SQLITE_NOMEM : rc;
}

/* What is known of the items counts no more: else the rows would be spared the write. */
static int doubt(struct mending *x)
{
    struct mirror *m = x->m;
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < x->n; i++) {
        const struct mirror_key *row = &x->rows[i];
        rc = entry_of(m, x->t, row, x->values);
        if (rc == SQLITE_ROW) {
            rc = doubt_item(x, &m->key, row);
            if (rc == SQLITE_OK && x->t->plan->compress)
                rc = doubt_chunks(x, row);
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_OK;
        }
    }
    return rc;
}

static int add_entries(struct mending *x)
{
    struct mirror *m = x->m;
    const struct table_plan *p = x->t->plan;
    bool same = false;
    int rc = reader_check(m, &same);

    if (rc == SQLITE_OK && !same)
        rc = SQLITE_BUSY; /* a look at it comes first */
    for (size_t i = 0; rc == SQLITE_OK && i < x->n; i++) {
        rc = entry_of(m, x->t, &x->rows[i], x->values);
        if (rc == SQLITE_ROW) {
            rc = journal_add(m->journal, x->t->id, x->values, p->entry_count);
            x->count++;
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_OK;
        }
    }
    return rc;
}

static int in_transaction(struct mending *x, const char *begin, int (*work)(struct mending *x))
{
    int rc = source_exec(x->m->source, begin);

    return rc == SQLITE_OK ? source_end(x->m->source, work(x)) : rc;
}

static int state_failed(struct mirror *m, struct err *err)
{
    return err_set(err, -EIO, "state file %s cannot be written: %s", store_path(m->store),
                   store_error(m->store));
}

int mirror_mend_rows(struct mirror *m, const char *table, const struct mirror_key *rows, size_t n,
                     struct err *err)
{
    struct table_slot *t = find_table(m, table, err);
    int rc = t ? ready(m, t, err) : -ENOENT;

    if (rc < 0)
        return rc;
    _cleanup_free_ struct value *values = calloc(t->plan->entry_count, sizeof *values);
    struct mending x = {.m = m, .t = t, .rows = rows, .n = n, .values = values};
    if (!values)
        return err_set(err, -ENOMEM, "out of memory");
    m->source->patience = ORDER_PATIENCE;
    int sq = in_transaction(&x, "BEGIN", doubt);
    /* On disk before the entries are. */
    if (sq == STATE_FAILED || (sq == SQLITE_OK && records_kept(m, records_sync(m, NULL)) < 0)) {
        m->source->patience = 0;
        return state_failed(m, err);
    }
    FAILPOINT("mend_doubted");
    if (sq == SQLITE_OK)
        sq = in_transaction(&x, "BEGIN IMMEDIATE", add_entries);
    m->source->patience = 0;
    if (sq != SQLITE_OK) {
        source_problem_of(m->source, sq, "putting keys into the journal", err);
        return -EBUSY;
    }
    FAILPOINT("mend_ordered");
    barrier_reopened(m); /* our own commit is none that data_version counts */
    return x.count;
}

/* --- items without a row ---------------------------------------------------------------------- */

static int may_go(struct mirror *m, const struct table_slot *t, const void *key, size_t n)
{
    int rc = is_ours(m, t, key, n);

    if (rc <= 0 || (rc = is_anothers(m, t, key, n)) < 0)
        return rc;
    return !rc;
}

/* The row key that the item's own key tells, else the one that whoever looked at the item read in
 * it: the sweep looks that row up once more. */
static int row_key_of(const struct table_slot *t, const struct mirror_key *key,
                      const struct mirror_key *said, struct buf *out)
{
    _cleanup_free_ struct value *values = calloc(t->plan->entry_count, sizeof *values);
    _cleanup_buf_ struct buf store = {0};

    if (!values)
        return -ENOMEM;
    int rc = plan_key_row(t->plan, key->bytes, key->len, values, &store);
    if (rc == -ENOMEM)
        return rc;
    for (size_t i = 0; rc == 0 && i < t->plan->row_key_count; i++)
        value_encode(out, &values[i]);
    if (rc < 0)
        buf_append(out, said->bytes, said->len);
    return buf_ok(out) ? 0 : -ENOMEM;
}

int mirror_mend_extra(struct mirror *m, const char *table, const struct mirror_key *keys,
                      const struct mirror_key *rows, size_t n, struct err *err)
{
    struct table_slot *t = find_table(m, table, err);
    int count = 0, rc = t ? ready(m, t, err) : -ENOENT;

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        _cleanup_buf_ struct buf row = {0};
        rc = may_go(m, t, keys[i].bytes, keys[i].len);
        if (rc <= 0)
            continue;
        rc = row_key_of(t, &keys[i], &rows[i], &row);
        if (rc == 0)
            rc = records_kept(m, store_digest_suspect(m->store, m->targets[t->target]->store_id,
                                                      keys[i].bytes, keys[i].len, t->id, row.data,
                                                      row.len));
        count += rc == 0;
    }
    if (rc == 0 && count)
        rc = loader_sweep_later(m, t);
    /* Of a load that is under way that says nothing to the state file. */
    if (rc == 0 && count && store_dirty(m->store))
        rc = records_kept(m, records_sync(m, NULL));
    return rc < 0 ? state_failed(m, err) : count;
}

/* --- equal ------------------------------------------------------------------------------------ */

static void verified_name(const struct table_slot *t, char name[32])
{
    snprintf(name, 32, "verified:%u", t->id);
}

int64_t mend_verified(const struct mirror *m, const struct table_slot *t)
{
    char name[32];
    int64_t at = 0;

    verified_name(t, name);
    return store_get_int(m->store, name, &at) == 0 ? at : 0;
}

int mirror_verified(struct mirror *m, const char *table, int64_t at, struct err *err)
{
    struct table_slot *t = find_table(m, table, err);
    char name[32];

    if (!t)
        return -ENOENT;
    verified_name(t, name);
    if (records_kept(m, store_put_int(m->store, name, at)) < 0 ||
        records_kept(m, records_sync(m, NULL)) < 0)
        return state_failed(m, err);
    return 0;
}
