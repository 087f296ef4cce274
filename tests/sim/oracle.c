/* What must be true. Rows are read by a connection of its own and mapped anew; whether the mapping
 * itself is right is tested elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mapping/item.h"
#include "mirror/internal.h"
#include "oracle.h"
#include "state/internal.h"

static void compare_letters(struct world *w, const char *when, struct letters *expected)
{
    struct letters kept = {0};
    char text[200];

    store_dead_letters(mirror_store(w->mirror), 0, letters_kept, &kept);
    letters_sort(&kept);
    letters_sort(expected);
    for (size_t i = 0, k = 0; i < kept.count || k < expected->count;) {
        int order = i == kept.count        ? 1
                    : k == expected->count ? -1
                                           : bufs_order(&kept.items[i], &expected->items[k]);
        if (order != 0) {
            letters_describe(order < 0 ? &kept.items[i] : &expected->items[k], text, sizeof text);
            sim_fail(w, "%s: %s %s", when,
                     order < 0 ? "a dead letter stands for a row that is well or gone:"
                               : "a row that cannot be written is no dead letter:",
                     text);
        }
        i += order <= 0;
        k += order >= 0;
    }
    letters_free(&kept);
}

/* --- rows ------------------------------------------------------------------------------------- */

/* A row, and the item that it maps to. */
struct wanted {
    struct sim_table *table; /* of the model */
    const char *source;      /* SQLite's name, the plan's */
    struct buf key, json, row_key;
    bool packed;  /* what is there is compressed */
    bool written; /* it can be written, as far as it alone decides */
    bool orphan;  /* it refers to a row that is not there */
};

/* A chunk that stands in the model, and the key of the item that it is of. */
struct piece {
    struct sim_table *table;
    struct oversize_key of;
    struct sim_item *item;
};

struct comparing {
    struct world *w;
    const char *when;
    struct piece *pieces; /* in the order of by_head() */
    size_t piece_count, piece_cap;
    const struct table_plan *plans[SIM_TABLES]; /* of what is mirrored */
    size_t plan_count;
    struct wanted *rows;
    size_t count, cap;
    struct letters letters, kept;
};

static bool is_lost(const struct comparing *c, const struct sim_table *t)
{
    /* Nobody can know of a table that was lost before the next request or look at it. */
    return (!t->exists || t->replaced) && !c->w->quiet;
}

static void add_letter(struct letters *l, const struct wanted *r)
{
    letters_add(l, r->source, r->row_key.data, r->row_key.len);
}

/* Is every item that it becomes taken by DynamoDB? */
static bool can_be_packed(struct world *w, const struct table_plan *plan, const struct wanted *r)
{
    _cleanup_(oversize_free) struct oversize o = {0};
    struct item_fault fault;

    bool taken =
        oversize_pack(plan, &r->json, &r->key, &o, &fault) == 0 && !service_is_poison(w, &o.head);
    for (unsigned i = 0; taken && i < o.count; i++) {
        _cleanup_buf_ struct buf key = {0}, json = {0};
        size_t size;
        taken = oversize_chunk(&plan->schema, &o, &r->key, i, &key, &json, &size) == 0 &&
                !service_is_poison(w, &json);
    }
    return taken;
}

static void add_row(struct comparing *c, const struct table_plan *plan, const struct value *row)
{
    struct item_fault fault;
    size_t size;

    if (c->count == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 256;
        c->rows = realloc(c->rows, c->cap * sizeof *c->rows);
        if (!c->rows)
            abort();
    }
    struct wanted *r = &c->rows[c->count++];
    *r = (struct wanted){.table = service_table(c->w, plan->target), .source = plan->table};
    for (size_t i = 0; i < plan->row_key_count; i++)
        value_encode(&r->row_key, &row[i]);
    if (item_key(plan, row, &r->key, NULL, &fault) < 0) { /* nothing of it in DynamoDB */
        add_letter(&c->letters, r);
        buf_free(&r->row_key);
        buf_free(&r->key);
        c->count--;
        return;
    }
    r->written = item_encode_whole(plan, row, &r->json, &size, &fault) == 0;
    r->packed = r->written && size > oversize_limit(plan);
    if (r->packed)
        r->written = plan->compress && can_be_packed(c->w, plan, r);
    else
        r->written = r->written && !service_is_poison(c->w, &r->json);
}

/* Is there a foreign key of messages that nobody can miss, and does the row at hand break it? */
static bool is_orphan(const struct comparing *c, const struct table_plan *plan,
                      const struct value *row)
{
    bool heeded = false, missing = false;

    if (!c->w->orphans || strcmp(plan->table, "msgs") != 0)
        return false;
    for (size_t i = 0; i < c->plan_count; i++)
        heeded |= strcmp(c->plans[i]->table, "people") == 0;
    if (!heeded)
        return false;
    sqlite3_stmt *stmt =
        sim_ask(c->w->look, &c->w->asked.orphan,
                "SELECT 1 FROM msgs JOIN pragma_foreign_key_list('msgs') f ON "
                "f.\"table\"='people' WHERE msgs.id=?1 AND room IS NOT NULL AND NOT EXISTS "
                "(SELECT 1 FROM people WHERE people.id=msgs.room)");
    sqlite3_bind_int64(stmt, 1, row[0].integer);
    missing = sqlite3_step(stmt) == SQLITE_ROW;
    sqlite3_reset(stmt);
    return missing;
}

static void read_table(struct comparing *c, const struct table_plan *plan, struct rows *rows)
{
    sqlite3_stmt *page = NULL;
    int rc = rows_page(rows, NULL, -1, &page);

    while (rc == SQLITE_OK && (rc = rows_next(rows, page)) == SQLITE_ROW) {
        bool orphan = is_orphan(c, plan, rows->values);
        size_t before = c->count;
        add_row(c, plan, rows->values);
        if (c->count > before)
            c->rows[before].orphan = orphan;
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        sim_fail(c->w, "the oracle cannot read %s: %s", plan->table, sqlite3_errmsg(c->w->look));
    rows_end(page);
}

static int by_key(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return bufs_order(&x->key, &y->key);
}

static bool has_letter(const struct comparing *c, const struct wanted *r)
{
    struct letters one = {0};
    bool has = false;

    add_letter(&one, r);
    for (size_t i = 0; i < c->kept.count && !has; i++)
        has = bufs_order(&c->kept.items[i], &one.items[0]) == 0;
    letters_free(&one);
    return has;
}

enum { MOST_CHUNKS = 2000 };

static int by_head(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return bufs_order(&x->of.head, &y->of.head);
}

static void read_chunks(struct comparing *c, struct sim_table *t)
{
    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *n = t->items.slots[i]; n; n = n->next) {
            struct sim_item *item = container_of(n, struct sim_item, node);
            struct piece p = {.table = t, .item = item};
            if (oversize_parse_key(item->bytes, item->key_len, &p.of) <= 0)
                continue;
            if (c->piece_count == c->piece_cap) {
                c->piece_cap = c->piece_cap ? 2 * c->piece_cap : 64;
                c->pieces = realloc(c->pieces, c->piece_cap * sizeof *c->pieces);
                if (!c->pieces)
                    abort();
            }
            c->pieces[c->piece_count++] = p;
        }
}

/* The chunks beside an item, those of its version by their number; all are seen (`excused`), or
 * those. */
static void gather(struct comparing *c, const struct wanted *r, const struct sim_item *head,
                   bool excused, json_t **chunks)
{
    const struct piece sought = {.table = r->table, .of.head = r->key};
    size_t first = 0, end = c->piece_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (by_head(&c->pieces[middle], &sought) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    for (; first < c->piece_count && by_head(&c->pieces[first], &sought) == 0; first++) {
        struct sim_item *item = c->pieces[first].item;
        const struct oversize_key *k = &c->pieces[first].of;
        bool named =
            head && k->index < head->chunks && memcmp(k->version, head->version, DIGEST_SIZE) == 0;
        if (named || excused)
            item->seen = c->w->comparison;
        if (named && !chunks[k->index])
            chunks[k->index] =
                json_loadb(item->bytes + item->key_len, item->json_len, JSON_ALLOW_NUL, NULL);
    }
}

/* Put together again it is the row's. */
static void compare_packed(struct comparing *c, const struct wanted *r, const struct sim_item *item,
                           json_t *const *chunks)
{
    json_t *head = json_loadb(item->bytes + item->key_len, item->json_len, JSON_ALLOW_NUL, NULL);
    json_t *wanted = json_loadb(r->json.data, r->json.len, JSON_ALLOW_NUL, NULL), *whole = NULL;
    struct oversize_info info;
    struct err err = {0};

    oversize_look(head, &info);
    if (info.kind != OVERSIZE_WHOLE && info.kind != OVERSIZE_HEAD)
        sim_fail(c->w, "%s: I2: %s holds %.*s, which is not compressed", c->when, r->table->name,
                 (int)item->json_len, item->bytes + item->key_len);
    else if (oversize_join(head, chunks, info.count, &whole, &err) < 0)
        sim_fail(c->w, "%s: I2: an item of %s cannot be put together: %s; of %.*s", c->when,
                 r->table->name, err.text, (int)r->json.len, r->json.data);
    else if (!json_equal(wanted, whole))
        sim_fail(c->w, "%s: I2: %s holds another item than %.*s", c->when, r->table->name,
                 (int)r->json.len, r->json.data);
    json_decref(head);
    json_decref(wanted);
    json_decref(whole);
}

static void compare_item(struct comparing *c, const struct wanted *r, bool excused)
{
    static json_t *chunks[MOST_CHUNKS];
    struct sim_item *item = service_item(r->table, r->key.data, r->key.len);

    if (item)
        item->seen = c->w->comparison;
    unsigned count = item && item->chunks < MOST_CHUNKS ? item->chunks : 0;
    memset(chunks, 0, count * sizeof *chunks);
    if (count || excused)
        gather(c, r, item, excused, chunks);
    if (item && r->packed && !excused && !is_lost(c, r->table))
        compare_packed(c, r, item, chunks);
    for (unsigned i = 0; i < count; i++)
        json_decref(chunks[i]);
    if (excused || is_lost(c, r->table) || (item && r->packed))
        return;
    if (!item)
        sim_fail(c->w, "%s: I2: %s lacks %.*s", c->when, r->table->name, (int)r->json.len,
                 r->json.data);
    else if (item->json_len != r->json.len ||
             memcmp(item->bytes + item->key_len, r->json.data, r->json.len) != 0)
        sim_fail(c->w, "%s: I2: %s holds %.*s instead of %.*s", c->when, r->table->name,
                 (int)item->json_len, item->bytes + item->key_len, (int)r->json.len, r->json.data);
}

/* Rows that meet at one key: one of them has the item, the others are dead letters; none has while
 * one that cannot be written holds the key. */
static void compare_meeting(struct comparing *c, const struct wanted *rows, size_t n)
{
    const struct wanted *owner = NULL;
    bool unwritten = false;

    for (size_t i = 0; i < n; i++) {
        if (!owner && !has_letter(c, &rows[i]))
            owner = &rows[i];
        else
            add_letter(&c->letters, &rows[i]);
        unwritten |= !rows[i].written;
    }
    if (!owner && !unwritten)
        sim_fail(c->w, "%s: of %zu rows of %s that meet at one key none has it, as %.*s", c->when,
                 n, rows->table->name, (int)rows->json.len, rows->json.data);
    if (owner && !owner->written)
        add_letter(&c->letters, owner);
    compare_item(c, owner ? owner : rows, !owner || !owner->written);
}

static void compare_rows(struct comparing *c)
{
    if (c->count)
        qsort(c->rows, c->count, sizeof *c->rows, by_key);
    for (size_t i = 0, n; i < c->count; i += n) {
        for (n = 1; i + n < c->count && by_key(&c->rows[i], &c->rows[i + n]) == 0; n++)
            ;
        if (n > 1) {
            compare_meeting(c, &c->rows[i], n);
            continue;
        }
        /* One that was sent before the row went that it refers to is as it was then. */
        bool excused = !c->rows[i].written;
        if (c->rows[i].orphan)
            excused = has_letter(c, &c->rows[i]);
        if (excused)
            add_letter(&c->letters, &c->rows[i]);
        compare_item(c, &c->rows[i], excused);
    }
}

static void compare_extras(struct comparing *c, struct sim_table *t, const char *why)
{
    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *n = t->items.slots[i]; n; n = n->next) {
            struct sim_item *item = container_of(n, struct sim_item, node);
            if (item->seen != c->w->comparison && !item->unknown && !item->foreign)
                sim_fail(c->w, "%s: I2: %s holds %.*s, %s", c->when, t->name, (int)item->json_len,
                         item->bytes + item->key_len, why);
        }
}

/* Asked at every turn, so not by mirror_table(), which counts dead letters. */
static bool mirrored(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->mirror->table_count; i++)
        if (strcasecmp(w->mirror->tables[i].name, name) == 0)
            return w->mirror->tables[i].plan != NULL;
    return false;
}

bool oracle_all_mirrored(struct world *w)
{
    sqlite3_stmt *stmt = sim_ask(w->look, &w->asked.tables,
                                 "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT "
                                 "GLOB '_syncd_*' AND name NOT GLOB 'sqlite_*'");
    bool all = stmt != NULL;

    while (sqlite3_step(stmt) == SQLITE_ROW)
        all &= mirrored(w, (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_reset(stmt);
    return all;
}

/* Those that are mirrored, and their rows. */
static void read_tables(struct comparing *c)
{
    struct sim_schema *s = c->w->schema;

    for (size_t i = 0; i < s->count; i++)
        if (mirrored(c->w, s->tables[i].plan->table))
            c->plans[c->plan_count++] = s->tables[i].plan;
    for (size_t i = 0, k = 0; i < s->count; i++) {
        struct sim_planned *t = &s->tables[i];
        if (k == c->plan_count || c->plans[k] != t->plan)
            continue;
        k++;
        if (!t->rows && rows_open(&s->source, t->plan, &t->rows) != SQLITE_OK)
            sim_fail(c->w, "the oracle cannot read %s: %s", t->plan->table,
                     sqlite3_errmsg(c->w->look));
        else
            read_table(c, t->plan, t->rows);
    }
}

/* Are items there of a table that is no more, and stay? Then nobody answers for all of them. */
static bool keeps_dropped(const struct comparing *c, const char *target)
{
    bool keeps = false;

    for (unsigned t = 0; !c->w->dropped_items_go && t < SIM_SOURCES; t++) {
        const char *name = application_table(t);
        const struct table_config *table = config_table(c->w->config, name);
        const char *its = table && *table->target ? table->target : name;
        keeps |= strcmp(its, target) == 0 && !mirrored(c->w, name);
    }
    return keeps;
}

/* Items of tables that are no more, where they are to go with them. */
static void compare_dropped(struct comparing *c, const struct catalog *catalog)
{
    for (unsigned t = 0; c->w->dropped_items_go && t < SIM_SOURCES; t++) {
        const char *name = application_table(t);
        bool there = false;
        for (size_t i = 0; i < catalog->count; i++)
            there |= strcasecmp(catalog->tables[i].name, name) == 0;
        if (!there && !mirrored(c->w, name))
            compare_extras(c, service_table(c->w, name), "whose table was dropped");
    }
}

static void comparing_free(struct comparing *c)
{
    for (size_t i = 0; i < c->count; i++) {
        buf_free(&c->rows[i].key);
        buf_free(&c->rows[i].json);
        buf_free(&c->rows[i].row_key);
    }
    for (size_t i = 0; i < c->piece_count; i++)
        buf_free(&c->pieces[i].of.head);
    free(c->pieces);
    free(c->rows);
    letters_free(&c->letters);
    letters_free(&c->kept);
}

static int64_t data_version(struct world *w)
{
    sqlite3_stmt *stmt = sim_ask(w->look, &w->asked.data, "PRAGMA data_version");
    int64_t version = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;

    sqlite3_reset(stmt);
    return version;
}

/* Everything that a comparison may find different from the one before it. */
static struct sim_compared comparable(struct world *w)
{
    sqlite3 *letters = mirror_store(w->mirror)->db;
    struct sim_compared now = {.starts = w->starts,
                               .rows = data_version(w),
                               .letters = sqlite3_total_changes64(letters),
                               .committed = sqlite3_get_autocommit(letters),
                               .quiet = w->quiet};

    for (size_t i = 0; i < w->table_count; i++)
        now.items[i] = w->tables[i].changes << 1 | w->tables[i].exists;
    for (size_t i = 0; i < w->mirror->table_count; i++) {
        const struct table_slot *t = &w->mirror->tables[i];
        now.mirrored = map_hash(t->name, strlen(t->name), now.mirrored + (t->plan != NULL));
    }
    return now;
}

static void compare(struct world *w, const char *when)
{
    struct comparing c = {.w = w, .when = when};

    w->comparison++;
    store_dead_letters(mirror_store(w->mirror), 0, letters_kept, &c.kept);
    sqlite3_exec(w->look, "BEGIN", NULL, NULL, NULL);
    if (oracle_know_schema(w)) {
        read_tables(&c);
        for (size_t i = 0; w->oversize && i < c.plan_count; i++)
            read_chunks(&c, service_table(w, c.plans[i]->target));
        if (c.piece_count)
            qsort(c.pieces, c.piece_count, sizeof *c.pieces, by_head);
        compare_rows(&c);
        for (size_t i = 0; i < c.plan_count; i++)
            if (!keeps_dropped(&c, c.plans[i]->target))
                compare_extras(&c, service_table(w, c.plans[i]->target), "which has no row");
        compare_dropped(&c, w->schema->catalog);
        compare_letters(w, when, &c.letters);
    }
    comparing_free(&c);
    sqlite3_exec(w->look, "COMMIT", NULL, NULL, NULL);
}

void oracle_compare(struct world *w, const char *when)
{
    struct sim_compared now = comparable(w);

    if (memcmp(&now, &w->compared, sizeof now) == 0)
        return;
    compare(w, when);
    if (!w->failure[0])
        w->compared = now;
}

void oracle_converged(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    sim_trace(w, "converged: %d", v.converged);
    if (!v.converged || w->left_out)
        return;
    oracle_compare(w, "I9: converged");
    service_check_late(w, "I9: converged");
}

bool oracle_journal_empty(struct world *w)
{
    sqlite3_stmt *stmt =
        sim_ask(w->look, &w->asked.journal, "SELECT count(*)=1 AND max(t)=0 FROM _syncd_journal");
    bool empty = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0) != 0;

    sqlite3_reset(stmt);
    return empty;
}
