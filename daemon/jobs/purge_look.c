#include "jobs/purge_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "jobs/scanner.h"
#include "mapping/item.h"
#include "mapping/ours.h"

enum { SEGMENTS = 4 };

struct looking {
    const struct purge_look *l;
    struct purge_found *out;
    struct scanner *scanner;
    struct claim_facts facts; /* plans whose items are in the table, those to be removed first */
    size_t chosen;            /* so many of them */
    uint32_t target;          /* in the state file */
    struct buf key, row_key;
    uint64_t items;
    double units;
    struct err *err;
    int rc;
    bool over;
};

void purge_found_clear(struct purge_found *f)
{
    if (f->keys)
        fclose(f->keys);
    buf_free(&f->example);
    *f = (struct purge_found){0};
}

/* --- the file of keys ------------------------------------------------------------------------- */

static int write_down(struct looking *w)
{
    uint32_t n = (uint32_t)w->key.len;

    if (fwrite(&n, sizeof n, 1, w->out->keys) == 1 && fwrite(w->key.data, 1, n, w->out->keys) == n)
        return 0;
    return err_set(w->err, -EIO, "a temporary file cannot be written (see TMPDIR): %s",
                   strerror(errno));
}

int purge_found_next(struct purge_found *f, struct buf *key, struct err *err)
{
    uint32_t n;

    if (fread(&n, sizeof n, 1, f->keys) == 1) {
        if (!buf_reserve(key, n))
            return err_set(err, -ENOMEM, "out of memory");
        if (fread(key->data, 1, n, f->keys) == n) {
            key->len = n;
            return 1;
        }
    } else if (!ferror(f->keys)) {
        return 0;
    }
    return err_set(err, -EIO, "a temporary file cannot be read again");
}

/* --- whose is it? ----------------------------------------------------------------------------- */

static bool chosen_table(const struct purge_look *l, const char *name)
{
    for (size_t i = 0; i < l->only_count; i++)
        if (strcasecmp(l->only[i], name) == 0)
            return true;
    return l->only_count == 0;
}

/* Of a known item, the table's name; also of one that is no longer mirrored. */
static int known_as(struct looking *w, bool *known, bool *chosen)
{
    struct store_table t = {0};
    uint32_t table = 0;
    buf_clear(&w->row_key);
    int rc =
        store_digest_owner(w->l->store, w->target, w->key.data, w->key.len, &table, &w->row_key);

    *known = rc == 1;
    *chosen = w->l->only_count == 0;
    if (rc == 0 && store_suspect_has(w->l->store, w->target, w->key.data, w->key.len))
        *known = true;
    if (rc == 1 && w->l->only_count) {
        rc = store_table_by_id(w->l->store, table, &t);
        *chosen = rc == 0 && chosen_table(w->l, t.name);
        store_table_clear(&t);
        rc = rc == -ENOENT ? 0 : rc;
    }
    return rc < 0 ? err_set(w->err, rc, "state file %s cannot be read: %s", store_path(w->l->store),
                            store_error(w->l->store))
                  : 0;
}

/* A table that was not named keeps its items, also those that a named one could have made. */
static bool chosen_by_key(const struct looking *w)
{
    for (size_t i = w->chosen; i < w->facts.count; i++)
        if (plan_key_tells(w->facts.plans[i]) &&
            plan_key_fits(w->facts.plans[i], w->key.data, w->key.len))
            return false;
    return true;
}

static void keep_example(struct looking *w, const json_t *item)
{
    char *text = json_dumps(item, JSON_COMPACT);

    if (text)
        buf_puts(&w->out->example, text);
    free(text);
}

static int judge(struct looking *w, const json_t *item)
{
    const struct key_schema *s = &w->l->definition->key;
    const struct table_plan *plan = NULL;
    bool known, chosen;
    int rc;

    buf_clear(&w->key);
    if (item_key_of_json(s, item, &w->key) < 0)
        return err_set(w->err, -EIO, "an item of DynamoDB table %s came without its key",
                       w->l->definition->table);
    if ((rc = known_as(w, &known, &chosen)) < 0)
        return rc;
    w->facts.known = known;
    switch (item_claim(&w->facts, w->key.data, w->key.len, &plan)) {
    case ITEM_FOREIGN:
        w->out->foreign++;
        if (!w->out->example.len)
            keep_example(w, item);
        return 0;
    case ITEM_OURS_BY_KEY:
        chosen = plan && chosen_table(w->l, plan->table) && chosen_by_key(w);
        break;
    case ITEM_OURS_ALONE:
        chosen = w->chosen == w->facts.count;
        break;
    case ITEM_OURS_KNOWN:
        break;
    }
    if (!chosen) {
        w->out->others++;
        return 0;
    }
    w->out->ours++;
    return write_down(w);
}

/* --- the scan --------------------------------------------------------------------------------- */

static void page(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                 double consumed)
{
    struct looking *w = arg;
    const json_t *item;
    size_t i;

    (void)segment;
    (void)last_key;
    json_array_foreach(items, i, item)
    {
        if (w->rc == 0)
            w->rc = judge(w, item);
    }
    w->items += json_array_size(items);
    w->units += consumed > 0 ? consumed : 0;
    if (w->rc < 0) {
        scanner_cancel(w->scanner);
        w->over = true;
        uv_stop(&w->l->connection->loop);
        return;
    }
    if (w->l->progress)
        w->l->progress(w->l->arg, w->items, w->units);
}

static void scanned(void *arg, int rc, const struct err *err)
{
    struct looking *w = arg;

    if (w->rc == 0 && rc < 0) {
        w->rc = rc;
        *w->err = *err;
    }
    w->over = true;
    uv_stop(&w->l->connection->loop);
}

static int scan(struct looking *w)
{
    const struct key_schema *s = &w->l->definition->key;
    _cleanup_buf_ struct buf names = {0};

    for (size_t i = 0; i < s->count; i++) {
        buf_printf(&names, "%s\"#k%zu\":", i ? "," : "{", i);
        json_append_string_lossy(&names, s->parts[i].name, strlen(s->parts[i].name));
    }
    buf_putc(&names, '}');
    if (!buf_ok(&names))
        return err_set(w->err, -ENOMEM, "out of memory");
    const struct scanner_options o = {.table = w->l->definition->table,
                                      .segments = SEGMENTS,
                                      .consistent = true,
                                      .projection = s->count == 2 ? "#k0,#k1" : "#k0",
                                      .names = names.data};
    if (!(w->scanner = scanner_start(w->l->connection, &o, page, scanned, w)))
        return err_set(w->err, -ENOMEM, "out of memory");
    while (!w->over)
        uv_run(&w->l->connection->loop, UV_RUN_DEFAULT);
    if (w->rc == 0 && fflush(w->out->keys) != 0)
        w->rc = err_set(w->err, -EIO, "a temporary file cannot be written: %s", strerror(errno));
    rewind(w->out->keys);
    return w->rc;
}

/* Where every key of ours can be told from others', nothing else is ours. */
static bool keys_tell(const struct claim_facts *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (!plan_key_tells(f->plans[i]))
            return false;
    return f->count > 0;
}

int purge_look(const struct purge_look *l, struct purge_found *out, struct err *err)
{
    struct looking w = {.l = l, .out = out, .err = err};
    _cleanup_free_ const struct table_plan **plans =
        calloc(l->plans->count ? l->plans->count : 1, sizeof *plans);

    if (!plans)
        return err_set(err, -ENOMEM, "out of memory");
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < l->plans->count; i++) {
            const struct table_plan *p = l->plans->plans[i];
            if (!p || strcmp(p->target, l->definition->table) != 0 ||
                chosen_table(l, p->table) != (turn == 0))
                continue;
            plans[w.facts.count++] = p;
            w.chosen += turn == 0;
        }
    w.facts.plans = plans;
    w.facts.alone = l->alone && !keys_tell(&w.facts);
    if (!(out->keys = tmpfile()))
        return err_set(err, -errno, "a temporary file cannot be made (see TMPDIR): %s",
                       strerror(errno));
    int rc = store_target(l->store, l->definition->table, &w.target);
    if (rc < 0)
        return err_set(err, rc, "state file %s cannot be read: %s", store_path(l->store),
                       store_error(l->store));
    rc = scan(&w);
    buf_free(&w.key);
    buf_free(&w.row_key);
    return rc;
}
