/* A table for records, by what the beginnings of their files hold.
 *
 * STRICT, so that a record of another kind than those that were looked at is refused, and not put
 * into a column of another type. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "jobs/import_internal.h"

enum { SAMPLE = 10000, SAMPLE_BYTES = 64 * 1024 * 1024, MAX_COLUMNS = 1000 };

enum { HAS_INTEGER = 1, HAS_REAL = 2, HAS_TEXT = 4, HAS_BYTES = 8, HAS_JSON = 16 };

struct guess {
    char *name;
    unsigned has;
    int64_t seen; /* records with a value that is not null */
};

struct guesses {
    struct guess *items;
    size_t count;
    int64_t records;
    bool keyed;
    struct buf store, scratch;
};

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static void guesses_free(struct guesses *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->items[i].name);
    free(g->items);
    buf_free(&g->store);
    buf_free(&g->scratch);
}

static struct guess *find(struct guesses *g, const char *name)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcasecmp(g->items[i].name, name) == 0)
            return &g->items[i];
    return NULL;
}

static struct guess *add(struct guesses *g, const char *name)
{
    struct guess *more = realloc(g->items, (g->count + 1) * sizeof *more);

    if (!more)
        return NULL;
    g->items = more;
    more[g->count] = (struct guess){.name = strdup(name)};
    return more[g->count].name ? &more[g->count++] : NULL;
}

/* The column that a field is to have; NULL: none, on purpose. */
static const char *column_of(const struct import_request *q, const char *table, const char *field,
                             struct buf *store)
{
    const char *column;

    for (size_t i = 0; i < q->maps.count; i++)
        if (import_assignment(q->maps.items[i], table, store, &column) && buf_ok(store) &&
            strcmp(store->data, field) == 0)
            return *column ? column : NULL;
    return field;
}

/* --- kinds ------------------------------------------------------------------------------------ */

/* What a number is without loss: as an INTEGER column has it, a REAL one, or text. */
static unsigned number_kind(struct guesses *g, const struct datum *d)
{
    struct value v;
    struct err ignored;

    if (import_value(d, &g->store, AFFINITY_NONE, NULL, &v, &g->scratch, &ignored) < 0)
        return HAS_TEXT;
    return v.kind == VALUE_INTEGER ? HAS_INTEGER : v.kind == VALUE_REAL ? HAS_REAL : HAS_TEXT;
}

static unsigned kind_of(struct guesses *g, enum dialect dialect, const struct record_field *f)
{
    struct datum d;
    struct err ignored;

    buf_clear(&g->store);
    if (datum_read(dialect, f->value, f->len, &d, &g->store, &ignored) < 0)
        return 0;
    switch (d.kind) {
    case DATUM_NULL:
        return 0;
    case DATUM_BOOL:
        return HAS_INTEGER;
    case DATUM_NUMBER: /* a Decimal128 is one because each of its digits counts */
        return d.decimal && dialect == DIALECT_EXTENDED ? HAS_TEXT : number_kind(g, &d);
    case DATUM_INFINITE:
        return HAS_REAL;
    case DATUM_BYTES:
        return HAS_BYTES;
    case DATUM_JSON:
        return HAS_JSON;
    default:
        return HAS_TEXT;
    }
}

/* A conversion says what comes out. */
static unsigned converted(const struct import_request *q, const char *table, const char *column)
{
    _cleanup_buf_ struct buf name = {0};
    struct import_conversion c;
    const char *how;
    struct err ignored;

    for (size_t i = 0; i < q->conversions.count; i++) {
        if (!import_assignment(q->conversions.items[i], table, &name, &how) || !buf_ok(&name) ||
            strcasecmp(name.data, column) != 0 || import_conversion_parse(how, &c, &ignored) < 0)
            continue;
        enum convert_kind kind = c.c.kind;
        bool bytes = c.base64 || kind == CONVERT_BINARY;
        import_conversion_clear(&c);
        return bytes                                           ? HAS_BYTES
               : kind == CONVERT_BOOL || kind == CONVERT_EPOCH ? HAS_INTEGER
               : kind == CONVERT_NUMBER                        ? HAS_REAL
                                                               : HAS_TEXT;
    }
    return 0;
}

static const char *type_of(unsigned has)
{
    if (has == HAS_INTEGER)
        return "INTEGER";
    if (has == HAS_REAL || has == (HAS_INTEGER | HAS_REAL))
        return "REAL";
    if (has == HAS_BYTES)
        return "BLOB";
    return has == 0 || has & HAS_BYTES ? "ANY" : "TEXT";
}

/* --- looking ---------------------------------------------------------------------------------- */

static int look_at_record(const struct import_request *q, const char *table, enum dialect dialect,
                          const struct record *r, struct guesses *g, struct err *err)
{
    for (size_t i = 0; i < r->count; i++) {
        _cleanup_buf_ struct buf store = {0};
        const char *column = column_of(q, table, record_name(r, i), &store);
        if (!column)
            continue;
        struct guess *one = find(g, column);
        if (!one && g->count == MAX_COLUMNS)
            return err_set(err, -EINVAL,
                           "the records of table \"%s\" have more than %d different fields: make "
                           "the table yourself, and say where they go by --map",
                           table, MAX_COLUMNS);
        if (!one && !(one = add(g, column)))
            return no_memory(err);
        unsigned has = kind_of(g, dialect, &r->fields[i]);
        one->has |= has;
        one->seen += has != 0;
    }
    /* A path through objects has a column of its own. */
    for (size_t i = 0; i < q->maps.count; i++) {
        _cleanup_buf_ struct buf path = {0};
        struct record_field store;
        const char *column;
        if (!import_assignment(q->maps.items[i], table, &path, &column) || !*column ||
            !buf_ok(&path))
            continue;
        const struct record_field *f = record_find_path(r, path.data, &store);
        struct guess *one = f ? find(g, column) : NULL;
        if (f && !one && !(one = add(g, column)))
            return no_memory(err);
        unsigned has = f ? kind_of(g, dialect, f) : 0;
        if (one) {
            one->has |= has;
            one->seen += has != 0;
        }
    }
    g->records++;
    return 0;
}

static int look_at_file(const struct import_request *q, const struct import_file *f,
                        const char *table, struct guesses *g, struct err *err)
{
    struct reader *r;
    struct record record = {0};
    struct split_record one;
    enum split_result result;
    int64_t bytes = 0;
    struct stat st;

    /* What was read of a pipe is gone when its records are to be imported. */
    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, -EINVAL,
                       "%s is no ordinary file and is read but once, so no table can be derived of "
                       "it: write it into a file, or make table \"%s\" first",
                       f->path, table);
    int rc = reader_open(f->path, q->format, &r, err);
    if (rc < 0)
        return rc;
    g->keyed = g->keyed || reader_format(r)->form == SPLIT_KEYED;
    enum dialect dialect = reader_format(r)->dialect;
    for (int i = 0; i < SAMPLE && bytes < SAMPLE_BYTES && rc == 0; i++) {
        struct err ignored;
        result = reader_next(r, &one, &ignored);
        if (result != SPLIT_RECORD && result != SPLIT_TOO_LONG)
            break;
        if (result == SPLIT_RECORD && record_parse(&record, one.text, one.len, &ignored) == 0)
            rc = look_at_record(q, table, dialect, &record, g, err);
        bytes += (int64_t)one.len;
    }
    record_free(&record);
    reader_close(r);
    return rc;
}

/* --- the statement ---------------------------------------------------------------------------- */

/* Of "scenarios" scenarioId or scenario_id; of "movies" movieId; and of "boxes" boxId. */
static bool names_table(const char *column, const char *table)
{
    _cleanup_buf_ struct buf name = {0};
    size_t n = strlen(table);

    for (size_t cut = 0; cut <= 2 && cut < n; cut++) {
        if (cut && strchr("sS", table[n - 1]) == NULL)
            break;
        if (cut == 2 && strchr("eE", table[n - 2]) == NULL)
            break;
        buf_clear(&name);
        buf_printf(&name, "%.*s_id", (int)(n - cut), table);
        if (buf_ok(&name) && import_same_name(column, name.data))
            return true;
    }
    return false;
}

static bool may_be_key(const struct import_request *q, const struct guesses *g,
                       const struct guess *one)
{
    bool always = one->seen == g->records || q->uuid != UUID_NONE;

    return always && (one->has == HAS_INTEGER || one->has == HAS_TEXT);
}

static struct guess *find_key(const struct import_request *q, const char *table, struct guesses *g)
{
    static const char *const usual[] = {"id", "_id", "uuid", "key"};

    for (size_t i = 0; i < g->count; i++)
        if (names_table(g->items[i].name, table) && may_be_key(q, g, &g->items[i]))
            return &g->items[i];
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        struct guess *one = find(g, usual[i]);
        if (one && may_be_key(q, g, one))
            return one;
    }
    return NULL;
}

/* "CREATE TABLE … " with double quotes within names doubled. */
static void put_name(struct buf *sql, const char *name)
{
    buf_putc(sql, '"');
    for (; *name; name++) {
        if (*name == '"')
            buf_putc(sql, '"');
        buf_putc(sql, *name);
    }
    buf_putc(sql, '"');
}

static void put_table(const struct import_request *q, const char *table, struct guesses *g,
                      struct buf *sql)
{
    struct guess *key = find_key(q, table, g);
    bool own = !key && (g->keyed || q->uuid != UUID_NONE) && !find(g, "id");
    const char *comma = "";

    buf_lit(sql, "CREATE TABLE ");
    put_name(sql, table);
    buf_lit(sql, "(");
    if (own) {
        buf_lit(sql, "\n    \"id\" TEXT PRIMARY KEY NOT NULL");
        comma = ",";
    }
    for (size_t i = 0; i < g->count; i++) {
        const struct guess *one = &g->items[i];
        unsigned has = converted(q, table, one->name);
        const char *type = type_of(has ? has : one->has);
        buf_printf(sql, "%s\n    ", comma);
        put_name(sql, one->name);
        buf_printf(sql, " %s", type);
        if (one == key) /* an INTEGER PRIMARY KEY is never NULL */
            buf_puts(sql, strcmp(type, "INTEGER") == 0 ? " PRIMARY KEY" : " PRIMARY KEY NOT NULL");
        comma = ",";
    }
    buf_lit(sql, "\n) STRICT");
}

int import_create_sql(const struct import_request *q, const struct import_files *files,
                      const char *table, struct buf *sql, struct err *err)
{
    struct guesses g = {0};
    int rc = 0;

    for (size_t i = 0; i < files->count && rc == 0; i++)
        if (files->items[i].table && strcasecmp(files->items[i].table, table) == 0)
            rc = look_at_file(q, &files->items[i], table, &g, err);
    if (rc == 0 && g.count == 0 && !g.keyed)
        rc = err_set(
            err, -EINVAL,
            "no table \"%s\" can be derived, for its files hold no record that can be read", table);
    if (rc == 0)
        put_table(q, table, &g, sql);
    guesses_free(&g);
    return rc == 0 && !buf_ok(sql) ? no_memory(err) : rc;
}
