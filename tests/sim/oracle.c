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

struct comparing {
    struct world *w;
    const char *when;
    const struct table_plan *plan;
    struct sim_table *table;
    bool lost;
    struct letters letters;
};

static void compare_item(struct comparing *c, const struct buf *key, const struct buf *json,
                         bool excused)
{
    struct sim_item *item = service_item(c->table, key->data, key->len);
    const char *name = c->plan->table;

    if (item)
        item->seen = c->w->comparison;
    if (excused)
        return;
    if (!item)
        sim_fail(c->w, "%s: I2: %s lacks %.*s", c->when, name, (int)json->len, json->data);
    else if (item->json_len != json->len ||
             memcmp(item->bytes + item->key_len, json->data, json->len) != 0)
        sim_fail(c->w, "%s: I2: %s holds %.*s instead of %.*s", c->when, name, (int)item->json_len,
                 item->bytes + item->key_len, (int)json->len, json->data);
}

static void compare_row(struct comparing *c, const struct value *row)
{
    _cleanup_buf_ struct buf key = {0}, json = {0}, row_key = {0};
    struct item_fault fault;
    size_t size;
    bool mapped = item_key(c->plan, row, &key, NULL, &fault) == 0;
    bool written = mapped && item_encode(c->plan, row, &json, &size, &fault) == 0 &&
                   !memmem(json.data, json.len, SIM_POISON, strlen(SIM_POISON));

    if (!written) {
        for (size_t i = 0; i < c->plan->row_key_count; i++)
            value_encode(&row_key, &row[i]);
        letters_add(&c->letters, c->plan->table, row_key.data, row_key.len);
    }
    if (mapped)
        compare_item(c, &key, &json, !written || c->lost);
}

static void compare_table(struct comparing *c, struct source *s)
{
    struct rows *rows = NULL;
    sqlite3_stmt *page;

    c->table = service_table(c->w, c->plan->target);
    /* Nobody can know of a table that was lost before the next request or look at it. */
    c->lost = !c->table->exists && !c->w->quiet;
    int rc = rows_open(s, c->plan, &rows);
    if (rc == SQLITE_OK)
        rc = rows_page(rows, NULL, -1, &page);
    while (rc == SQLITE_OK && (rc = rows_next(rows, page)) == SQLITE_ROW) {
        compare_row(c, rows->values);
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        sim_fail(c->w, "the oracle cannot read %s: %s", c->plan->table, sqlite3_errmsg(s->db));
    rows_close(rows);
    for (size_t i = 0; c->table->items.slots && i <= c->table->items.mask; i++)
        for (struct map_node *n = c->table->items.slots[i]; n; n = n->next) {
            struct sim_item *item = container_of(n, struct sim_item, node);
            if (item->seen != c->w->comparison)
                sim_fail(c->w, "%s: I2: %s holds %.*s, which has no row", c->when, c->plan->table,
                         (int)item->json_len, item->bytes + item->key_len);
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
    sqlite3_stmt *stmt = NULL;
    bool all = true;

    if (sqlite3_prepare_v2(w->look,
                           "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT GLOB "
                           "'_syncd_*' AND name NOT GLOB 'sqlite_*'",
                           -1, &stmt, NULL) != SQLITE_OK)
        return false;
    while (sqlite3_step(stmt) == SQLITE_ROW)
        all &= mirrored(w, (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return all;
}

void oracle_compare(struct world *w, const char *when)
{
    struct source s = {.db = w->look, .path = w->database};
    struct comparing c = {.w = w, .when = when};
    struct catalog *catalog = NULL;
    struct err err = {0};

    w->comparison++;
    sqlite3_exec(w->look, "BEGIN", NULL, NULL, NULL);
    if (catalog_read(&s, &catalog, &err) != SOURCE_OK) {
        sim_fail(w, "the oracle cannot read the schema: %s", err.text);
    } else {
        for (size_t i = 0; i < catalog->count; i++) {
            struct table_plan *plan = NULL;
            const struct table_info *t = &catalog->tables[i];
            if (!plans_covers(w->config, t) || !mirrored(w, t->name) ||
                plans_make(w->config, t, &plan, &err) < 0)
                continue;
            c.plan = plan;
            compare_table(&c, &s);
            plan_free(plan);
        }
        compare_letters(w, when, &c.letters);
    }
    letters_free(&c.letters);
    catalog_free(catalog);
    sqlite3_exec(w->look, "COMMIT", NULL, NULL, NULL);
}

void oracle_converged(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    sim_trace(w, "converged: %d", v.converged);
    if (v.converged)
        oracle_compare(w, "I9: converged");
}

bool oracle_journal_empty(struct world *w)
{
    sqlite3_stmt *stmt = NULL;
    bool empty = false;

    if (sqlite3_prepare_v2(w->look, "SELECT count(*)=1 AND max(t)=0 FROM _syncd_journal", -1, &stmt,
                           NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        empty = sqlite3_column_int(stmt, 0) != 0;
    sqlite3_finalize(stmt);
    return empty;
}
