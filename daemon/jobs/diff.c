#include "jobs/diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "dynamodb/scan.h"
#include "jobs/call.h"
#include "jobs/compare.h"
#include "mapping/number.h"

void diff_free(struct diff *d)
{
    free(d->table);
    free(d->target);
    free(d->key_text);
    buf_free(&d->key);
    json_decref(d->row);
    json_decref(d->should);
    json_decref(d->is);
    *d = (struct diff){0};
}

/* --- the key that was typed ------------------------------------------------------------------- */

static long key_column(const struct table_plan *p, const char *name, size_t n)
{
    for (size_t i = 0; i < p->row_key_count; i++)
        if (strlen(p->columns[i].name) == n && strncasecmp(p->columns[i].name, name, n) == 0)
            return (long)i;
    return -1;
}

/* What stands at *at: quoted to its closing quote ('' is one), else to the next comma. */
static int take_text(const char **at, bool last, struct buf *out)
{
    const char *s = *at;

    if (*s != '\'') {
        size_t n = last ? strlen(s) : strcspn(s, ",");
        buf_append(out, s, n);
        *at = s + n;
        return 0;
    }
    for (s++; *s && (*s != '\'' || s[1] == '\''); s++) {
        s += *s == '\'';
        buf_putc(out, *s);
    }
    if (*s != '\'')
        return -EINVAL;
    *at = s + 1;
    return 0;
}

/* As the column would hold it: its affinity is what SQLite goes by, too. */
static int make_value(const struct plan_column *c, struct buf *text, bool blob, struct value *v)
{
    _cleanup_buf_ struct buf canonical = {0};

    if (blob) {
        _cleanup_buf_ struct buf bytes = {0};
        if (hex_decode(&bytes, text->data ? text->data : "", text->len) < 0)
            return -EINVAL;
        buf_clear(text);
        buf_append(text, bytes.data, bytes.len);
    } else if (c->affinity != AFFINITY_TEXT && c->affinity != AFFINITY_BLOB &&
               number_canonical(&canonical, text->data ? text->data : "", text->len) == 0) {
        value_from_number(canonical.data, c->affinity, v);
        return 0;
    }
    *v = (struct value){.kind = blob ? VALUE_BLOB : VALUE_TEXT,
                        .bytes = text->data ? text->data : "",
                        .len = text->len};
    return buf_ok(text) ? 0 : -ENOMEM;
}

static int bad_key(const struct table_plan *p, struct err *err)
{
    _cleanup_buf_ struct buf names = {0};

    for (size_t i = 0; i < p->row_key_count; i++)
        buf_printf(&names, "%s%s=…", i ? "," : "", p->columns[i].name);
    return err_set(err, -EINVAL, "table \"%s\" has rows by %s: name each, with its value", p->table,
                   names.data ? names.data : "?");
}

/* One `name=value`; a single column's value may stand alone. */
static int take_pair(const struct table_plan *p, const char **at, struct buf *texts,
                     struct value *values, bool *seen)
{
    bool alone = p->row_key_count == 1;
    size_t n = strcspn(*at, "=");
    long i = (*at)[n] == '=' ? key_column(p, *at, n) : -1;

    if (i >= 0)
        *at += n + 1;
    else if (alone)
        i = 0;
    if (i < 0 || seen[i])
        return -EINVAL;
    bool blob = (**at == 'x' || **at == 'X') && (*at)[1] == '\'';
    *at += blob;
    if (take_text(at, alone, &texts[i]) < 0)
        return -EINVAL;
    seen[i] = true;
    return make_value(&p->columns[i], &texts[i], blob, &values[i]);
}

static int parse_key(const struct table_plan *p, const char *key, struct buf *texts,
                     struct value *values, struct err *err)
{
    _cleanup_free_ bool *seen = calloc(p->row_key_count, sizeof *seen);
    const char *at = key;
    size_t count = 0;
    int rc = seen ? 0 : -ENOMEM;

    while (rc == 0 && count < p->row_key_count) {
        rc = take_pair(p, &at, texts, values, seen);
        count++;
        if (rc == 0 && count < p->row_key_count) {
            if (*at != ',')
                return bad_key(p, err);
            at += strspn(at, ", ");
        }
    }
    if (rc == -ENOMEM)
        return err_set(err, rc, "out of memory");
    return rc < 0 || *at ? bad_key(p, err) : 0;
}

/* --- SQLite's side ---------------------------------------------------------------------------- */

static char *described(const struct table_plan *p, const struct value *row)
{
    _cleanup_buf_ struct buf text = {0};

    item_describe_key(p, row, &text);
    return strdup(text.data && buf_ok(&text) ? text.data : "?");
}

static void take_row(const struct table_plan *p, const struct value *values, struct diff *d)
{
    d->row = json_object();
    for (size_t i = 0; i < p->column_count; i++) {
        _cleanup_buf_ struct buf text = {0}, quoted = {0};
        value_describe(&text, &values[i]);
        json_append_string_lossy(&quoted, text.data ? text.data : "", text.len);
        json_object_set_new(d->row, p->columns[i].name,
                            json_loads(quoted.data ? quoted.data : "", JSON_DECODE_ANY, NULL));
    }
}

static int note_fault(struct diff *d, const struct item_fault *f)
{
    snprintf(d->fault, sizeof d->fault, "%s%s%s%s (%s)", f->column ? "column \"" : "",
             f->column ? f->column : "", f->column ? "\": " : "", f->text, f->code);
    return 0;
}

/* The row at hand may be one that is not sent as it is. */
static int note_left_out(struct compared *x, struct compared_table *t, struct diff *d,
                         struct err *err)
{
    _cleanup_buf_ struct buf why = {0};
    struct item_fault fault = {.code = t->plan->skips ? "orphan_skipped" : "orphan"};
    int rc = compared_left_out(x, t, &why, err);

    if (rc <= 0)
        return rc;
    if (!buf_ok(&why))
        return err_set(err, -ENOMEM, "out of memory");
    json_decref(d->should);
    d->should = NULL;
    snprintf(fault.text, sizeof fault.text, "%s", why.data);
    return note_fault(d, &fault);
}

/* Inside a transaction. */
static int look_up(struct compared *x, struct compared_table *t, const struct value *typed,
                   struct diff *d, struct err *err)
{
    const struct table_plan *p = t->plan;
    struct item_fault fault = {.text = ""};
    int rc, found = rows_lookup(t->rows, typed);

    if (found == SQLITE_TOOBIG)
        return note_fault(
            d, &(struct item_fault){.code = "item_too_large",
                                    .text = "a value of the row is longer than an item can be"});
    if (found != SQLITE_ROW && found != SQLITE_DONE)
        return compared_failed(x, found, "looking up the row", err);
    const struct value *row = found == SQLITE_ROW ? t->rows->values : typed;
    d->key_text = described(p, row);
    if (found == SQLITE_ROW)
        take_row(p, row, d);
    rc = found == SQLITE_DONE && p->entry_count > p->row_key_count
             ? -ENOENT
             : item_key(p, row, &d->key, NULL, &fault);
    if (rc == -EINVAL) {
        buf_clear(&d->key);
        return note_fault(d, &fault);
    }
    if (rc == 0 && found == SQLITE_ROW)
        rc = compared_item(t, &d->key, &d->should, &fault);
    if (rc == -EINVAL)
        return note_fault(d, &fault);
    if (rc == 0 && found == SQLITE_ROW)
        return note_left_out(x, t, d, err);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : 0;
}

/* Is a change of the item in the journal? In the same transaction. */
static int look_for_entry(struct compared *x, struct compared_table *t, struct diff *d,
                          struct err *err)
{
    const size_t n = t->plan->entry_count;
    struct journal_entry e;
    int rc;

    if (!x->journal || !t->id || !d->key.len)
        return 0;
    sqlite3_stmt *entries = journal_entries(x->journal, 0, -1, t->id, INT64_MAX);
    while ((rc = journal_next(entries, &e)) == SQLITE_ROW && !d->journaled) {
        _cleanup_buf_ struct buf bytes = {0}, key = {0};
        struct item_fault fault;
        journal_key(entries, (unsigned)n, &bytes);
        if (buf_ok(&bytes) && values_decode(bytes.data, bytes.len, x->values, n) == 0 &&
            item_key(t->plan, x->values, &key, NULL, &fault) == 0)
            d->journaled = key.len == d->key.len && memcmp(key.data, d->key.data, key.len) == 0;
    }
    rows_end(entries);
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? 0
               : compared_failed(x, rc, "reading the journal", err);
}

static int look_at_row(struct compared *x, struct compared_table *t, const char *key,
                       struct diff *d, struct err *err)
{
    const struct table_plan *p = t->plan;
    _cleanup_free_ struct buf *texts = calloc(p->row_key_count, sizeof *texts);
    _cleanup_free_ struct value *values = calloc(p->column_count, sizeof *values);
    int rc = texts && values ? parse_key(p, key, texts, values, err)
                             : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0)
        rc = compared_begin(x, err);
    if (rc == 0) {
        rc = look_up(x, t, values, d, err);
        rows_end(t->rows->lookup);
        if (rc == 0)
            rc = look_for_entry(x, t, d, err);
        compared_end(x);
    }
    for (size_t i = 0; texts && i < p->row_key_count; i++)
        buf_free(&texts[i]);
    return rc;
}

/* --- DynamoDB's side -------------------------------------------------------------------------- */

static int get_item(struct connection *x, const struct table_plan *p, struct diff *d,
                    struct err *err)
{
    _cleanup_buf_ struct buf key = {0};
    struct buf body = {0};
    struct batch_got got;
    json_t *reply = NULL;

    if (!d->key.len)
        return 0;
    if (item_key_json(&p->schema, d->key.data, d->key.len, &key) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    json_t *keys = json_pack("[o]", json_loadb(key.data, key.len, JSON_ALLOW_NUL, NULL));
    batch_get_body(&body, p->target, keys, true);
    json_decref(keys);
    int rc = job_call(x, "BatchGetItem", &body, &reply, err);
    if (rc == 0 && (batch_get_read(reply, p->target, &got) < 0 || got.unprocessed))
        rc = err_set(err, -EIO, "BatchGetItem of table %s has no usable answer", p->target);
    if (rc == 0)
        d->is = json_incref(json_array_get(got.items, 0));
    json_decref(reply);
    return rc;
}

int job_diff(const struct config *c, const char *table, const char *key, struct diff *out,
             struct err *err)
{
    struct connection connection;
    struct compared x;

    *out = (struct diff){0};
    int rc = compared_open(c, &x, err);
    struct compared_table *t = rc == 0 ? compared_find(&x, table, err) : NULL;
    rc = rc == 0 && !t ? -EINVAL : rc;
    if (rc == 0) {
        out->table = strdup(t->name);
        out->target = strdup(t->plan->target);
        rc = out->table && out->target ? look_at_row(&x, t, key, out, err)
                                       : err_set(err, -ENOMEM, "out of memory");
    }
    if (rc == 0)
        rc = connection_open(&connection, c, err);
    if (rc == 0) {
        rc = get_item(&connection, t->plan, out, err);
        connection_close(&connection);
    }
    compared_close(&x);
    return rc;
}
