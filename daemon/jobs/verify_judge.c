/* The second look at what differed, a hundred keys at a time:
 *
 *     journal (what waits) -> BatchGetItem, consistent -> journal (what came since) and rows
 *
 * A change that had left the journal by the first look had arrived before the items were read. One
 * that was in it, or came before the rows were read, makes its key wait for another round. Where
 * entries both came and went in between, nothing can be told of those keys: all of them wait. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "dynamodb/same.h"
#include "dynamodb/scan.h"
#include "jobs/call.h"
#include "jobs/verify_internal.h"
#include "mapping/ours.h"
#include "mapping/oversize.h"

enum { ROUNDS = 4, AT_ONCE = BATCH_GET_MAX_KEYS, ENTRIES = 5000 };

struct batch {
    struct verify *verify;
    struct buf page; /* packed work_keys */
    json_t *keys;    /* to be asked for */
    json_t *items;   /* what came */
    int64_t upto;    /* the journal has been read up to here */
    bool blind;      /* entries came and went unseen */
    int64_t undecided;
};

/* --- the journal ------------------------------------------------------------------------------ */

static const struct compared_table *table_by_id(const struct compared *x, uint32_t id)
{
    for (size_t i = 0; i < x->count; i++)
        if (x->tables[i].id == id)
            return &x->tables[i];
    return NULL;
}

static int note_entry(struct verify *v, sqlite3_stmt *entries, const struct journal_entry *e)
{
    const struct compared_table *t = e->table ? table_by_id(&v->compared, e->table) : NULL;
    _cleanup_buf_ struct buf bytes = {0}, key = {0};
    struct item_fault fault;

    if (!t || strcmp(t->plan->target, v->target) != 0)
        return 0;
    _cleanup_free_ struct value *values = calloc(t->plan->entry_count, sizeof *values);
    journal_key(entries, (unsigned)t->plan->entry_count, &bytes);
    if (!values || !buf_ok(&bytes) ||
        values_decode(bytes.data, bytes.len, values, t->plan->entry_count) < 0)
        return err_set(v->err, -ENOMEM, "out of memory");
    int rc = item_key(t->plan, values, &key, NULL, &fault);
    if (rc == 0 && work_wait_for(v->work, key.data, key.len) < 0)
        return verify_work_failed(v);
    return rc == -ENOMEM ? err_set(v->err, rc, "out of memory") : 0;
}

/* Inside a transaction: entries behind *upto, which is moved; *more: there may be others. */
static int read_entries(struct verify *v, int64_t *upto, bool *more)
{
    sqlite3_stmt *entries = journal_entries(v->compared.journal, *upto, ENTRIES, 0, 0);
    struct journal_entry e;
    int n = 0, rc = 0, sq;

    while ((sq = journal_next(entries, &e)) == SQLITE_ROW && rc == 0) {
        rc = note_entry(v, entries, &e);
        *upto = e.seq;
        n++;
    }
    rows_end(entries);
    *more = n == ENTRIES;
    if (rc < 0)
        return rc;
    return sq == SQLITE_DONE || sq == SQLITE_ROW
               ? 0
               : compared_failed(&v->compared, sq, "reading the journal", v->err);
}

/* All that waits. */
static int read_journal(struct batch *b)
{
    struct verify *v = b->verify;
    bool more = v->compared.journal != NULL;
    int rc = 0;

    while (rc == 0 && more) {
        rc = compared_begin(&v->compared, v->err);
        if (rc < 0)
            return rc;
        rc = read_entries(v, &b->upto, &more);
        compared_end(&v->compared);
    }
    return rc;
}

/* Inside the transaction that reads the rows: what came since. */
static int read_newer(struct batch *b)
{
    struct verify *v = b->verify;
    struct journal_head head;
    bool more = false;

    if (!v->compared.journal)
        return 0;
    int sq = journal_head(v->compared.journal, &head);
    if (sq != SQLITE_ROW && sq != SQLITE_DONE)
        return compared_failed(&v->compared, sq, "reading the journal", v->err);
    b->blind = sq == SQLITE_DONE || !head.sentinel || head.seq > b->upto;
    int rc = b->blind ? 0 : read_entries(v, &b->upto, &more);
    b->blind |= more;
    return rc;
}

/* --- items ------------------------------------------------------------------------------------ */

void verify_slow_down(const struct verify *v, double units)
{
    double seconds = v->options->rate > 0 && units > 0 ? units / v->options->rate : 0;

    if (seconds > 0)
        usleep((useconds_t)(seconds * 1e6));
}

/* Those keys that the service left unprocessed are asked for again, as any call that is throttled.
 */
static int get_items(struct batch *b)
{
    struct verify *v = b->verify;
    json_t *left = json_incref(b->keys);
    unsigned tries = 0;
    int rc = 0;

    while (rc == 0 && left) {
        struct buf body = {0};
        struct batch_got got;
        json_t *reply = NULL;
        batch_get_body(&body, v->target, left, true);
        rc = job_call(&v->connection, "BatchGetItem", &body, &reply, v->err);
        if (rc == 0 && batch_get_read(reply, v->target, &got) < 0)
            rc = err_set(v->err, -EIO, "BatchGetItem of table %s: the reply is not what it answers",
                         v->target);
        if (rc == 0) {
            v->units += got.units > 0 ? got.units : 0;
            verify_slow_down(v, got.units);
            json_array_extend(b->items, got.items);
            json_decref(left);
            left = json_incref(got.unprocessed);
            if (left)
                usleep((useconds_t)(20000u << (tries < 6 ? tries : 6)));
            tries++;
        }
        json_decref(reply);
    }
    json_decref(left);
    return rc;
}

static const json_t *item_of(struct batch *b, const struct buf *key)
{
    _cleanup_buf_ struct buf its = {0};
    const json_t *item;
    size_t i;

    json_array_foreach(b->items, i, item)
    {
        buf_clear(&its);
        if (item_key_of_json(b->verify->schema, item, &its) == 0 && its.len == key->len &&
            memcmp(its.data, key->data, key->len) == 0)
            return item;
    }
    return NULL;
}

/* --- judging ---------------------------------------------------------------------------------- */

struct finding {
    struct work_key key;
    struct buf row; /* the encoded key of the row that has it; empty: none */
    size_t table;
    enum { SAME, DEAD, EXPIRED, FOREIGN, DIFFERS } what;
    enum difference_kind kind;
    const json_t *item; /* borrowed from the batch */
    json_t *should;
    char text[512]; /* the key for people */
};

static void finding_clear(struct finding *f)
{
    buf_free(&f->row);
    json_decref(f->should);
}

/* A row by its own key; an item by its key as DynamoDB has it. */
static void describe(const struct verify *v, struct finding *f, const struct value *row)
{
    _cleanup_buf_ struct buf text = {0};

    if (row) {
        item_describe_key(v->compared.tables[f->table].plan, row, &text);
    } else {
        json_t *key = json_object();
        for (size_t i = 0; i < v->schema->count; i++)
            json_object_set(key, v->schema->parts[i].name,
                            json_object_get(f->item, v->schema->parts[i].name));
        char *json = json_dumps(key, JSON_COMPACT);
        buf_puts(&text, json ? json : "?");
        free(json);
        json_decref(key);
    }
    snprintf(f->text, sizeof f->text, "%s", buf_ok(&text) && text.data ? text.data : "?");
}

/* Of a row that is several items: which one it is about. */
static void describe_chunk(struct finding *f)
{
    struct oversize_key chunk = {.index = 0};
    size_t n = strlen(f->text);

    if (oversize_parse_key(f->key.key, f->key.key_len, &chunk) > 0)
        snprintf(f->text + n, sizeof f->text - n, " chunk %u", chunk.index);
    buf_free(&chunk.head);
}

/* The row at hand has the key. */
static int judge_row(struct verify *v, struct finding *f, const struct buf *key, bool readable)
{
    const struct compared_table *t = &v->compared.tables[f->table];
    const struct value *row = t->rows->values;
    struct item_fault fault;

    if (!readable) {
        f->what = DEAD;
        return 0;
    }
    for (size_t i = 0; i < t->plan->row_key_count; i++)
        value_encode(&f->row, &row[i]);
    describe(v, f, row);
    describe_chunk(f);
    int rc = compared_item(t, key, &f->should, &fault);
    if (rc == -ENOMEM || !buf_ok(&f->row))
        return err_set(v->err, -ENOMEM, "out of memory");
    if (rc == 0 && !f->should) { /* a chunk that the row has no more */
        f->what = f->item ? DIFFERS : SAME;
        f->kind = DIFFERENCE_EXTRA;
        return 0;
    }
    /* One that is left out keeps the item that it has, as it was sent last. */
    int left_out = rc == 0 ? compared_left_out(&v->compared, t, NULL, v->err) : 0;
    if (left_out < 0)
        return left_out;
    if (rc < 0 || left_out)
        f->what = DEAD;
    else if (f->item && compared_same(f->item, f->should))
        f->what = SAME;
    else
        f->what = !f->item && verify_expired(v, f->table, f->should) ? EXPIRED : DIFFERS;
    f->kind = f->item ? DIFFERENCE_OTHER : DIFFERENCE_MISSING;
    return 0;
}

/* Inside a transaction. */
static int judge_key(struct batch *b, struct finding *f)
{
    struct verify *v = b->verify;
    _cleanup_buf_ struct buf key = {0};

    buf_append(&key, f->key.key, f->key.key_len);
    if (!buf_ok(&key))
        return err_set(v->err, -ENOMEM, "out of memory");
    f->item = item_of(b, &key);
    int found = verify_find(v, &key, f->item, &f->key, &f->table);
    if (found == SQLITE_ROW || found == SQLITE_TOOBIG) {
        int rc = judge_row(v, f, &key, found == SQLITE_ROW);
        rows_end(v->compared.tables[f->table].rows->lookup);
        return rc;
    }
    if (found != SQLITE_DONE)
        return compared_failed(&v->compared, found, "looking up rows", v->err);
    f->table = f->table < v->compared.count ? f->table : f->key.table;
    f->what = !f->item ? SAME : verify_expired(v, f->table, f->item) ? EXPIRED : DIFFERS;
    f->kind = DIFFERENCE_EXTRA;
    describe(v, f, NULL);
    return 0;
}

static int settle_figures(struct verify *v, struct finding *f)
{
    struct verify_table *t = &v->figures[f->table];
    const char *names[DIFFERENCE_NAMES];
    struct difference d = {.kind = f->kind,
                           .table = t->name,
                           .target = t->target,
                           .key = f->text,
                           .item = f->item,
                           .should = f->should,
                           .names = names};
    struct work_key k = f->key;

    t->missing += f->kind == DIFFERENCE_MISSING;
    t->extra += f->kind == DIFFERENCE_EXTRA;
    t->other += f->kind == DIFFERENCE_OTHER;
    if (f->kind == DIFFERENCE_OTHER)
        d.differ = item_differences(f->should, f->item, names, DIFFERENCE_NAMES);
    d.name_count = d.differ < DIFFERENCE_NAMES ? d.differ : DIFFERENCE_NAMES;
    v->edge->difference(v->edge->arg, &d);
    if (f->row.len) {
        k.row = f->row.data;
        k.row_len = f->row.len;
    }
    k.table = (unsigned)f->table;
    bool extra = f->kind == DIFFERENCE_EXTRA;
    if ((v->options->repair && !extra) || (v->options->delete_extra && extra))
        return work_mend(v->work, &k, extra) < 0 ? verify_work_failed(v) : 0;
    return 0;
}

static void undecided(struct batch *b, const char *why)
{
    struct verify_result *r = b->verify->result;

    b->undecided++;
    if (!r->unsettled[0])
        snprintf(r->unsettled, sizeof r->unsettled, "%s", why);
}

/* What stands twice. */
static int conclude(struct batch *b, struct finding *f)
{
    struct verify *v = b->verify;
    const char *name = v->figures[f->table].name;
    struct verify_known known = {.live = true, .ours = true};

    if (f->what == DIFFERS && v->edge->daemon) {
        int rc = v->edge->look(v->edge->arg, name, f->key.key, f->key.key_len, &known, v->err);
        if (rc < 0)
            return rc;
    }
    if (f->what == DIFFERS && f->kind == DIFFERENCE_MISSING && v->edge->dead &&
        v->edge->dead(v->edge->arg, name, f->text))
        f->what = DEAD;
    if (f->what == DIFFERS && (known.pending || known.unconfirmed || !known.live)) {
        undecided(b, !known.live     ? "their table is being loaded or compared, or is parked "
                                       "or held: see `syncctl tables`"
                     : known.pending ? "writes of them are on their way"
                                     : "they are unconfirmed: an older write may yet be carried "
                                       "out");
        return 0;
    }
    /* Its key could be of a row here, which says nothing where others write as well. */
    if (f->what == DIFFERS && f->kind == DIFFERENCE_EXTRA && !f->row.len && !known.ours) {
        f->what = FOREIGN;
        v->figures[f->table].items--;
        v->figures[v->first].foreign++;
    }
    v->figures[f->table].dead_letters += f->what == DEAD;
    v->figures[f->table].expired += f->what == EXPIRED;
    if (work_clear(v->work, f->key.key, f->key.key_len) < 0)
        return verify_work_failed(v);
    return f->what == DIFFERS ? settle_figures(v, f) : 0;
}

/* In the transaction everything is looked up; what is asked of the daemon comes after it. */
static int judge_keys(struct batch *b, struct finding *findings, size_t *count)
{
    struct verify *v = b->verify;
    struct work_key k;
    size_t at = 0;
    int rc = read_newer(b);

    while (rc == 0 && work_next(&b->page, &at, &k)) {
        bool waits = b->blind;
        if (!waits && work_waits(v->work, k.key, k.key_len, &waits) < 0)
            return verify_work_failed(v);
        if (waits) {
            undecided(b, "changes of them wait in the journal");
            continue;
        }
        findings[*count] = (struct finding){.key = k, .table = k.table};
        rc = judge_key(b, &findings[(*count)++]);
    }
    return rc;
}

static int judge_batch(struct batch *b)
{
    struct verify *v = b->verify;
    struct finding *findings = calloc(AT_ONCE, sizeof *findings);
    size_t count = 0;

    if (!findings)
        return err_set(v->err, -ENOMEM, "out of memory");
    int rc = read_journal(b);
    if (rc == 0)
        rc = get_items(b);
    if (rc == 0)
        rc = compared_begin(&v->compared, v->err);
    if (rc == 0) {
        rc = judge_keys(b, findings, &count);
        compared_end(&v->compared);
    }
    for (size_t i = 0; i < count; i++) {
        if (rc == 0)
            rc = conclude(b, &findings[i]);
        finding_clear(&findings[i]);
    }
    free(findings);
    return rc;
}

/* --- rounds ----------------------------------------------------------------------------------- */

/* The keys of the page as JSON. */
static int ask_for(struct batch *b)
{
    struct work_key k;
    size_t at = 0;

    b->keys = json_array();
    b->items = json_array();
    while (work_next(&b->page, &at, &k)) {
        _cleanup_buf_ struct buf json = {0};
        if (item_key_json(b->verify->schema, k.key, k.key_len, &json) < 0 ||
            json_array_append_new(b->keys, json_loadb(json.data, json.len, JSON_ALLOW_NUL, NULL)) <
                0)
            return err_set(b->verify->err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int judge_round(struct verify *v, int64_t *undecided)
{
    _cleanup_buf_ struct buf after = {0};
    int64_t upto = 0, done = 0, total = work_suspects(v->work);
    int n = 1, rc = work_forget_waiting(v->work) < 0 ? verify_work_failed(v) : 0;

    v->result->unsettled[0] = '\0';
    while (rc == 0 && n > 0) {
        struct batch b = {.verify = v, .upto = upto};
        struct work_key k;
        n = work_page(v->work, &after, AT_ONCE, &b.page);
        rc = n < 0 ? verify_work_failed(v) : n > 0 ? ask_for(&b) : 0;
        for (size_t at = 0; work_next(&b.page, &at, &k);) {
            buf_clear(&after);
            buf_append(&after, k.key, k.key_len);
        }
        if (rc == 0 && n > 0)
            rc = judge_batch(&b);
        done += n > 0 ? n : 0;
        if (rc == 0 && v->edge->progress && n > 0)
            v->edge->progress(v->edge->arg, "again", done, total, v->units);
        upto = b.upto;
        *undecided += b.undecided;
        json_decref(b.keys);
        json_decref(b.items);
        buf_free(&b.page);
    }
    return rc;
}

/* What is left of the last round. */
static int count_unsettled(struct verify *v)
{
    _cleanup_buf_ struct buf after = {0}, page = {0};
    struct work_key k;
    int n = 1;

    while ((n = work_page(v->work, &after, AT_ONCE, &page)) > 0) {
        for (size_t at = 0; work_next(&page, &at, &k);) {
            v->figures[k.table].unsettled++;
            buf_clear(&after);
            buf_append(&after, k.key, k.key_len);
        }
        buf_clear(&page);
    }
    return n < 0 ? verify_work_failed(v) : 0;
}

int verify_judge(struct verify *v)
{
    int64_t left = work_suspects(v->work);
    int rc = left < 0 ? verify_work_failed(v) : 0;

    for (unsigned i = 0; rc == 0 && left > 0 && i < (v->edge->daemon ? ROUNDS : 1); i++) {
        struct err why;
        if (v->edge->daemon && (rc = v->edge->settle(v->edge->arg, &why)) < 0 && rc != -EAGAIN)
            return err_set(v->err, rc, "%s", why.text);
        bool settled = rc == 0;
        left = 0;
        rc = judge_round(v, &left);
        if (rc == 0 && !settled && v->edge->daemon && left) {
            snprintf(v->result->unsettled, sizeof v->result->unsettled, "%.*s",
                     (int)sizeof v->result->unsettled - 1, why.text);
            break; /* another round would be as this one */
        }
    }
    return rc < 0 ? rc : count_unsettled(v);
}
