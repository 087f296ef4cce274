/* What must be true. Rows are read by a connection of its own and mapped anew; whether the mapping
 * itself is right is tested elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mapping/item.h"
#include "mirror/plans.h"
#include "source/catalog.h"
#include "source/rows.h"
#include "state/store.h"
#include "world.h"

/* Dead letters as texts "table", NUL, row key. */
struct letters {
    struct buf *items;
    size_t count;
};

static void letters_add(struct letters *l, const char *table, const void *row_key, size_t n)
{
    struct buf *more = realloc(l->items, (l->count + 1) * sizeof *more);

    if (!more)
        abort();
    l->items = more;
    struct buf *b = &more[l->count++];
    *b = (struct buf){0};
    buf_append(b, table, strlen(table) + 1);
    buf_append(b, row_key, n);
}

static int by_bytes(const void *a, const void *b)
{
    const struct buf *x = a, *y = b;
    int rc = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

    return rc ? rc : x->len < y->len ? -1 : x->len > y->len;
}

/* Rows that share a key (NULL in a TEXT key) share a letter. */
static void letters_sort(struct letters *l)
{
    size_t kept = 0;

    if (l->count)
        qsort(l->items, l->count, sizeof *l->items, by_bytes);
    for (size_t i = 0; i < l->count; i++) {
        if (kept && by_bytes(&l->items[kept - 1], &l->items[i]) == 0)
            buf_free(&l->items[i]);
        else
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
}

static void letters_free(struct letters *l)
{
    for (size_t i = 0; i < l->count; i++)
        buf_free(&l->items[i]);
    free(l->items);
}

static void kept_letter(void *arg, const struct dead_letter *d)
{
    letters_add(arg, d->table, d->row_key, d->row_key_len);
}

static void letters_describe(const struct buf *b, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s:", b->data);

    for (size_t i = strlen(b->data) + 1; i < b->len && at + 3 < size; i++) {
        unsigned char c = (unsigned char)b->data[i];
        at += (size_t)snprintf(out + at, size - at, c > 32 && c < 127 ? "%c" : "\\%02x", c);
    }
}

static void compare_letters(struct world *w, const char *when, struct letters *expected)
{
    struct letters kept = {0};
    char text[200];

    store_dead_letters(mirror_store(w->mirror), 0, kept_letter, &kept);
    letters_sort(&kept);
    letters_sort(expected);
    for (size_t i = 0, k = 0; i < kept.count || k < expected->count;) {
        int order = i == kept.count        ? 1
                    : k == expected->count ? -1
                                           : by_bytes(&kept.items[i], &expected->items[k]);
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
    struct table_plan *plans[SIM_TABLES];
    size_t plan_count;
    struct wanted *rows;
    size_t count, cap;
    struct letters letters, kept;
};

static bool is_lost(const struct comparing *c, const struct sim_table *t)
{
    /* Nobody can know of a table that was lost before the next request or look at it. */
    return !t->exists && !c->w->quiet;
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

static void read_table(struct comparing *c, const struct table_plan *plan, struct source *s)
{
    struct rows *rows = NULL;
    sqlite3_stmt *page;
    int rc = rows_open(s, plan, &rows);

    if (rc == SQLITE_OK)
        rc = rows_page(rows, NULL, -1, &page);
    while (rc == SQLITE_OK && (rc = rows_next(rows, page)) == SQLITE_ROW) {
        add_row(c, plan, rows->values);
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        sim_fail(c->w, "the oracle cannot read %s: %s", plan->table, sqlite3_errmsg(s->db));
    rows_close(rows);
}

static int by_key(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return by_bytes(&x->key, &y->key);
}

static bool has_letter(const struct comparing *c, const struct wanted *r)
{
    struct letters one = {0};
    bool has = false;

    add_letter(&one, r);
    for (size_t i = 0; i < c->kept.count && !has; i++)
        has = by_bytes(&c->kept.items[i], &one.items[0]) == 0;
    letters_free(&one);
    return has;
}

enum { MOST_CHUNKS = 2000 };

static int by_head(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return by_bytes(&x->of.head, &y->of.head);
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
        if (!c->rows[i].written)
            add_letter(&c->letters, &c->rows[i]);
        compare_item(c, &c->rows[i], !c->rows[i].written);
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

static bool mirrored(struct world *w, const char *name)
{
    struct mirror_table_view v;

    for (size_t i = 0; i < mirror_table_count(w->mirror); i++) {
        mirror_table(w->mirror, i, &v);
        if (strcasecmp(v.name, name) == 0)
            return v.mirrored;
    }
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

/* The plan of a table, if it is mirrored. */
static void plan_table(struct comparing *c, const struct table_info *t)
{
    struct err err = {0};

    if (c->plan_count < SIM_TABLES && plans_covers(c->w->config, t) && mirrored(c->w, t->name) &&
        plans_make(c->w->config, t, &c->plans[c->plan_count], &err) == 0)
        c->plan_count++;
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

void oracle_compare(struct world *w, const char *when)
{
    struct source s = {.db = w->look, .path = w->database};
    struct comparing c = {.w = w, .when = when};
    struct catalog *catalog = NULL;
    struct err err = {0};

    w->comparison++;
    store_dead_letters(mirror_store(w->mirror), 0, kept_letter, &c.kept);
    sqlite3_exec(w->look, "BEGIN", NULL, NULL, NULL);
    if (catalog_read(&s, &catalog, &err) != SOURCE_OK) {
        sim_fail(w, "the oracle cannot read the schema: %s", err.text);
    } else {
        for (size_t i = 0; i < catalog->count; i++)
            plan_table(&c, &catalog->tables[i]);
        for (size_t i = 0; i < c.plan_count; i++)
            read_table(&c, c.plans[i], &s);
        for (size_t i = 0; w->oversize && i < c.plan_count; i++)
            read_chunks(&c, service_table(w, c.plans[i]->target));
        if (c.piece_count)
            qsort(c.pieces, c.piece_count, sizeof *c.pieces, by_head);
        compare_rows(&c);
        for (size_t i = 0; i < c.plan_count; i++)
            compare_extras(&c, service_table(w, c.plans[i]->target), "which has no row");
        compare_dropped(&c, catalog);
        compare_letters(w, when, &c.letters);
    }
    for (size_t i = 0; i < c.count; i++) {
        buf_free(&c.rows[i].key);
        buf_free(&c.rows[i].json);
        buf_free(&c.rows[i].row_key);
    }
    source_forget_questions(&s);
    for (size_t i = 0; i < c.piece_count; i++)
        buf_free(&c.pieces[i].of.head);
    free(c.pieces);
    free(c.rows);
    for (size_t i = 0; i < c.plan_count; i++)
        plan_free(c.plans[i]);
    letters_free(&c.letters);
    letters_free(&c.kept);
    catalog_free(catalog);
    sqlite3_exec(w->look, "COMMIT", NULL, NULL, NULL);
}

void oracle_converged(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    sim_trace(w, "converged: %d", v.converged);
    if (!v.converged)
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
