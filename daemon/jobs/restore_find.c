/* What is kept beside the items: which database, and its schema dump. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "dynamodb/scan.h"
#include "dynamodb/schema_items.h"
#include "jobs/call.h"
#include "jobs/restore_internal.h"
#include "source/capture.h"

enum { TRIES = 5, SHOWN_DATABASES = 4 };

/* A failure to read the meta table, in words that say what it is for. */
static int no_meta(const struct connection *x, const char *meta_table, int rc, struct err *err)
{
    if (rc != -ENOENT)
        return rc;
    return err_set(err, -EINVAL,
                   "DynamoDB table %s, where a restore finds the schema, does not exist at %s "
                   "(region %s); name the region, and with --meta-table the table, that syncd "
                   "wrote to",
                   meta_table, x->endpoint.url, x->endpoint.region);
}

static int get(struct connection *x, const char *meta_table, const char *id, const char *kind,
               json_t **reply, struct err *err)
{
    struct buf body = {0};

    schema_get_body(&body, meta_table, id, kind);
    int rc = job_call_on(x, "GetItem", meta_table, &body, reply, err);
    return rc < 0 ? no_meta(x, meta_table, rc, err) : 0;
}

/* --- the document ----------------------------------------------------------------------------- */

/* 1: whole; 0: a piece is gone, because a newer version is being written; negative: an error. */
static int read_pieces(struct connection *x, const char *meta_table, const char *id,
                       const struct schema_named *head, struct buf *text, struct err *err)
{
    for (unsigned i = 0; i < head->pieces; i++) {
        _cleanup_buf_ struct buf kind = {0};
        json_t *reply = NULL;
        size_t n = 0;
        schema_piece_kind(&kind, head->version, i);
        int rc = buf_ok(&kind) ? get(x, meta_table, id, kind.data, &reply, err)
                               : err_set(err, -ENOMEM, "out of memory");
        if (rc < 0)
            return rc;
        const char *piece = schema_read_text(reply, &n);
        if (piece)
            buf_append(text, piece, n);
        json_decref(reply);
        if (!piece)
            return 0;
    }
    return buf_ok(text) ? 1 : err_set(err, -ENOMEM, "out of memory");
}

static void copy_at(const json_t *reply, char *out, size_t size)
{
    const json_t *at = json_object_get(json_object_get(reply, "Item"), "at");
    const char *text = json_string_value(json_object_get(at, "S"));

    text_copy(out, size, text ? text : "");
}

/* As read_pieces(), of head and pieces. -ENOENT: there is no head. */
static int read_text(struct connection *x, const char *meta_table, const char *id,
                     struct kept_schema *out, struct buf *text, struct err *err)
{
    struct schema_named head;
    json_t *reply = NULL;
    size_t n = 0;
    int rc = get(x, meta_table, id, SCHEMA_KIND, &reply, err);

    if (rc < 0)
        return rc;
    if (!schema_read_named(reply, &head)) {
        json_decref(reply);
        return err_set(err, -ENOENT,
                       "DynamoDB table %s holds no schema of database %s; leave --database-id out "
                       "to see which there are",
                       meta_table, id);
    }
    text_copy(out->version, sizeof out->version, head.version);
    copy_at(reply, out->at, sizeof out->at);
    const char *whole = schema_read_text(reply, &n);
    if (whole)
        buf_append(text, whole, n);
    json_decref(reply);
    if (whole)
        return buf_ok(text) ? 1 : err_set(err, -ENOMEM, "out of memory");
    return read_pieces(x, meta_table, id, &head, text, err);
}

static int read_dump(struct connection *x, const char *meta_table, const char *id,
                     struct kept_schema *out, struct err *err)
{
    _cleanup_buf_ struct buf text = {0};
    int rc = 0;

    for (int i = 0; i < TRIES && rc == 0; i++) {
        buf_clear(&text);
        rc = read_text(x, meta_table, id, out, &text, err);
    }
    if (rc == 0)
        return err_set(err, -EIO,
                       "the schema of database %s in DynamoDB table %s is not whole: pieces of it "
                       "are missing; start its daemon, which writes it again",
                       id, meta_table);
    if (rc < 0)
        return rc;
    text_copy(out->id, sizeof out->id, id);
    return schema_dump_read(text.data, text.len, &out->dump, err);
}

/* --- which database --------------------------------------------------------------------------- */

static const char *field(const json_t *item, const char *name)
{
    const char *s = json_string_value(json_object_get(json_object_get(item, name), "S"));

    return s ? s : "";
}

/* Heads of the page, each {"id":{"S":…},…}, added to `list`. */
static int add_heads(const struct scan_page *page, json_t *list)
{
    size_t i;
    json_t *item;

    json_array_foreach(page->items, i, item)
    {
        if (strcmp(field(item, "kind"), SCHEMA_KIND) == 0 && json_array_append(list, item) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int list_heads(struct connection *x, const char *meta_table, json_t *list, struct err *err)
{
    json_t *reply = NULL;
    struct scan_page page = {0};
    int rc = 0;

    do {
        struct buf body = {0};
        scan_body(&body, &(struct scan_request){.table = meta_table,
                                                .consistent = true,
                                                .projection = "id,#k,#d,#h,#a",
                                                .names = "{\"#k\":\"kind\",\"#d\":\"database\","
                                                         "\"#h\":\"host\",\"#a\":\"at\"}",
                                                .start = page.last_key});
        json_decref(take_ptr(reply));
        rc = job_call_on(x, "Scan", meta_table, &body, &reply, err);
        if (rc < 0)
            return no_meta(x, meta_table, rc, err);
        if (scan_read(reply, &page) < 0)
            rc = err_set(err, -EIO, "Scan of table %s: the reply is not understood", meta_table);
        else if (add_heads(&page, list) < 0)
            rc = err_set(err, -ENOMEM, "out of memory");
    } while (rc == 0 && page.last_key);
    json_decref(reply);
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(field(*(const json_t *const *)b, "at"), field(*(const json_t *const *)a, "at"));
}

static int several(const json_t *heads, const char *meta_table, struct err *err)
{
    _cleanup_buf_ struct buf names = {0};
    size_t n = json_array_size(heads);
    _cleanup_free_ const json_t **sorted = calloc(n, sizeof *sorted);

    for (size_t i = 0; sorted && i < n; i++)
        sorted[i] = json_array_get(heads, i);
    if (!sorted)
        return err_set(err, -ENOMEM, "out of memory");
    qsort(sorted, n, sizeof *sorted, newest_first);
    for (size_t i = 0; i < n && i < SHOWN_DATABASES; i++) {
        const json_t *h = sorted[i];
        buf_printf(&names, "%s%s (%.60s on %.30s, kept %.20s)", i ? ", " : "", field(h, "id"),
                   field(h, "database"), field(h, "host"), field(h, "at"));
    }
    return err_set(err, -EINVAL,
                   "DynamoDB table %s holds the schemas of %zu databases; say which with "
                   "--database-id: %s%s",
                   meta_table, n, names.data ? names.data : "", n > SHOWN_DATABASES ? ", …" : "");
}

static int choose(const json_t *heads, const char *meta_table, const char *local, char *id,
                  size_t size, struct err *err)
{
    size_t n = json_array_size(heads);

    for (size_t i = 0; i < n; i++)
        if (*local && strcmp(field(json_array_get(heads, i), "id"), local) == 0) {
            text_copy(id, size, local);
            return 0;
        }
    if (n == 0)
        return err_set(err, -EINVAL,
                       "DynamoDB table %s holds no schema: a daemon keeps it there once it runs "
                       "with keep_schema = yes; without one there is nothing to restore from",
                       meta_table);
    if (n > 1)
        return several(heads, meta_table, err);
    text_copy(id, size, field(json_array_get(heads, 0), "id"));
    return 0;
}

int restore_find(struct connection *x, const char *meta_table, const char *id, const char *local,
                 struct kept_schema *out, struct err *err)
{
    char chosen[64];
    int rc = 0;

    if (id) {
        text_copy(chosen, sizeof chosen, id);
    } else {
        json_auto_t *heads = json_array();
        rc = list_heads(x, meta_table, heads, err);
        if (rc == 0)
            rc = choose(heads, meta_table, local, chosen, sizeof chosen, err);
    }
    if (rc == 0)
        rc = read_dump(x, meta_table, chosen, out, err);
    return rc == -ENOENT ? -EINVAL : rc;
}

void restore_local_id(const char *database, char *out, size_t size)
{
    struct source *s = NULL;
    struct capture_state *st = NULL;
    struct err ignored;
    _cleanup_buf_ struct buf hex = {0};

    out[0] = '\0';
    if (!*database || source_open(database, &s, &ignored) != SOURCE_OK)
        return;
    if (capture_look(s, &st) == SQLITE_OK && st->id_valid)
        hex_append(&hex, st->id, CAPTURE_ID_SIZE);
    if (buf_ok(&hex) && hex.len)
        text_copy(out, size, hex.data);
    capture_state_free(st);
    source_close(s);
}
