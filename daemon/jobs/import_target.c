/* Which field goes to which column. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "jobs/import_internal.h"
#include "jobs/import_rows.h"
#include "mapping/uuid5.h"

/* A namespace of our own: what it hashes to is nobody else's. */
#define USUAL_SPACE "import.syncd"

enum { NO_COLUMN = -1, MAX_NAMES = 10000 };

/* Fields past so many different ones are counted together. */
#define OTHERS "(others)"

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

/* --- names ------------------------------------------------------------------------------------ */

static struct target_name *find_name(const struct target *t, const char *name, size_t n)
{
    for (struct map_node *at = map_find(&t->names, map_hash(name, n, 0)); at; at = map_next(at)) {
        struct target_name *found = (struct target_name *)(void *)at; /* its first member */
        if (strlen(found->text) == n && memcmp(found->text, name, n) == 0)
            return found;
    }
    return NULL;
}

static struct target_name *add_name(struct target *t, const char *name, size_t n, long column,
                                    int rank)
{
    struct target_name *one = calloc(1, sizeof *one + n + 1);

    if (!one)
        return NULL;
    memcpy(one->text, name, n);
    one->column = column;
    one->rank = rank;
    if (map_insert(&t->names, &one->node, map_hash(name, n, 0)) < 0) {
        free(one);
        return NULL;
    }
    *(t->last_name ? &t->last_name->next : &t->all_names) = one;
    t->last_name = one;
    t->name_count++;
    return one;
}

static bool takes(const struct target *t, long column)
{
    return column >= 0 && !t->info->columns[column].generated;
}

/* A column of the field's name: the very same, but for case, or loosely; "_id" is also an id. */
static struct target_name *learn_name(struct target *t, const char *name, size_t n)
{
    const struct table_info *info = t->info;
    long column = table_column(info, name);

    if (takes(t, column))
        return add_name(t, name, n, column, strcmp(info->columns[column].name, name) == 0 ? 1 : 2);
    for (size_t i = 0; i < info->column_count; i++)
        if (takes(t, (long)i) && import_same_name(info->columns[i].name, name))
            return add_name(t, name, n, (long)i, 3);
    if (t->name_count < MAX_NAMES)
        return add_name(t, name, n, NO_COLUMN, 3);
    struct target_name *others = find_name(t, OTHERS, sizeof OTHERS - 1);
    return others ? others : add_name(t, OTHERS, sizeof OTHERS - 1, NO_COLUMN, 3);
}

/* --- what the user said ----------------------------------------------------------------------- */

static int unknown_column(const struct target *t, const char *said, const char *column,
                          struct err *err)
{
    const char *nearest = NULL;
    unsigned best = 4;

    for (size_t i = 0; i < t->info->column_count; i++) {
        unsigned d = text_distance(column, t->info->columns[i].name);
        if (d < best) {
            best = d;
            nearest = t->info->columns[i].name;
        }
    }
    return err_set(err, -EINVAL, "%s: table \"%s\" has no column \"%s\" that can be set%s%s", said,
                   t->info->name, column, nearest ? ", perhaps " : "", nearest ? nearest : "");
}

/* TABLE:A=B; a colon behind the "=" is no table's. */
static bool names_table(const char *text)
{
    const char *colon = strchr(text, ':');

    return colon && colon < strchr(text, '=');
}

static int add_path(struct target *t, const char *path, size_t column)
{
    struct target_path *more = realloc(t->paths, (t->path_count + 1) * sizeof *more);

    if (!more)
        return -ENOMEM;
    t->paths = more;
    t->paths[t->path_count++] = (struct target_path){path, column};
    return 0;
}

static int take_map(struct target *t, const char *text, struct err *err)
{
    _cleanup_buf_ struct buf field = {0};
    const char *column_name;

    if (!import_assignment(text, t->info->name, &field, &column_name))
        return field.len ? 0
                         : err_set(err, -EINVAL,
                                   "--map %s is not FIELD=COLUMN or TABLE:FIELD=COLUMN", text);
    if (!buf_ok(&field))
        return no_memory(err);
    long column = *column_name ? table_column(t->info, column_name) : NO_COLUMN;
    if (*column_name && !takes(t, column)) /* without a table it may be another's */
        return names_table(text) ? unknown_column(t, text, column_name, err) : 0;
    struct target_name *name = find_name(t, field.data, field.len);
    if (name)
        return err_set(err, -EINVAL, "--map %s: \"%s\" is mapped twice", text, field.data);
    name = add_name(t, field.data, field.len, column, 0);
    if (!name)
        return no_memory(err);
    name->left_out = !*column_name;
    if (strchr(field.data, '.') && column >= 0 && add_path(t, name->text, (size_t)column) < 0)
        return no_memory(err);
    return 0;
}

static int take_conversion(struct target *t, const char *text, struct err *err)
{
    _cleanup_buf_ struct buf column_name = {0};
    const char *how;
    struct err why;

    if (!import_assignment(text, t->info->name, &column_name, &how))
        return column_name.len ? 0
                               : err_set(err, -EINVAL,
                                         "--convert %s is not COLUMN=CONVERSION or "
                                         "TABLE:COLUMN=CONVERSION",
                                         text);
    long column = buf_ok(&column_name) ? table_column(t->info, column_name.data) : NO_COLUMN;
    if (!takes(t, column))
        return names_table(text) ? unknown_column(t, text, column_name.data, err) : 0;
    if (t->conversions[column])
        return err_set(err, -EINVAL, "--convert %s: the column has a conversion already", text);
    t->conversions[column] = calloc(1, sizeof **t->conversions);
    if (!t->conversions[column])
        return no_memory(err);
    int rc = import_conversion_parse(how, t->conversions[column], &why);
    return rc < 0 ? err_set(err, rc, "--convert %s: %s", text, why.text) : 0;
}

static int make_uuid(struct target *t, struct err *err)
{
    _cleanup_buf_ struct buf text = {0};
    const char *space = t->request->uuid_space;

    buf_printf(&text, "uuid5(%s", space ? space : USUAL_SPACE);
    if (!space || !strchr(space, ':'))
        buf_printf(&text, ":%s", t->info->name);
    buf_putc(&text, ')');
    return buf_ok(&text) ? conversion_parse(text.data, &t->uuid, err) : no_memory(err);
}

/* --- a target --------------------------------------------------------------------------------- */

static int prepare(struct target *t, struct err *err)
{
    const struct import_request *q = t->request;
    size_t columns = t->info->column_count;
    int rc = 0;

    t->cells = calloc(columns, sizeof *t->cells);
    t->conversions = calloc(columns, sizeof(struct import_conversion *));
    t->statements = calloc(TARGET_STATEMENTS, sizeof *t->statements);
    if (!t->cells || !t->conversions || !t->statements)
        return no_memory(err);
    for (size_t i = 0; i < q->maps.count && rc == 0; i++)
        rc = take_map(t, q->maps.items[i], err);
    for (size_t i = 0; i < q->conversions.count && rc == 0; i++)
        rc = take_conversion(t, q->conversions.items[i], err);
    if (rc == 0 && q->uuid == UUID_NAMED)
        rc = make_uuid(t, err);
    return rc;
}

int target_open(struct source *s, const struct table_info *info, const struct import_request *q,
                struct target **out, struct err *err)
{
    struct target *t = calloc(1, sizeof *t);

    if (!t)
        return no_memory(err);
    *t = (struct target){.source = s, .info = info, .request = q};
    int rc = prepare(t, err);
    if (rc < 0)
        target_close(t);
    else
        *out = t;
    return rc;
}

void target_close(struct target *t)
{
    if (!t)
        return;
    target_forget_statements(t);
    map_free(&t->names);
    while (t->all_names) {
        struct target_name *next = t->all_names->next;
        free(t->all_names);
        t->all_names = next;
    }
    for (size_t i = 0; t->conversions && i < t->info->column_count; i++)
        if (t->conversions[i]) {
            import_conversion_clear(t->conversions[i]);
            free(t->conversions[i]);
        }
    for (size_t i = 0; i < t->foreign_count; i++) {
        for (size_t j = 0; j < t->foreign[i].count && t->foreign[i].to; j++)
            free(t->foreign[i].to[j]);
        free(t->foreign[i].to);
        free(t->foreign[i].columns);
        free(t->foreign[i].parent);
    }
    free(t->foreign);
    free(t->conversions);
    free(t->cells);
    free(t->paths);
    free(t->statements);
    conversion_clear(&t->uuid);
    buf_free(&t->store);
    buf_free(&t->scratch);
    buf_free(&t->text);
    free(t);
}

/* --- a record --------------------------------------------------------------------------------- */

static int set_cell(struct target *t, struct target_name *name, long column, int rank,
                    const char *value, size_t len, struct err *err)
{
    struct target_cell *c = &t->cells[column];

    if (c->kind != CELL_NONE && c->rank == rank)
        return err_set(err, -EINVAL,
                       "its fields \"%s\" and \"%s\" would both go to column \"%s\": say which by "
                       "--map FIELD=COLUMN",
                       c->name ? c->name->text : "", name ? name->text : "",
                       t->info->columns[column].name);
    if (c->kind != CELL_NONE && c->rank < rank) {
        if (name)
            name->ignored++;
        return 0;
    }
    if (c->kind != CELL_NONE && c->name)
        c->name->ignored++;
    *c = (struct target_cell){
        .kind = CELL_FIELD, .rank = rank, .value = value, .len = len, .name = name};
    return 0;
}

static int match_field(struct target *t, const struct record *r, size_t i, struct err *err)
{
    const struct record_field *f = &r->fields[i];
    struct target_name *name = find_name(t, record_name(r, i), f->name_len);

    if (!name)
        name = learn_name(t, record_name(r, i), f->name_len);
    if (!name)
        return no_memory(err);
    if (name->column >= 0)
        return set_cell(t, name, name->column, name->rank, f->value, f->len, err);
    name->ignored += !name->left_out;
    return 0;
}

/* In any of the ways in which its dialect says so, such as {"NULL": true}. */
static bool is_null(struct target *t, enum dialect dialect, const struct target_cell *c)
{
    struct datum d;
    struct err ignored;

    if (c->kind == CELL_NONE || (c->len == 4 && memcmp(c->value, "null", 4) == 0))
        return true;
    if (dialect == DIALECT_PLAIN || *c->value != '{')
        return false;
    buf_clear(&t->store);
    return datum_read(dialect, c->value, c->len, &d, &t->store, &ignored) == 0 &&
           d.kind == DATUM_NULL;
}

/* The key of a record that does not tell it: the id that it is stored under, or a new UUID. */
static int match_key(struct target *t, const struct target_record *r, struct err *err)
{
    const struct table_info *info = t->info;

    if (info->key_count != 1)
        return 0;
    const struct column_info *column = &info->columns[info->key[0]];
    struct target_cell *c = &t->cells[info->key[0]];
    if (!is_null(t, r->dialect, c))
        return 0;
    if (r->key) {
        *c = (struct target_cell){.kind = CELL_KEY, .value = r->key, .len = r->key_len};
        return 0;
    }
    bool number = column->affinity == AFFINITY_INTEGER || column->affinity == AFFINITY_REAL ||
                  column->affinity == AFFINITY_NUMERIC;
    if (info->rowid_key || (c->kind == CELL_NONE && column->value))
        return 0; /* SQLite's own: a new rowid, its default, or a refusal */
    if (number)   /* of which SQLite would make a key that is NULL: BIGINT is no rowid */
        return err_set(err, -EINVAL,
                       "it has no value for the key, column \"%s\": name the field by --map "
                       "FIELD=%s",
                       column->name, column->name);
    if (t->request->uuid != UUID_NONE) {
        *c = (struct target_cell){.kind = CELL_UUID};
        return 0;
    }
    return err_set(err, -EINVAL,
                   "it has no value for the key, column \"%s\": name the field by --map "
                   "FIELD=%s, or say --uuid uuid4 or --uuid uuid5",
                   column->name, column->name);
}

/* "_id" is the id of a table that calls it so, unless the record has that, too. */
static int match_id(struct target *t, const struct target_record *r, struct err *err)
{
    struct target_name *name = find_name(t, "_id", 3);
    const struct record_field *f =
        name && name->column < 0 && !name->left_out ? record_find(r->fields, "_id") : NULL;
    long column = table_column(t->info, "id");

    if (!f || !takes(t, column) || t->info->key_count != 1 || t->info->key[0] != (size_t)column ||
        !is_null(t, r->dialect, &t->cells[column]))
        return 0;
    name->ignored--;
    return set_cell(t, name, column, 3, f->value, f->len, err);
}

int target_match(struct target *t, const struct target_record *r, struct err *err)
{
    const struct record *fields = r->fields;
    int rc = 0;

    memset(t->cells, 0, t->info->column_count * sizeof *t->cells);
    for (size_t i = 0; i < fields->count && rc == 0; i++)
        rc = match_field(t, fields, i, err);
    for (size_t i = 0; i < t->path_count && rc == 0; i++) {
        struct record_field store;
        const struct record_field *f = record_find_path(fields, t->paths[i].path, &store);
        if (f)
            rc = set_cell(t, NULL, (long)t->paths[i].column, 0, f->value, f->len, err);
    }
    if (rc == 0)
        rc = match_id(t, r, err);
    if (rc == 0)
        rc = match_key(t, r, err);
    return rc;
}

void target_take_left_out(struct target *t, const json_t *fields)
{
    for (void *i = json_object_iter((json_t *)fields); i;
         i = json_object_iter_next((json_t *)fields, i)) {
        const char *text = json_object_iter_key(i);
        struct target_name *name = find_name(t, text, strlen(text));
        if (!name)
            name = learn_name(t, text, strlen(text));
        if (name)
            name->ignored = json_integer_value(json_object_iter_value(i));
    }
}
