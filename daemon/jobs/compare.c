#include "jobs/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "dynamodb/same.h"
#include "mapping/item.h"
#include "mapping/ours.h"
#include "mapping/oversize.h"
#include "mapping/row.h"
#include "source/canary.h"

/* Others may hold the lock for a commit; a checkpoint of theirs may take longer. */
#define PATIENCE (10 * USEC_PER_SEC)
/* In rollback mode a reader keeps a writer from its commit: so long it is waited for a pause. */
#define PAUSE_PATIENCE (500 * USEC_PER_MSEC)

/* --- opening ---------------------------------------------------------------------------------- */

static int open_tables(struct compared *x, const struct capture_state *st, struct err *err)
{
    size_t widest = 1;

    x->tables = calloc(x->plans.count + 1, sizeof *x->tables);
    for (size_t i = 0; x->tables && i < x->plans.count; i++) {
        struct table_plan *p = x->plans.plans[i];
        struct compared_table *t = &x->tables[x->count];
        if (!p || canary_is_table(p->table))
            continue;
        *t =
            (struct compared_table){.name = p->table, .plan = p, .id = capture_id_of(st, p->table)};
        int rc = rows_open(x->source, p, &t->rows);
        if (rc != SQLITE_OK)
            return compared_failed(x, rc, "reading the tables", err);
        x->count++;
        widest = p->column_count > widest ? p->column_count : widest;
    }
    x->values = calloc(widest, sizeof *x->values);
    return x->tables && x->values ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int open_journal(struct compared *x, struct err *err)
{
    struct capture_state *st = NULL;
    int rc = capture_look(x->source, &st);

    if (rc != SQLITE_OK)
        return compared_failed(x, rc, "reading the triggers", err);
    if (st->journal)
        rc = journal_open(x->source, st->journal_keys, &x->journal);
    int result = rc == SQLITE_OK ? open_tables(x, st, err)
                                 : compared_failed(x, rc, "reading the journal", err);
    capture_state_free(st);
    return result;
}

/* Where that decides which rows have items. */
static int read_references(struct compared *x, struct err *err)
{
    bool any = false;

    for (size_t i = 0; i < x->plans.count; i++)
        any |= x->plans.plans[i] && x->plans.plans[i]->guarded;
    int rc = any ? references_read(x->source, x->plans.catalog,
                                   (const struct table_plan *const *)x->plans.plans, x->plans.count,
                                   &x->references)
                 : SQLITE_OK;
    return rc == SQLITE_OK ? 0 : compared_failed(x, rc, "reading the foreign keys", err);
}

int compared_open(const struct config *c, struct compared *out, struct err *err)
{
    *out = (struct compared){0};
    if (source_open_patiently(c->database, PATIENCE, &out->source, err) != SOURCE_OK)
        return -EIO;
    int rc = source_schema_version(out->source, &out->schema_version);
    if (rc != SQLITE_OK)
        return compared_failed(out, rc, "reading the schema", err);
    rc = plan_list_make(c, &out->plans, err);
    if (rc < 0 || (rc = read_references(out, err)) < 0)
        return rc;
    return open_journal(out, err);
}

void compared_close(struct compared *x)
{
    for (size_t i = 0; i < x->count; i++)
        rows_close(x->tables[i].rows);
    free(x->tables);
    free(x->values);
    references_close(&x->references);
    journal_close(x->journal);
    source_close(x->source);
    plan_list_free(&x->plans);
    *x = (struct compared){0};
}

struct compared_table *compared_find(struct compared *x, const char *name, struct err *err)
{
    for (size_t i = 0; i < x->count; i++)
        if (strcasecmp(x->tables[i].name, name) == 0)
            return &x->tables[i];
    for (size_t i = 0; i < x->plans.count; i++)
        if (strcasecmp(x->plans.catalog->tables[i].name, name) == 0 && x->plans.refusals[i]) {
            err_set(err, -EINVAL, "table \"%s\" is not mirrored: %s", name, x->plans.refusals[i]);
            return NULL;
        }
    err_set(err, -EINVAL, "no table \"%s\" is mirrored; see `syncctl check`", name);
    return NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

int compared_failed(struct compared *x, int sqlite_rc, const char *doing, struct err *err)
{
    source_problem_of(x->source, sqlite_rc, doing, err);
    return -EIO;
}

static void await_pause(const struct source *s)
{
    usec until = clock_monotonic() + PAUSE_PATIENCE;

    while (!s->wal && source_being_written(s) && clock_monotonic() < until)
        usleep(200);
}

int compared_begin(struct compared *x, struct err *err)
{
    int64_t version = 0;

    await_pause(x->source);
    int rc = source_begin(x->source);
    if (rc == SQLITE_OK)
        rc = source_schema_version(x->source, &version);
    if (rc == SQLITE_OK && version == x->schema_version)
        return 0;
    if (rc == SQLITE_OK)
        err_set(err, -EIO, "the database's schema has changed meanwhile: run it again");
    else
        compared_failed(x, rc, "reading the database", err);
    source_end(x->source, SQLITE_OK);
    return -EIO;
}

void compared_end(struct compared *x)
{
    source_end(x->source, SQLITE_OK); /* it has only read */
}

int compared_left_out(struct compared *x, const struct compared_table *t, struct buf *why,
                      struct err *err)
{
    int rc = 0;
    const struct reference *r =
        t->plan->guarded ? references_missing(&x->references, t->plan, t->rows->values, &rc) : NULL;

    if (rc == -ENOMEM)
        return err_set(err, rc, "out of memory");
    if (rc < 0)
        return err_set(err, rc, "the rows that table \"%s\" refers to cannot be looked up: %s",
                       t->name, sqlite3_errmsg(x->source->db));
    if (r && why) {
        reference_describe(r, t->rows->values, why);
        buf_printf(why, ": table \"%s\" has no such row", r->parent_name);
    }
    return r != NULL;
}

/* Is the row at hand the one with this key? SQLITE_DONE: it has another, or none. */
static int with_key(const struct compared_table *t, int found, const struct value *row_key,
                    const struct buf *key)
{
    _cleanup_buf_ struct buf made = {0}, entry = {0};
    const struct table_plan *p = t->plan;
    struct item_fault fault;
    int rc;

    if (found == SQLITE_TOOBIG) {
        _cleanup_free_ struct value *values = calloc(p->entry_count, sizeof *values);
        rc = rows_found_key(t->rows, row_key, &entry);
        if (!values || rc != SQLITE_ROW || !buf_ok(&entry) ||
            values_decode(entry.data, entry.len, values, p->entry_count) < 0)
            return rc == SQLITE_DONE ? rc : SQLITE_NOMEM;
        rc = item_key(p, values, &made, NULL, &fault);
    } else {
        rc = item_key(p, t->rows->values, &made, NULL, &fault);
    }
    if (rc == -ENOMEM)
        return SQLITE_NOMEM;
    return rc == 0 && made.len == key->len && memcmp(made.data, key->data, made.len) == 0
               ? found
               : SQLITE_DONE;
}

static int try_row(struct compared_table *t, const struct value *row_key, const struct buf *key)
{
    int rc;

    rows_end(t->rows->lookup);
    rc = rows_lookup(t->rows, row_key);
    return rc == SQLITE_ROW || rc == SQLITE_TOOBIG ? with_key(t, rc, row_key, key) : rc;
}

const struct buf *compared_head(const struct buf *key, struct buf *head)
{
    struct oversize_key chunk = {.index = 0};
    int rc = oversize_parse_key(key->data, key->len, &chunk);

    if (rc > 0)
        *head = chunk.head;
    return rc < 0 ? NULL : rc ? head : key;
}

static int find_row(struct compared *x, struct compared_table *t, const struct buf *key,
                    const json_t *item, const struct buf *row)
{
    _cleanup_buf_ struct buf store = {0};
    const struct table_plan *p = t->plan;
    struct item_fault fault;
    int rc = plan_key_row(p, key->data, key->len, x->values, &store), found = SQLITE_DONE;

    if (rc == 0)
        return try_row(t, x->values, key);
    if (rc != -ENOMEM && row && row->len) {
        rc = values_decode(row->data, row->len, x->values, p->row_key_count);
        found = rc == 0 ? try_row(t, x->values, key) : SQLITE_DONE;
    }
    if (rc != -ENOMEM && found == SQLITE_DONE && item) {
        rc = row_from_item(p, item, x->values, &store, &fault);
        found = rc == 0 ? try_row(t, x->values, key) : SQLITE_DONE;
    }
    return rc == -ENOMEM ? SQLITE_NOMEM : found;
}

int compared_row(struct compared *x, struct compared_table *t, const struct buf *key,
                 const json_t *item, const struct buf *row)
{
    _cleanup_buf_ struct buf head = {0};
    const struct buf *of = compared_head(key, &head);

    return of ? find_row(x, t, of, item, row) : SQLITE_NOMEM;
}

/* --- items ------------------------------------------------------------------------------------ */

static int parse(const struct buf *json, json_t **out, struct item_fault *fault)
{
    *out = json_loadb(json->data, json->len, JSON_ALLOW_NUL, NULL);
    if (*out)
        return 0;
    *fault = (struct item_fault){.code = "not_comparable",
                                 .text = "an attribute's name holds a NUL, which cannot be read"};
    return -EINVAL;
}

/* The row's item as text, and, where that is too large for one, what is written for it. */
static int encode(const struct compared_table *t, const struct buf *key, struct buf *text,
                  struct oversize *packed, bool *is_packed, struct item_fault *fault)
{
    size_t size = 0;
    int rc = item_encode_whole(t->plan, t->rows->values, text, &size, fault);

    *is_packed = rc == 0 && size > oversize_limit(t->plan);
    if (!*is_packed)
        return rc;
    return t->plan->compress ? oversize_pack(t->plan, text, key, packed, fault)
                             : oversize_refuse(fault, size);
}

static int chunk_item(const struct compared_table *t, const struct oversize *o,
                      const struct buf *head, const struct oversize_key *chunk, json_t **out,
                      struct item_fault *fault)
{
    _cleanup_buf_ struct buf key = {0}, json = {0};
    size_t size;

    *out = NULL;
    if (memcmp(chunk->version, o->version, sizeof o->version) != 0 || chunk->index >= o->count)
        return 0;
    int rc = oversize_chunk(&t->plan->schema, o, head, chunk->index, &key, &json, &size);
    return rc < 0 ? rc : parse(&json, out, fault);
}

int compared_item(const struct compared_table *t, const struct buf *key, json_t **out,
                  struct item_fault *fault)
{
    _cleanup_buf_ struct buf text = {0}, head = {0};
    _cleanup_(oversize_free) struct oversize packed = {.count = 0};
    struct oversize_key chunk = {.index = 0};
    bool is_packed = false;
    int is_chunk = oversize_parse_key(key->data, key->len, &chunk);

    if (is_chunk < 0)
        return -ENOMEM;
    head = chunk.head;
    int rc = encode(t, is_chunk ? &head : key, &text, &packed, &is_packed, fault);
    if (rc < 0)
        return rc;
    if (is_chunk && is_packed)
        return chunk_item(t, &packed, &head, &chunk, out, fault);
    *out = NULL;
    return is_chunk ? 0 : parse(is_packed ? &packed.head : &text, out, fault);
}

int compared_chunks(const struct compared_table *t, const struct buf *key, struct buf *keys,
                    struct buf *ends)
{
    _cleanup_buf_ struct buf text = {0}, json = {0}, one = {0};
    _cleanup_(oversize_free) struct oversize packed = {.count = 0};
    struct item_fault fault;
    bool is_packed = false;
    size_t size;

    int rc = t->plan->compress ? encode(t, key, &text, &packed, &is_packed, &fault) : 0;
    for (unsigned i = 0; rc == 0 && i < packed.count; i++) {
        buf_clear(&json);
        buf_clear(&one);
        rc = oversize_chunk(&t->plan->schema, &packed, key, i, &one, &json, &size);
        buf_append(keys, one.data, one.len);
        buf_append(ends, &keys->len, sizeof keys->len);
    }
    return rc == -ENOMEM || !buf_ok(keys) || !buf_ok(ends) ? -ENOMEM : 0;
}

/* Another release of the library may have compressed the same text to other bytes. */
static bool same_inside(const json_t *item, const json_t *should)
{
    struct oversize_info a, b;
    json_t *x = NULL, *y = NULL;
    struct err ignored;

    oversize_look(item, &a);
    oversize_look(should, &b);
    if (a.kind != OVERSIZE_WHOLE || b.kind != OVERSIZE_WHOLE)
        return false;
    bool same = oversize_join(item, NULL, 0, &x, &ignored) == 0 &&
                oversize_join(should, NULL, 0, &y, &ignored) == 0 && item_same(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

bool compared_same(const json_t *item, const json_t *should)
{
    return item_same(item, should) || same_inside(item, should);
}
