/* What a table is to the store: under which id its changes are captured, and whether its items may
 * not be what the plan says, so that it must be compared. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "base/plant.h"
#include "base/text.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

static char *layout_of(const struct table_plan *p)
{
    struct buf b = {0};

    for (size_t i = 0; i < p->row_key_count; i++) {
        json_append_string_lossy(&b, p->columns[i].name, strlen(p->columns[i].name));
        buf_append_u64(&b, (uint64_t)p->columns[i].affinity);
    }
    /* What a remote key is made of besides. */
    for (size_t i = p->row_key_count; i < p->entry_count; i++) {
        buf_putc(&b, '+');
        json_append_string_lossy(&b, p->columns[i].name, strlen(p->columns[i].name));
        buf_append_u64(&b, (uint64_t)p->columns[i].affinity);
    }
    return buf_ok(&b) ? b.data : NULL;
}

/* The id under which the table's changes are captured: the one in its triggers if they are (or, in
 * part, were) the plan's, else the store's for the same key layout, else a new one. An id is never
 * given to another layout, so an old journal entry cannot be misread. `judged`: of this id
 * t->intact is known, if not 0. */
static int find_id(struct mirror *m, const struct capture_state *st, struct table_slot *t,
                   const char *layout, struct store_table *known, uint32_t *judged)
{
    uint32_t id = capture_id_of(st, t->name);
    bool differ = false;
    int rc = -ENOENT;

    if (id) {
        struct capture_table ct = {.id = id, .plan = t->plan};
        t->intact = capture_intact(st, &ct, &differ);
        *judged = id;
        rc = differ ? -ENOENT : store_table_by_id(m->store, id, known);
        /* A state file that was lost: what waits in the journal is told by this id. */
        if (!differ && rc == -ENOENT) {
            rc = store_table_adopt(m->store, id, t->name, layout);
            return rc < 0 ? rc : store_table_by_id(m->store, id, known);
        }
        if (rc == 0) {
            /* Renamed, and with the name the target: what is there is another table's by now. */
            if (strcasecmp(known->name, t->name) == 0 || !known->target[0] ||
                strcmp(known->target, t->plan->target) == 0)
                return 0;
            store_table_clear(known);
        }
    } else if ((rc = store_table_by_name(m->store, t->name, known)) == 0) {
        if (strcmp(known->layout, layout) == 0)
            return 0;
        store_table_clear(known);
    }
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = store_table_new(m->store, t->name, layout, capture_max_id(st), &id);
    return rc < 0 ? rc : store_table_by_id(m->store, id, known);
}

/* Of an unfinished load writes of rows may still be on their way that no entry speaks of, after a
 * kill; when the table is not as it was, then or while they may come, rows have changed without
 * entries. And until all its rows are sent, items may be there that nobody has noted. */
static int shake(struct mirror *m, const struct table_slot *t, const struct store_table *known,
                 bool same)
{
    struct target_slot *target = m->targets[t->target];
    bool unfinished = known->load != LOAD_DONE;
    int rc = 0;

    if (!same && target->shaken)
        rc = suspects_shake(m, target, SHAKEN_ROWS);
    else if (unfinished && m->suspects.killed && m->unclean)
        rc = suspects_shake(m, target, same ? SHAKEN_ENTRIES : SHAKEN_ROWS);
    bool unnoted = target->shaken || (unfinished && (known->full || m->unclean));
    return rc == 0 && !same && unnoted ? owned_again(m, target) : rc;
}

/* It is mapped to another DynamoDB table than when it was killed: what it had on its way goes to
 * the one of before, and should that be its own again, nothing known of it counts. */
static int shake_former(struct mirror *m, const struct table_slot *t,
                        const struct store_table *known)
{
    if (!known->target[0] || strcmp(known->target, t->plan->target) == 0 || !m->unclean ||
        !m->suspects.killed)
        return 0;
    int rc = store_digest_doubt(m->store, t->id);
    return rc < 0 ? rc : suspects_shake_table(m, t->id);
}

/* What is to be known of the table from now on, where it differs from what was. */
static int save_table(struct mirror *m, const struct table_slot *t, struct store_table *known,
                      const char *layout, const char *fingerprint, const char *mark)
{
    char **texts[] = {&known->name, &known->target, &known->layout, &known->fingerprint,
                      &known->mark};
    const char *values[] = {t->name, t->plan->target, layout, fingerprint, mark};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(*texts[i]);
        if (!(*texts[i] = strdup(values[i])))
            return -ENOMEM;
    }
    known->load = t->load;
    known->full = t->full;
    buf_clear(&known->cursor);
    buf_append(&known->cursor, t->cursor.data, t->cursor.len);
    if (dropped_encode_key(&t->plan->schema, &known->key) < 0 || !buf_ok(&known->cursor))
        return -ENOMEM;
    return store_table_save(m->store, known);
}

/* Of the schema. A version that went back, as one may set it, is as good as many. */
static uint32_t changes_since_marked(struct mirror *m)
{
    int64_t marked_at = 0;

    store_get_int(m->store, "marked_at", &marked_at);
    return (uint32_t)m->schema_version - (uint32_t)marked_at;
}

/* Take over what the store knows, and decide whether the table's items may differ from the plan. */
static int take_over(struct mirror *m, const struct capture_state *st, struct table_slot *t,
                     struct store_table *known, const char *layout, const char *fingerprint,
                     uint32_t judged)
{
    struct capture_table ct = {.id = known->id, .plan = t->plan};
    bool differ;

    t->id = known->id;
    recheck_recall(m, t);
    char *mark = capture_mark(st, t->name);
    if (!mark)
        return -EBUSY;
    /* With the journal entries are gone. That is seen once only, should attaching fail after the
     * next one was made. */
    bool journal = st->journal && st->first_seq >= 0;
    if (known->id != judged)
        t->intact = capture_intact(st, &ct, &differ);
    bool same =
        t->intact && journal && strcmp(known->mark, mark) == 0 &&
        (!capture_mark_deceives(st, t->name, changes_since_marked(m)) || PLANTED(MARKS_TRUSTED)) &&
        strcmp(known->fingerprint, fingerprint) == 0 && known->load != LOAD_GONE;
    t->load = same ? known->load : LOAD_ROWS;
    bool parked = known->cookie == COOKIE_PARKED || known->cookie == COOKIE_PARKED_UNSURE;
    /* It was not mirrored when its target was opened, and nobody has taken it up. */
    bool opened = parked && m->targets[t->target]->view.open;
    if (opened)
        known->cookie = 0;
    t->let_go = t->load == LOAD_ROWS && parked && !opened;
    t->unsure = t->let_go && known->cookie == COOKIE_PARKED_UNSURE;
    /* Writes of an unfinished load were on their way when the daemon was killed, and may have been
     * carried out: nothing of it is spared. */
    t->full = known->full || (m->unclean && t->load != LOAD_DONE && !t->let_go);
    t->cookie = known->cookie;
    if (shake(m, t, known, same) < 0 || shake_former(m, t, known) < 0 ||
        survey_joined(m, t, known) < 0 || (!same && suspects_unseen(m, t->target) < 0)) {
        sqlite3_free(mark);
        return -EIO;
    }
    if (same)
        buf_append(&t->cursor, known->cursor.data, known->cursor.len);
    int rc = 0;
    if (!same || opened || t->full != known->full || strcmp(known->name, t->name) != 0 ||
        strcmp(known->target, t->plan->target) != 0 || !known->key.len)
        rc = save_table(m, t, known, layout, fingerprint, mark);
    sqlite3_free(mark);
    return rc;
}

int resolve_table(struct mirror *m, const struct capture_state *st, struct table_slot *t)
{
    struct store_table known = {0};
    _cleanup_free_ char *layout = layout_of(t->plan);
    _cleanup_free_ char *fingerprint = plan_fingerprint(t->plan);
    uint32_t judged = 0;
    int rc = layout && fingerprint ? mirror_find_target(m, t->plan, &t->target) : -ENOMEM;

    if (rc == 0)
        rc = find_id(m, st, t, layout, &known, &judged);
    if (rc == 0)
        rc = take_over(m, st, t, &known, layout, fingerprint, judged);
    store_table_clear(&known);
    return rc;
}

int resolve_save_marks(struct mirror *m, const struct capture *c)
{
    int64_t before = 0;
    int rc = store_get_int(m->store, "marked_at", &before);

    if (rc == -ENOENT || (rc == 0 && before != *c->marked_at))
        rc = store_put_int(m->store, "marked_at", *c->marked_at);
    for (size_t i = 0; rc == 0 && i < c->count; i++) {
        struct store_table known = {0};
        if (!c->marks[i]) /* nothing was made */
            continue;
        rc = store_table_by_id(m->store, c->tables[i].id, &known);
        if (rc == 0 && strcmp(c->marks[i], known.mark) != 0) {
            free(known.mark);
            known.mark = strdup(c->marks[i]);
            rc = known.mark ? store_table_save(m->store, &known) : -ENOMEM;
        }
        store_table_clear(&known);
        rc = rc == -ENOENT ? 0 : rc;
    }
    return rc;
}
