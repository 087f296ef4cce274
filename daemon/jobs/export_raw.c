#include "jobs/export_raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "export/document.h"
#include "export/line.h"
#include "jobs/export_spool.h"

struct raw {
    const struct export_order *order;
    struct export_file file;
    bool writes, csv;
    json_t *samples;
    json_t *names;       /* CSV: an object with a member for each attribute seen */
    struct spool *spool; /* CSV: items wait until all names are known */
    struct buf line;
};

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

/* An item that is no item: a service that is none. */
static int no_item(const struct export_source *s, struct err *err)
{
    return err_set(err, -EIO, "table %s holds an item that is not as DynamoDB has them", s->table);
}

static int print_line(struct raw *r, const struct export_source *s, json_t *item, struct err *err)
{
    int rc = 0;

    buf_clear(&r->line);
    if (r->order->typed) {
        char *text = json_dumps(item, JSON_COMPACT);
        buf_lit(&r->line, "{\"Item\":");
        buf_puts(&r->line, text ? text : "");
        buf_putc(&r->line, '}');
        rc = text ? 0 : -ENOMEM;
        free(text);
    } else {
        rc = document_append_item(&r->line, item);
    }
    if (rc == -EINVAL)
        return no_item(s, err);
    if (rc == 0 && json_array_size(r->samples) < EXPORT_SAMPLES)
        rc = json_array_append_new(r->samples, json_stringn(r->line.data, r->line.len));
    buf_putc(&r->line, '\n');
    return rc < 0 || !buf_ok(&r->line) ? no_memory(err) : 0;
}

/* --- a line of JSON --------------------------------------------------------------------------- */

static int take_json(void *arg, const struct export_source *s, json_t *item, struct err *err)
{
    struct raw *r = arg;
    int rc = print_line(r, s, item, err);

    if (rc < 0 || !r->writes)
        return rc;
    buf_append(&r->file.out, r->line.data, r->line.len);
    return export_file_flush(&r->file, false, err);
}

/* --- CSV -------------------------------------------------------------------------------------- */

static int take_csv(void *arg, const struct export_source *s, json_t *item, struct err *err)
{
    struct raw *r = arg;
    const char *name;
    json_t *value;
    int rc = print_line(r, s, item, err);

    json_object_foreach(item, name, value) if (!json_object_get(r->names, name))
        json_object_set_new(r->names, name, json_true());
    if (rc == 0 && json_object_size(r->names) > RAW_MAX_ATTRIBUTES)
        return err_set(err, -EINVAL,
                       "the items of table %s have more than %d attributes between them, which "
                       "makes no CSV; export to a .jsonl file, or write an [export] section",
                       s->table, RAW_MAX_ATTRIBUTES);
    char *text = rc == 0 ? json_dumps(item, JSON_COMPACT) : NULL;
    if (rc == 0 && !text)
        rc = no_memory(err);
    if (rc == 0) {
        struct spool_record one = {.line = {text, strlen(text)}};
        rc = spool_add(r->spool, 0, &one, err);
    }
    free(text);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys first, the others in alphabetical order. */
static const char **columns_of(struct raw *r, const struct export_source *s, size_t *count)
{
    const char **names = calloc(json_object_size(r->names) + 2, sizeof *names);
    const char *name;
    json_t *value;
    size_t n = 0;

    if (!names)
        return NULL;
    names[n++] = s->partition_key;
    if (*s->sort_key)
        names[n++] = s->sort_key;
    size_t keys = n;
    json_object_foreach(r->names, name, value) if (strcmp(name, s->partition_key) != 0 &&
                                                   strcmp(name, s->sort_key) != 0) names[n++] =
        name;
    qsort(names + keys, n - keys, sizeof *names, by_name);
    *count = n;
    return names;
}

/* Text and numbers as they are, all else as JSON. */
static int append_cell(struct raw *r, const json_t *attribute)
{
    const json_t *text = json_object_get(attribute, "S");

    buf_clear(&r->line);
    if (!text)
        text = json_object_get(attribute, "B");
    if (text)
        buf_append(&r->line, json_string_value(text), json_string_length(text));
    else if (document_append(&r->line, attribute) < 0)
        return -EINVAL;
    if (!buf_ok(&r->line))
        return -ENOMEM;
    line_append_csv(&r->file.out, r->line.len ? r->line.data : "", r->line.len);
    return 0;
}

static int write_row(struct raw *r, const struct spool_record *one, const char *const *names,
                     size_t count, struct err *err)
{
    json_auto_t *item = json_loadb(one->line.at, one->line.n, JSON_ALLOW_NUL, NULL);
    int rc = item ? 0 : -ENOMEM;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        const json_t *attribute = json_object_get(item, names[i]);
        if (i)
            buf_putc(&r->file.out, ',');
        if (attribute && !json_object_get(attribute, "NULL"))
            rc = append_cell(r, attribute);
    }
    buf_putc(&r->file.out, '\n');
    return rc < 0 ? no_memory(err) : export_file_flush(&r->file, false, err);
}

static int write_csv(struct raw *r, const struct export_source *s, struct err *err)
{
    struct spool_record one;
    size_t count = 0;
    _cleanup_free_ const char **names = columns_of(r, s, &count);
    int rc = names ? spool_rewind(r->spool, 0, err) : no_memory(err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i)
            buf_putc(&r->file.out, ',');
        line_append_csv(&r->file.out, names[i], strlen(names[i]));
    }
    buf_putc(&r->file.out, '\n');
    while (rc == 0 && (rc = spool_next(r->spool, &one, err)) == 1)
        rc = write_row(r, &one, names, count, err);
    return rc;
}

/* --- both ------------------------------------------------------------------------------------- */

static int read_and_write(struct raw *r, struct connection *x, const char *table, int64_t *items,
                          struct err *err)
{
    struct export_source s;
    int rc = export_source_look(x, table, &s, err);

    if (rc == 0)
        rc = export_read(x, r->order, &s, r->csv ? take_csv : take_json, r, items, s.items, err);
    if (rc == 0 && r->csv && r->writes)
        rc = write_csv(r, &s, err);
    if (rc == 0 && r->writes)
        rc = export_file_finish(&r->file, err);
    return rc;
}

int export_raw_run(struct connection *x, const struct export_order *o, const char *table,
                   const char *path, bool csv, json_t *samples, int64_t *items, struct err *err)
{
    struct raw r = {.order = o,
                    .file = {.fd = -1},
                    .writes = path,
                    .csv = csv,
                    .samples = samples,
                    .names = json_object()};
    int rc = r.names ? 0 : no_memory(err);

    if (rc == 0 && csv)
        rc = spool_open(1, &r.spool, err);
    if (rc == 0 && path)
        rc = export_file_open(path, &r.file, err);
    if (rc == 0)
        rc = read_and_write(&r, x, table, items, err);
    export_file_drop(&r.file);
    spool_close(r.spool);
    json_decref(r.names);
    buf_free(&r.line);
    return rc;
}
