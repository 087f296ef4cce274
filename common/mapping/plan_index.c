/* Global secondary indexes: what the configuration says, in attributes and their types; and which
 * attributes of the table's items must therefore be of one type, or not there. (Amazon DynamoDB
 * Developer Guide, "Using Global Secondary Indexes": an item without an index's key attributes is
 * not in the index; one with a key attribute of another type, or an empty one, is refused.) */
#include "mapping/plan_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

enum { MAX_KEY_NAME = 255, MAX_INCLUDED = 100 };

/* --- the text: partition[, sort] [: ALL | KEYS_ONLY | INCLUDE a, b] --------------------------- */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next word of a list with commas, without the blanks around it, or NULL at the end. */
static char *next_word(char **rest)
{
    char *word = strsep(rest, ",");

    if (!word)
        return NULL;
    while (blank(*word))
        word++;
    size_t n = strlen(word);
    while (n && blank(word[n - 1]))
        word[--n] = '\0';
    return word;
}

/* --- what is demanded of attributes ----------------------------------------------------------- */

/* Encoded with care from now on: see item.c. A key of the table is there, of its type and not
 * empty, anyhow. */
static void demand(struct table_plan *p, const char *attribute, bool sort)
{
    for (size_t k = 0; k < p->schema.count; k++)
        if (strcmp(p->schema.parts[k].name, attribute) == 0) {
            p->short_key[k] |= sort;
            return;
        }
    for (size_t i = 0; i < p->column_count; i++) {
        struct plan_column *c = &p->columns[i];
        if (strcmp(c->attribute, attribute) == 0) {
            c->indexed = c->special = true;
            c->index_sort |= sort;
        }
    }
    for (size_t i = 0; i < p->added_count; i++) {
        struct plan_added *a = &p->added[i];
        if (strcmp(a->attribute, attribute) == 0) {
            a->indexed = true;
            a->index_sort |= sort;
        }
    }
}

/* --- one index -------------------------------------------------------------------------------- */

static int add_key(struct plan_maker *m, struct plan_index *x, const char *name)
{
    struct key_attribute *to = &x->keys.parts[x->keys.count];
    const char *attribute;
    enum attr_type type;
    int rc = plan_index_key(m->plan, name, &attribute, &type, m->err);

    if (rc < 0)
        return err_prefix(m->err, -ENOTSUP, "index \"%s\"", x->name);
    if (strlen(attribute) > MAX_KEY_NAME)
        return plan_refuse(m,
                           "index \"%s\": the name of attribute \"%.40s…\" is longer than %d bytes",
                           x->name, attribute, MAX_KEY_NAME);
    if (x->keys.count && strcmp(x->keys.parts[0].name, attribute) == 0)
        return plan_refuse(m, "index \"%s\" has \"%s\" as partition key and as sort key", x->name,
                           name);
    if (!(to->name = strdup(attribute)))
        return plan_no_memory(m);
    to->type = type;
    x->keys.count++;
    return 0;
}

/* Of a column by its name, else what is named itself. */
static const char *attribute_of(const struct table_plan *p, const char *name)
{
    long at = plan_column(p, name);

    return at >= 0 ? p->columns[at].attribute : name;
}

/* Attributes that no column makes may come from other tables of the same target. */
static int add_included(struct plan_maker *m, struct plan_index *x, char *list)
{
    char *word;

    while ((word = next_word(&list))) {
        const char *attribute = attribute_of(m->plan, word);
        if (!*word)
            continue;
        char **grown = reallocarray(x->include, x->include_count + 1, sizeof *grown);
        if (!grown)
            return plan_no_memory(m);
        x->include = grown;
        if (!(grown[x->include_count] = strdup(attribute)))
            return plan_no_memory(m);
        x->include_count++;
    }
    if (!x->include_count || x->include_count > MAX_INCLUDED)
        return plan_refuse(m,
                           "index \"%s\": INCLUDE takes 1 to %d attributes, as in: INCLUDE title",
                           x->name, MAX_INCLUDED);
    return 0;
}

static int read_projection(struct plan_maker *m, struct plan_index *x, char *text)
{
    static const char include[] = "INCLUDE";
    size_t n;

    while (blank(*text))
        text++;
    n = strcspn(text, " \t(");
    if (n == strlen(include) && strncasecmp(text, include, n) == 0) {
        char *list = text + n, *end = list + strlen(list);
        x->projection = PROJECT_INCLUDE;
        while (blank(*list))
            list++;
        if (*list == '(') { /* INCLUDE(a, b) is understood too */
            list++;
            while (end > list && blank(end[-1]))
                end--;
            if (end == list || end[-1] != ')')
                return plan_refuse(m, "index \"%s\": INCLUDE( has no \")\"", x->name);
            end[-1] = '\0';
        }
        return add_included(m, x, list);
    }
    x->projection = strcasecmp(text, "KEYS_ONLY") == 0 ? PROJECT_KEYS_ONLY : PROJECT_ALL;
    if (x->projection == PROJECT_ALL && strcasecmp(text, "ALL") != 0)
        return plan_refuse(m, "index \"%s\": \"%.60s\" is none of ALL, KEYS_ONLY and INCLUDE a, b",
                           x->name, text);
    return 0;
}

static int read_index(struct plan_maker *m, struct plan_index *x, char *text)
{
    char *projection = text, *keys = strsep(&projection, ":"), *word;
    int rc = 0;

    while (rc == 0 && (word = next_word(&keys))) {
        if (!*word || x->keys.count == 2)
            return plan_refuse(
                m,
                "index \"%s\" takes partition key[, sort key] [: projection], as in: "
                "user_id, created_at : KEYS_ONLY",
                x->name);
        rc = add_key(m, x, word);
    }
    if (rc < 0 || !projection)
        return rc;
    size_t n = strlen(projection);
    while (n && blank(projection[n - 1]))
        projection[--n] = '\0';
    return read_projection(m, x, projection);
}

void plan_index_clear(struct plan_index *x)
{
    for (size_t i = 0; i < x->include_count; i++)
        free(x->include[i]);
    for (size_t i = 0; i < 2; i++)
        free(x->keys.parts[i].name);
    free(x->include);
    free(x->name);
    *x = (struct plan_index){0};
}

static int add_index(struct plan_maker *m, const struct plan_index_option *o)
{
    struct table_plan *p = m->plan;
    struct plan_index *grown = reallocarray(p->indexes, p->index_count + 1, sizeof *grown);
    _cleanup_free_ char *text = strdup(o->value);

    if (!grown)
        return plan_no_memory(m);
    p->indexes = grown;
    struct plan_index *x = &grown[p->index_count];
    *x = (struct plan_index){.name = strdup(o->name)};
    p->index_count++;
    return x->name && text ? read_index(m, x, text) : plan_no_memory(m);
}

/* An index that another table of the same target asks for: items of this one are in it as well
 * where they have its key attributes, and these must be as it demands. */
static void demand_of_others(struct plan_maker *m, const struct plan_index_option *o)
{
    _cleanup_free_ char *text = strdup(o->value);
    char *rest = text, *keys = text ? strsep(&rest, ":") : NULL, *word;

    for (size_t i = 0; i < 2 && (word = next_word(&keys)); i++) {
        const char *attribute;
        enum attr_type type;
        if (plan_index_key(m->plan, word, &attribute, &type, NULL) == 0)
            demand(m->plan, attribute, i == 1);
    }
}

int plan_add_indexes(struct plan_maker *m)
{
    struct table_plan *p = m->plan;
    struct plan_index_option o;
    int rc = 0;

    for (size_t i = 0; m->options->index && rc == 0 && m->options->index(m->options->arg, i, &o);
         i++) {
        if (o.shared)
            demand_of_others(m, &o);
        else
            rc = add_index(m, &o);
    }
    for (size_t i = 0; rc == 0 && i < p->index_count; i++)
        for (size_t k = 0; k < p->indexes[i].keys.count; k++)
            demand(p, p->indexes[i].keys.parts[k].name, k == 1);
    return rc;
}
