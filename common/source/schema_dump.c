#include "source/schema_dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/text.h"

/* --- taking ----------------------------------------------------------------------------------- */

/* False: no memory. */
static bool put_text(json_t *o, const char *key, const char *text, size_t n)
{
    _cleanup_buf_ struct buf name = {0}, coded = {0};

    if (utf8_valid(text, n))
        return json_object_set_new(o, key, json_stringn(text, n)) == 0;
    buf_printf(&name, "%s_base64", key);
    base64_append(&coded, text, n);
    return buf_ok(&name) && buf_ok(&coded) &&
           json_object_set_new(o, name.data, json_stringn(coded.data, coded.len)) == 0;
}

static bool put_column(json_t *o, const char *key, sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return put_text(o, key, text ? text : "",
                    text ? (size_t)sqlite3_column_bytes(stmt, column) : 0);
}

static int put_pragma(struct source *s, json_t *pragmas, const char *name)
{
    char sql[64];
    sqlite3_stmt *stmt = NULL;

    sqlite3_snprintf(sizeof sql, sql, "PRAGMA main.%s", name);
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        json_t *value = sqlite3_column_type(stmt, 0) == SQLITE_INTEGER
                            ? json_integer(sqlite3_column_int64(stmt, 0))
                            : json_string((const char *)sqlite3_column_text(stmt, 0));
        rc = json_object_set_new(pragmas, name, value) == 0 ? SQLITE_OK : SQLITE_NOMEM;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_ERROR : rc;
}

static int put_pragmas(struct source *s, json_t *root)
{
    static const char *const names[] = {"application_id", "user_version", "page_size",
                                        "auto_vacuum",    "encoding",     "journal_mode"};
    json_t *pragmas = json_object();
    int rc = json_object_set_new(root, "pragmas", pragmas) == 0 ? SQLITE_OK : SQLITE_NOMEM;

    for (size_t i = 0; rc == SQLITE_OK && i < sizeof names / sizeof *names; i++)
        rc = put_pragma(s, pragmas, names[i]);
    return rc;
}

/* An object that hangs on a table of ours is ours, whatever its name. */
static const char objects_sql[] =
    "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL "
    "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_syncd\\_%' ESCAPE '\\' "
    "AND tbl_name NOT LIKE '\\_syncd\\_%' ESCAPE '\\' ORDER BY rowid";

static int put_objects(struct source *s, json_t *root)
{
    json_t *list = json_array();
    sqlite3_stmt *stmt = NULL;
    int rc = json_object_set_new(root, "objects", list) == 0 ? SQLITE_OK : SQLITE_NOMEM;

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, objects_sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        json_t *o = json_object();
        bool put = json_array_append_new(list, o) == 0 && put_column(o, "type", stmt, 0) &&
                   put_column(o, "name", stmt, 1) && put_column(o, "table", stmt, 2) &&
                   put_column(o, "sql", stmt, 3);
        rc = put ? SQLITE_OK : SQLITE_NOMEM;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put_sequences(struct source *s, json_t *root)
{
    json_t *sequences = json_array();
    sqlite3_stmt *stmt = NULL;
    int64_t there = 0;
    int rc = json_object_set_new(root, "sequences", sequences) == 0 ? SQLITE_OK : SQLITE_NOMEM;

    if (rc == SQLITE_OK)
        rc = source_query_int(
            s, "SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_sequence'", &there);
    if (rc != SQLITE_OK || !there)
        return rc;
    rc = sqlite3_prepare_v2(s->db,
                            "SELECT name, seq FROM main.sqlite_sequence WHERE typeof(seq) = "
                            "'integer' AND name NOT LIKE '\\_syncd\\_%' ESCAPE '\\' ORDER BY name",
                            -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        json_t *o = json_object();
        bool put = json_array_append_new(sequences, o) == 0 && put_column(o, "table", stmt, 0) &&
                   json_object_set_new(o, "seq", json_integer(sqlite3_column_int64(stmt, 1))) == 0;
        rc = put ? SQLITE_OK : SQLITE_NOMEM;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static bool put_about(json_t *root, const struct schema_dump_about *a)
{
    return json_object_set_new(root, "format", json_integer(SCHEMA_DUMP_FORMAT)) == 0 &&
           json_object_set_new(root, "syncd", json_string(SYNCD_VERSION)) == 0 &&
           put_text(root, "database_id", a->database_id, strlen(a->database_id)) &&
           put_text(root, "database", a->database, strlen(a->database)) &&
           put_text(root, "host", a->host, strlen(a->host)) &&
           put_text(root, "name", a->name, strlen(a->name)) &&
           put_text(root, "mapping", a->mapping, strlen(a->mapping));
}

/* Half of the SHA-256 of the document as it stands. */
static int make_version(const json_t *root, char version[SCHEMA_DUMP_VERSION_SIZE])
{
    char *text = json_dumps(root, JSON_COMPACT);
    unsigned char full[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    int rc = text && EVP_Digest(text, strlen(text), full, &n, EVP_sha256(), NULL) == 1
                 ? SQLITE_OK
                 : SQLITE_NOMEM;

    free(text);
    for (size_t i = 0; rc == SQLITE_OK && 2 * i + 1 < SCHEMA_DUMP_VERSION_SIZE; i++)
        sqlite3_snprintf(3, version + 2 * i, "%02x", full[i]);
    return rc;
}

int schema_dump_take(struct source *s, const struct schema_dump_about *about, struct buf *json,
                     char version[SCHEMA_DUMP_VERSION_SIZE])
{
    json_t *root = json_object();
    char made[SCHEMA_DUMP_VERSION_SIZE];
    int rc = root && put_about(root, about) ? SQLITE_OK : SQLITE_NOMEM;

    source_bound_values(s, false); /* a CREATE statement has no limit but SQLite's own */
    if (rc == SQLITE_OK)
        rc = source_begin(s);
    if (rc == SQLITE_OK) {
        rc = put_pragmas(s, root);
        if (rc == SQLITE_OK)
            rc = put_objects(s, root);
        if (rc == SQLITE_OK)
            rc = make_version(root, made);
        if (rc == SQLITE_OK)
            rc = put_sequences(s, root);
        rc = source_end(s, rc);
    }
    source_bound_values(s, true);
    char *text = rc == SQLITE_OK ? json_dumps(root, JSON_COMPACT) : NULL;
    if (text) {
        buf_puts(json, text);
        memcpy(version, made, sizeof made);
    }
    if (rc == SQLITE_OK && (!text || !buf_ok(json)))
        rc = SQLITE_NOMEM;
    free(text);
    json_decref(root);
    return rc;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A copy of the text under the key, "" when there is none; NULL: no memory, or broken base64. */
static char *get_text(const json_t *o, const char *key)
{
    _cleanup_buf_ struct buf name = {0}, plain = {0};
    const char *text = json_string_value(json_object_get(o, key));

    if (text)
        return strdup(text);
    buf_printf(&name, "%s_base64", key);
    text = buf_ok(&name) ? json_string_value(json_object_get(o, name.data)) : NULL;
    if (!text)
        return strdup("");
    if (base64_decode(&plain, text, strlen(text)) < 0 || !buf_ok(&plain))
        return NULL;
    return plain.data ? take_ptr(plain.data) : strdup("");
}

static int read_objects(const json_t *root, struct schema_dump *d)
{
    const json_t *list = json_object_get(root, "objects");
    size_t n = json_array_size(list);

    d->objects = calloc(n ? n : 1, sizeof *d->objects);
    for (; d->objects && d->object_count < n; d->object_count++) {
        const json_t *o = json_array_get(list, d->object_count);
        struct schema_object *to = &d->objects[d->object_count];
        to->type = get_text(o, "type");
        to->name = get_text(o, "name");
        to->table = get_text(o, "table");
        to->sql = get_text(o, "sql");
        if (!to->type || !to->name || !to->table || !to->sql) {
            d->object_count++;
            return -ENOMEM;
        }
    }
    return d->objects ? 0 : -ENOMEM;
}

static int read_sequences(const json_t *root, struct schema_dump *d)
{
    const json_t *list = json_object_get(root, "sequences");
    size_t n = json_array_size(list);

    d->sequences = calloc(n ? n : 1, sizeof *d->sequences);
    for (; d->sequences && d->sequence_count < n; d->sequence_count++) {
        const json_t *o = json_array_get(list, d->sequence_count);
        struct schema_sequence *to = &d->sequences[d->sequence_count];
        to->seq = json_integer_value(json_object_get(o, "seq"));
        if (!(to->table = get_text(o, "table")))
            return -ENOMEM;
    }
    return d->sequences ? 0 : -ENOMEM;
}

static int read_dump(const json_t *root, struct schema_dump *d)
{
    const json_t *pragmas = json_object_get(root, "pragmas");

    d->application_id = json_integer_value(json_object_get(pragmas, "application_id"));
    d->user_version = json_integer_value(json_object_get(pragmas, "user_version"));
    d->page_size = json_integer_value(json_object_get(pragmas, "page_size"));
    d->auto_vacuum = json_integer_value(json_object_get(pragmas, "auto_vacuum"));
    if (!(d->encoding = get_text(pragmas, "encoding")) ||
        !(d->journal_mode = get_text(pragmas, "journal_mode")) ||
        !(d->database_id = get_text(root, "database_id")) ||
        !(d->database = get_text(root, "database")) || !(d->host = get_text(root, "host")) ||
        !(d->name = get_text(root, "name")) || !(d->mapping = get_text(root, "mapping")) ||
        !(d->syncd = get_text(root, "syncd")))
        return -ENOMEM;
    int rc = read_objects(root, d);
    return rc < 0 ? rc : read_sequences(root, d);
}

int schema_dump_read(const char *json, size_t n, struct schema_dump **out, struct err *err)
{
    json_error_t why;
    json_auto_t *root = json_loadb(json, n, 0, &why);

    if (!json_is_object(root))
        return err_set(err, -EINVAL, "the schema that is kept is no JSON object (%s)",
                       root ? "another value" : why.text);
    if (json_integer_value(json_object_get(root, "format")) != SCHEMA_DUMP_FORMAT)
        return err_set(err, -EINVAL,
                       "the schema was kept by another version of syncd (%s), in a form that this "
                       "one (" SYNCD_VERSION ") does not know; use that version to restore",
                       json_string_value(json_object_get(root, "syncd"))
                           ? json_string_value(json_object_get(root, "syncd"))
                           : "unknown");
    struct schema_dump *d = calloc(1, sizeof *d);
    int rc = d ? read_dump(root, d) : -ENOMEM;
    if (rc < 0) {
        schema_dump_free(d);
        return err_set(err, rc, "out of memory");
    }
    *out = d;
    return 0;
}

void schema_dump_free(struct schema_dump *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->object_count; i++) {
        free(d->objects[i].type);
        free(d->objects[i].name);
        free(d->objects[i].table);
        free(d->objects[i].sql);
    }
    for (size_t i = 0; i < d->sequence_count; i++)
        free(d->sequences[i].table);
    free(d->objects);
    free(d->sequences);
    free(d->database_id);
    free(d->database);
    free(d->host);
    free(d->name);
    free(d->mapping);
    free(d->syncd);
    free(d->encoding);
    free(d->journal_mode);
    free(d);
}
