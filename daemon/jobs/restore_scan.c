/* Every item of a DynamoDB table into the database that is being made. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dynamodb/tables.h"
#include "jobs/call.h"
#include "jobs/restore_internal.h"
#include "jobs/scanner.h"
#include "mapping/item.h"
#include "mapping/ours.h"

enum { COMMIT_ROWS = 20000 };
#define COMMIT_AFTER (250 * USEC_PER_MSEC)

struct scan {
    struct rebuild *rebuild;
    const char *target;
    const struct restore_request *q;
    int64_t total;
    struct restore_counts *counts;
    struct scanner *scanner;
    int64_t uncommitted;
    usec committed; /* monotonic */
    bool over;
    int rc;
    struct err *err;
};

int64_t restore_count(struct connection *x, const char *target)
{
    struct buf body = {0};
    struct err ignored;
    json_t *reply = NULL;
    int64_t n = 0;

    tables_name_body(&body, target);
    if (job_call_on(x, "DescribeTable", target, &body, &reply, &ignored) == 0)
        n = json_integer_value(json_object_get(json_object_get(reply, "Table"), "ItemCount"));
    json_decref(reply);
    return n;
}

static int put_in(struct scan *s, const json_t *item)
{
    enum rebuild_outcome outcome;
    int rc = rebuild_item(s->rebuild, s->target, item, &outcome, s->err);

    s->counts->foreign += rc == 0 && outcome == REBUILD_FOREIGN;
    s->counts->unwanted += rc == 0 && outcome == REBUILD_UNWANTED;
    return rc;
}

static int take_item(struct scan *s, const json_t *item)
{
    json_auto_t *whole = NULL;
    struct err why;
    int part = restore_whole(item, &whole, &why);

    switch (part) {
    case RESTORE_WHOLE:
        return put_in(s, whole);
    case RESTORE_LATER:
        return rebuild_put_off(s->rebuild, s->target, item, s->err);
    case RESTORE_PART:
        return 0;
    case RESTORE_DAMAGED: {
        const struct key_schema *schema = rebuild_schema(s->rebuild, s->target);
        _cleanup_buf_ struct buf key = {0}, json = {0};
        if (item_key_of_json(schema, item, &key) == 0)
            item_key_json(schema, key.data, key.len, &json);
        return rebuild_damaged(s->rebuild, s->target, json.len && buf_ok(&json) ? json.data : "?",
                               why.text, s->err);
    }
    default:
        return err_set(s->err, -ENOMEM, "out of memory");
    }
}

static int take_items(struct scan *s, const json_t *items)
{
    size_t n = json_array_size(items);

    for (size_t i = 0; i < n; i++) {
        int rc = take_item(s, json_array_get(items, i));
        if (rc < 0)
            return rc;
        s->counts->items++;
    }
    s->uncommitted += (int64_t)n;
    return 0;
}

/* Once the Scan is over: items in pieces, each with its own calls. */
static int take_later(struct connection *x, struct scan *s)
{
    const struct key_schema *schema = rebuild_schema(s->rebuild, s->target);
    _cleanup_buf_ struct buf key = {0};
    int rc;

    while ((rc = rebuild_next_put_off(s->rebuild, s->target, &key, s->err)) == 0 && key.len) {
        json_auto_t *whole = NULL;
        struct err why = {0};
        int part = restore_fetch(x, s->target, schema, key.data, &whole, &why);
        if (part < 0) {
            *s->err = why;
            return part;
        }
        rc = part == RESTORE_WHOLE ? put_in(s, whole) : 0;
        if (rc == 0)
            rc = rebuild_put_off_done(s->rebuild, s->target, key.data,
                                      part == RESTORE_DAMAGED ? why.text : NULL, s->err);
        if (rc == 0)
            rc = rebuild_commit(s->rebuild, s->err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int keep_place(struct scan *s, unsigned segment, const json_t *last_key)
{
    char *key = last_key ? json_dumps(last_key, JSON_COMPACT) : NULL;

    if (last_key && !key)
        return err_set(s->err, -ENOMEM, "out of memory");
    int rc = rebuild_set_progress(s->rebuild, s->target, scanner_segments(s->scanner), segment,
                                  key ? key : "", !last_key, s->err);
    free(key);
    return rc;
}

static void page(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                 double consumed)
{
    struct scan *s = arg;
    usec now = clock_monotonic();
    int rc = take_items(s, items);

    if (rc == 0)
        rc = keep_place(s, segment, last_key);
    if (rc == 0 && (s->uncommitted >= COMMIT_ROWS || now - s->committed >= COMMIT_AFTER)) {
        rc = rebuild_commit(s->rebuild, s->err);
        s->uncommitted = 0;
        s->committed = now;
    }
    if (consumed > 0)
        s->counts->units += consumed;
    if (s->q->ui)
        s->q->ui->progress(s->q->ui->arg, s->counts->items, s->total, s->counts->units);
    if (rc < 0) {
        scanner_cancel(s->scanner);
        s->rc = rc;
        s->over = true;
    }
}

static void ended(void *arg, int rc, const struct err *err)
{
    struct scan *s = arg;

    s->over = true;
    s->rc = rc;
    if (rc < 0)
        *s->err = *err;
}

/* --- where to begin --------------------------------------------------------------------------- */

struct places {
    struct scanner_start starts[SCANNER_MAX_SEGMENTS];
    unsigned segments; /* 0: nothing was read before */
    bool broken;
};

static void recall(void *arg, unsigned segments, unsigned segment, const char *last_key, bool done)
{
    struct places *p = arg;

    if (segments > SCANNER_MAX_SEGMENTS || segment >= segments) {
        p->broken = true;
        return;
    }
    p->segments = segments;
    p->starts[segment].done = done;
    if (!done && last_key && *last_key) {
        p->starts[segment].key = json_loads(last_key, JSON_ALLOW_NUL, NULL);
        p->broken |= !p->starts[segment].key;
    }
}

static bool all_done(const struct places *p)
{
    for (unsigned i = 0; i < p->segments; i++)
        if (!p->starts[i].done)
            return false;
    return p->segments > 0;
}

static int run(struct connection *x, struct scan *s, const struct places *p)
{
    const struct scanner_options o = {.table = s->target,
                                      .segments = p->segments ? p->segments : s->q->segments,
                                      .consistent = true,
                                      .read_units_per_second = s->q->rate,
                                      .starts = p->segments ? p->starts : NULL};

    s->committed = clock_monotonic();
    s->scanner = scanner_start(x, &o, page, ended, s);
    if (!s->scanner)
        return err_set(s->err, -ENOMEM, "out of memory");
    while (!s->over)
        uv_run(&x->loop, UV_RUN_ONCE);
    return s->rc < 0 ? s->rc : rebuild_commit(s->rebuild, s->err);
}

int restore_scan(struct connection *x, struct rebuild *r, const char *target,
                 const struct restore_request *q, int64_t total, struct restore_counts *counts,
                 struct err *err)
{
    struct scan s = {
        .rebuild = r, .target = target, .q = q, .total = total, .counts = counts, .err = err};
    struct places p = {0};
    int rc = rebuild_progress(r, target, recall, &p, err);

    if (rc == 0 && p.broken)
        rc = err_set(err, -EIO, "the progress in the partial file makes no sense; remove it");
    if (rc == 0 && !all_done(&p))
        rc = run(x, &s, &p);
    if (rc == 0)
        rc = take_later(x, &s);
    for (unsigned i = 0; i < SCANNER_MAX_SEGMENTS; i++)
        json_decref((json_t *)p.starts[i].key);
    return rc;
}
