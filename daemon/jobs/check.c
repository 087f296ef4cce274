/* What would be mirrored, how, and what cannot be: nothing is touched. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "jobs/check.h"
#include "jobs/connect.h"
#include "jobs/definitions.h"
#include "jobs/local.h"
#include "jobs/plan_list.h"
#include "source/canary.h"

enum { LINE_WIDTH = 100, LABEL_WIDTH = 10, NAME_WIDTH_MAX = 32 };

static const char *type_name(const struct plan_column *c)
{
    switch (conversion_type(&c->convert, c->affinity)) {
    case ATTR_N:
        return "N";
    case ATTR_S:
        return "S";
    case ATTR_B:
        return "B";
    default:
        return c->convert.kind == CONVERT_BOOL ? "BOOL" : "by value";
    }
}

/* Why a table is neither mirrored nor refused. */
static const char *left_out(const struct table_info *t)
{
    if (t->kind == TABLE_SHADOW)
        return "belongs to a virtual table";
    if (catalog_is_transient_name(t->name))
        return "a name that other tools use for a while";
    return "left out by the configuration";
}

static const char *planned_column(const struct table_plan *p, const char *name)
{
    for (size_t i = 0; i < p->column_count; i++)
        if (strcmp(p->columns[i].name, name) == 0)
            return name;
    return NULL;
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_label(FILE *out, const char *label)
{
    fprintf(out, "    %-*s", LABEL_WIDTH, label);
}

/* A list with commas, broken into lines below each other. */
struct wrapped {
    FILE *out;
    size_t at; /* column; 0: nothing printed yet */
};

static void print_word(struct wrapped *w, const char *label, const char *word)
{
    if (!w->at) {
        print_label(w->out, label);
        w->at = 4 + LABEL_WIDTH;
    } else if (w->at + 2 + strlen(word) > LINE_WIDTH) {
        fprintf(w->out, ",\n%*s", 4 + LABEL_WIDTH, "");
        w->at = 4 + LABEL_WIDTH;
    } else {
        fputs(", ", w->out);
        w->at += 2;
    }
    fputs(word, w->out);
    w->at += strlen(word);
}

static void print_columns(const struct table_plan *p, FILE *out)
{
    struct wrapped w = {.out = out};

    for (size_t i = 0; i < p->column_count; i++) {
        const struct plan_column *c = &p->columns[i];
        _cleanup_buf_ struct buf word = {0};
        buf_puts(&word, c->name);
        if (!c->attribute)
            buf_puts(&word, " (in the key only)");
        else if (strcmp(c->attribute, c->name) != 0)
            buf_printf(&word, " -> %s", c->attribute);
        if (c->attribute)
            buf_printf(&word, " %s", type_name(c));
        if (c->convert.text)
            buf_printf(&word, " by %s", c->convert.text);
        print_word(&w, "columns", buf_ok(&word) ? word.data : c->name);
    }
    fputc('\n', out);
}

static void print_added(const struct table_plan *p, FILE *out)
{
    struct wrapped w = {.out = out};

    for (size_t i = 0; i < p->column_count; i++)
        if (p->columns[i].kept)
            print_word(&w, "added", p->columns[i].kept);
    for (size_t i = 0; i < p->added_count; i++)
        print_word(&w, "added", p->added[i].attribute);
    if (w.at)
        fputc('\n', out);
    if (p->ttl_attribute) {
        print_label(out, "expires");
        fprintf(out, "at %s\n", p->ttl_attribute);
    }
}

static void print_excluded(const struct table_info *t, const struct table_plan *p, FILE *out)
{
    struct wrapped w = {.out = out};

    for (size_t i = 0; i < t->column_count; i++)
        if (!planned_column(p, t->columns[i].name))
            print_word(&w, "not sent", t->columns[i].name);
    if (w.at)
        fputc('\n', out);
}

static void print_captured(const struct table_plan *p, FILE *out)
{
    size_t n = p->capture.lookup_count;

    print_label(out, "captured");
    if (p->capture.limits) {
        fprintf(out, "with a limit: %s\n", p->capture.limits);
        return;
    }
    fprintf(out, "every change");
    if (n)
        fprintf(out, "; rows that REPLACE removes are found by %zu lookup%s", n, n == 1 ? "" : "s");
    fputc('\n', out);
}

/* What key attributes are made of, where they are not a column's own value. */
static void print_made_keys(const struct table_plan *p, FILE *out)
{
    for (size_t i = 0; i < p->schema.count; i++) {
        const struct key_part *part = &p->parts[i];
        if (part->kind == KEY_COLUMN)
            continue;
        print_label(out, i ? "sort key" : "part. key");
        for (size_t k = 0; k < part->segment_count; k++) {
            const struct key_segment *s = &part->segments[k];
            if (part->kind == KEY_JOINED && k)
                fputc('#', out);
            if (s->literal)
                fputs(s->literal, out);
            else
                fprintf(out, "{%s}", p->columns[s->column].name);
        }
        fputc('\n', out);
    }
    if (p->meeting) {
        print_label(out, "beware");
        fprintf(out, "%s; the second is then a dead letter\n", p->meeting);
    }
}

static void print_indexes(const struct table_plan *p, FILE *out)
{
    for (size_t i = 0; i < p->index_count; i++) {
        const struct plan_index *x = &p->indexes[i];
        _cleanup_buf_ struct buf text = {0};
        plan_describe_index(x, &text);
        print_label(out, i ? "" : "indexes");
        fprintf(out, "%s: %s\n", x->name, text.data ? text.data : "");
    }
}

static void print_plan(const struct config *c, const struct table_info *t,
                       const struct table_plan *p, FILE *out)
{
    _cleanup_buf_ struct buf key = {0};

    plan_describe_key(p, &key);
    fprintf(out, "\ntable \"%s\" -> %s: %s\n", t->name, p->target, key.data ? key.data : "");
    print_made_keys(p, out);
    if (*c->source_id && !p->has_source && !canary_is_table(t->name)) {
        print_label(out, "beware");
        fputs("its key does not hold {source_id}: items of other machines may have the same keys\n",
              out);
    }
    print_columns(p, out);
    print_added(p, out);
    print_excluded(t, p, out);
    if (p->compress) {
        print_label(out, "oversize");
        fprintf(out, "rows above 400 KB are compressed%s\n", p->split ? ", and split" : "");
    }
    if (p->guarded) {
        print_label(out, "orphans");
        fprintf(out, "rows whose foreign key names a row that is not there are %s\n",
                p->skips ? "left out" : "dead letters");
    }
    print_indexes(p, out);
    print_captured(p, out);
}

static void print_reasons(const struct plan_list *l, const char *title, bool refused, FILE *out)
{
    size_t width = 0;
    bool any = false;

    for (size_t i = 0; i < l->count; i++) {
        size_t n = strlen(l->catalog->tables[i].name);
        if (l->plans[i] || (l->refusals[i] != NULL) != refused)
            continue;
        any = true;
        if (n > width)
            width = n;
    }
    if (!any)
        return;
    if (width > NAME_WIDTH_MAX)
        width = NAME_WIDTH_MAX;
    fprintf(out, "\n%s\n", title);
    for (size_t i = 0; i < l->count; i++)
        if (!l->plans[i] && (l->refusals[i] != NULL) == refused)
            fprintf(out, "    %-*s  %s\n", (int)width, l->catalog->tables[i].name,
                    refused ? l->refusals[i] : left_out(&l->catalog->tables[i]));
}

static void print_plans(const struct config *c, const struct plan_list *l, FILE *out)
{
    size_t mirrored = 0, limited = 0, refused = 0;

    for (size_t i = 0; i < l->count; i++) {
        refused += l->refusals[i] != NULL;
        if (!l->plans[i])
            continue;
        print_plan(c, &l->catalog->tables[i], l->plans[i], out);
        limited += l->plans[i]->capture.limits != NULL;
        mirrored++;
    }
    print_reasons(l, "cannot be mirrored", true, out);
    print_reasons(l, "left out", false, out);
    fprintf(out, "\n%zu table%s mirrored", mirrored, mirrored == 1 ? "" : "s");
    if (limited)
        fprintf(out, " (%zu with a limit)", limited);
    fprintf(out, ", %zu cannot be, %zu left out\n", refused, l->count - mirrored - refused);
    if (mirrored)
        fprintf(out, "Nobody can see writes by a connection that switched triggers off, and edits "
                     "of sqlite_schema by\nwritable_schema: `syncctl resync` finds what they "
                     "changed.\n");
}

/* --- for programs ----------------------------------------------------------------------------- */

static const char *kind_name(enum table_kind kind)
{
    static const char *const names[] = {"table", "without_rowid", "view", "virtual", "shadow"};

    return names[kind];
}

static json_t *keys_json(const struct key_schema *s)
{
    json_t *keys = json_array();

    for (size_t i = 0; i < s->count; i++) {
        char type[2] = {(char)s->parts[i].type, '\0'};
        json_array_append_new(keys,
                              json_pack("{s:s, s:s}", "name", s->parts[i].name, "type", type));
    }
    return keys;
}

static json_t *indexes_json(const struct table_plan *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->index_count; i++) {
        const struct plan_index *x = &p->indexes[i];
        json_t *include = json_array();
        for (size_t k = 0; k < x->include_count; k++)
            json_array_append_new(include, json_string(x->include[k]));
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:s, s:o}", "name", x->name, "key", keys_json(&x->keys),
                            "projection", plan_projection_name(x->projection), "include", include));
    }
    return list;
}

static void plan_json(json_t *o, const struct table_info *t, const struct table_plan *p)
{
    json_t *columns = json_object(), *excluded = json_array();

    for (size_t i = 0; i < p->column_count; i++)
        json_object_set_new(columns, p->columns[i].name,
                            p->columns[i].attribute ? json_string(p->columns[i].attribute)
                                                    : json_null());
    for (size_t i = 0; i < t->column_count; i++)
        if (!planned_column(p, t->columns[i].name))
            json_array_append_new(excluded, json_string(t->columns[i].name));
    json_t *conversions = json_object(), *added = json_array();
    for (size_t i = 0; i < p->column_count; i++) {
        if (p->columns[i].convert.text)
            json_object_set_new(conversions, p->columns[i].name,
                                json_string(p->columns[i].convert.text));
        if (p->columns[i].kept)
            json_array_append_new(added, json_string(p->columns[i].kept));
    }
    for (size_t i = 0; i < p->added_count; i++)
        json_array_append_new(added, json_string(p->added[i].attribute));
    json_object_set_new(o, "conversions", conversions);
    json_object_set_new(o, "added", added);
    json_object_set_new(o, "ttl", p->ttl_attribute ? json_string(p->ttl_attribute) : json_null());
    json_object_set_new(o, "target", json_string(p->target));
    json_object_set_new(o, "key", keys_json(&p->schema));
    json_object_set_new(o, "columns", columns);
    json_object_set_new(o, "excluded", excluded);
    json_object_set_new(o, "indexes", indexes_json(p));
    json_object_set_new(o, "lookups", json_integer((json_int_t)p->capture.lookup_count));
    json_object_set_new(o, "oversize",
                        json_string(p->split      ? "split"
                                    : p->compress ? "compress"
                                                  : "dead-letter"));
    json_object_set_new(o, "orphans",
                        json_string(!p->guarded ? "report"
                                    : p->skips  ? "skip"
                                                : "dead-letter"));
    json_object_set_new(o, "meeting", p->meeting ? json_string(p->meeting) : json_null());
    json_object_set_new(o, "limit",
                        p->capture.limits ? json_string(p->capture.limits) : json_null());
}

static void print_json(const struct plan_list *l, FILE *out)
{
    json_t *root = json_object(), *list = json_array();

    for (size_t i = 0; i < l->count; i++) {
        const struct table_info *t = &l->catalog->tables[i];
        json_t *o = json_object();
        json_object_set_new(o, "table", json_string(t->name));
        json_object_set_new(o, "kind", json_string(kind_name(t->kind)));
        json_object_set_new(o, "mirrored", json_boolean(l->plans[i] != NULL));
        if (l->plans[i])
            plan_json(o, t, l->plans[i]);
        else
            json_object_set_new(o, "reason",
                                json_string(l->refusals[i] ? l->refusals[i] : left_out(t)));
        json_array_append_new(list, o);
    }
    json_object_set_new(root, "tables", list);
    json_dumpf(root, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(root);
}

/* --- the job ---------------------------------------------------------------------------------- */

/* Conversions and defaults speak of columns that are there. */
static int check_columns(const struct table_config *t, const struct table_info *info,
                         struct err *err)
{
    const struct {
        const char *key;
        const struct pairlist *list;
    } lists[] = {{"convert", &t->convert}, {"default", &t->defaults}};

    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++)
        for (size_t i = 0; i < lists[k].list->count; i++)
            if (table_column(info, lists[k].list->items[i].key) < 0)
                return err_set(err, -EINVAL, "%s:%u: table \"%s\" has no column \"%s\" (%s.%s)",
                               t->file, t->line, t->name, lists[k].list->items[i].key, lists[k].key,
                               lists[k].list->items[i].key);
    return 0;
}

int check_sections(const struct config *c, const struct plan_list *l, struct err *err)
{
    for (size_t i = 0; i < c->table_section_count; i++) {
        const struct table_config *t = &c->table_sections[i];
        bool there = false;
        for (size_t k = 0; k < l->count; k++) {
            if (strcasecmp(l->catalog->tables[k].name, t->name) != 0)
                continue;
            there = true;
            if (l->refusals[k])
                return err_set(err, -EINVAL, "%s:%u: table \"%s\" cannot be mirrored: %s", t->file,
                               t->line, t->name, l->refusals[k]);
            int rc = check_columns(t, &l->catalog->tables[k], err);
            if (rc < 0)
                return rc;
        }
        if (!there)
            return err_set(err, -EINVAL, "%s:%u: the database has no table \"%s\"", t->file,
                           t->line, t->name);
    }
    return 0;
}

/* Tables that share a target may ask for what one table cannot be. */
static int check_definitions(const struct config *c, const struct plan_list *l, struct err *err)
{
    struct definition_list made = {0};
    int rc = definitions_make(c, l, NULL, 0, &made, err);

    definitions_free(&made);
    return rc;
}

int job_check(const struct config *c, FILE *out, bool json, struct err *err)
{
    struct plan_list l = {0};
    struct endpoint endpoint;
    int rc = connection_endpoint(c, &endpoint, err);

    if (rc < 0)
        return rc;
    if (plan_list_make(c, &l, err) < 0)
        return -EINVAL;
    if (json) {
        print_json(&l, out);
    } else {
        config_print(c, out);
        fprintf(out, "\nDynamoDB: %s, region %s\n", endpoint.url, endpoint.region);
        print_plans(c, &l, out);
    }
    rc = check_sections(c, &l, err);
    if (rc == 0)
        rc = check_definitions(c, &l, err);
    plan_list_free(&l);
    return rc;
}
