#include "export/column.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "export/cut.h"
#include "mapping/number.h"

enum { MAX_WORDS = 24, MAX_VARCHAR = 10485760, MAX_PRECISION = 1000 };

static const struct {
    const char *word;
    enum column_type type;
} type_words[] = {
    /* The first word of each type is the one that SQL is written with. */
    {"text", COLUMN_TEXT},           {"varchar", COLUMN_VARCHAR},
    {"uuid", COLUMN_UUID},           {"smallint", COLUMN_SMALLINT},
    {"integer", COLUMN_INTEGER},     {"bigint", COLUMN_BIGINT},
    {"numeric", COLUMN_NUMERIC},     {"double precision", COLUMN_DOUBLE},
    {"boolean", COLUMN_BOOLEAN},     {"timestamptz", COLUMN_TIMESTAMPTZ},
    {"timestamp", COLUMN_TIMESTAMP}, {"date", COLUMN_DATE},
    {"jsonb", COLUMN_JSONB},         {"json", COLUMN_JSON},
    {"bytea", COLUMN_BYTEA},         {"int2", COLUMN_SMALLINT},
    {"int", COLUMN_INTEGER},         {"int4", COLUMN_INTEGER},
    {"int8", COLUMN_BIGINT},         {"decimal", COLUMN_NUMERIC},
    {"float8", COLUMN_DOUBLE},       {"bool", COLUMN_BOOLEAN},
};

enum { TYPE_WORDS = sizeof type_words / sizeof *type_words };

bool export_column_is_number(enum column_type type)
{
    return type == COLUMN_SMALLINT || type == COLUMN_INTEGER || type == COLUMN_BIGINT ||
           type == COLUMN_NUMERIC || type == COLUMN_DOUBLE;
}

void export_column_type(const struct export_column *c, struct buf *out)
{
    for (size_t i = 0; i < TYPE_WORDS; i++)
        if (type_words[i].type == c->type) {
            buf_puts(out, type_words[i].word);
            break;
        }
    if (c->size && c->type == COLUMN_NUMERIC)
        buf_printf(out, "(%u,%u)", c->size, c->scale);
    else if (c->size)
        buf_printf(out, "(%u)", c->size);
}

void export_column_clear(struct export_column *c)
{
    free(c->name);
    free(c->source);
    free(c->fallback);
    free(c->ref_table);
    free(c->ref_column);
    *c = (struct export_column){0};
}

/* --- words ------------------------------------------------------------------------------------ */

struct word {
    char *text;
    char *arguments; /* what stood in brackets right behind it; NULL: nothing */
    bool quoted;
};

struct words {
    struct word items[MAX_WORDS];
    size_t count, at;
    struct err *err;
};

static void words_clear(struct words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        free(w->items[i].text);
        free(w->items[i].arguments);
    }
}

static int refuse_memory(struct words *w)
{
    err_set(w->err, -ENOMEM, "out of memory");
    return -ENOMEM;
}

/* '…' with '' for a quote; *s is behind the first. */
static int take_quoted(struct words *w, const char **s, struct buf *out)
{
    for (const char *p = *s; *p; p++) {
        if (*p == '\'' && p[1] != '\'') {
            *s = p + 1;
            return 0;
        }
        buf_putc(out, *p);
        p += *p == '\'';
    }
    return err_set(w->err, -EINVAL, "a ' has no second one");
}

static int take_arguments(struct words *w, const char **s, struct word *word)
{
    const char *end = strchr(*s, ')');

    while (**s == ' ' || **s == '\t')
        ++*s;
    if (**s != '(')
        return 0;
    if (!end)
        return err_set(w->err, -EINVAL, "a ( has no )");
    word->arguments = strndup(*s + 1, (size_t)(end - *s - 1));
    *s = end + 1;
    return word->arguments ? 0 : refuse_memory(w);
}

static int take_word(struct words *w, const char **s)
{
    _cleanup_buf_ struct buf text = {0};
    int rc = 0;

    if (w->count == MAX_WORDS)
        return err_set(w->err, -EINVAL, "it has more than %d words", MAX_WORDS);
    struct word *word = &w->items[w->count];
    *word = (struct word){.quoted = **s == '\''};
    buf_append(&text, "", 0);
    if (word->quoted) {
        ++*s;
        rc = take_quoted(w, s, &text);
    } else {
        size_t n = strcspn(*s, " \t('");
        buf_append(&text, *s, n);
        *s += n;
        if (n == 0)
            rc = err_set(w->err, -EINVAL, "a bracket stands alone");
    }
    if (rc < 0)
        return rc;
    if (!buf_ok(&text) || !(word->text = strdup(text.data ? text.data : "")))
        return refuse_memory(w);
    w->count++;
    return take_arguments(w, s, word);
}

static int split(struct words *w, const char *text)
{
    int rc = 0;

    for (const char *s = text; rc == 0;) {
        while (*s == ' ' || *s == '\t')
            s++;
        if (!*s)
            break;
        rc = take_word(w, &s);
    }
    return rc;
}

/* Is this the next word? Then it is taken. */
static bool next_is(struct words *w, const char *word)
{
    if (w->at >= w->count || w->items[w->at].quoted || strcasecmp(w->items[w->at].text, word) != 0)
        return false;
    w->at++;
    return true;
}

/* --- the type --------------------------------------------------------------------------------- */

/* The type that stands at word `at`; words it takes, or 0. */
static size_t type_at(const struct words *w, size_t at, enum column_type *out)
{
    if (at >= w->count || w->items[at].quoted)
        return 0;
    if (strcasecmp(w->items[at].text, "double") == 0 && at + 1 < w->count &&
        strcasecmp(w->items[at + 1].text, "precision") == 0) {
        *out = COLUMN_DOUBLE;
        return 2;
    }
    for (size_t i = 0; i < TYPE_WORDS; i++)
        if (strcasecmp(w->items[at].text, type_words[i].word) == 0) {
            *out = type_words[i].type;
            return 1;
        }
    return 0;
}

static bool take_digits(const char **s, unsigned most, unsigned *out)
{
    unsigned n = 0;

    *s += strspn(*s, " \t");
    if (**s < '0' || **s > '9')
        return false;
    for (; **s >= '0' && **s <= '9'; ++*s)
        if ((n = n * 10 + (unsigned)(**s - '0')) > most)
            return false;
    *s += strspn(*s, " \t");
    *out = n;
    return true;
}

static bool take_size(struct export_column *c, const char *s)
{
    bool numeric = c->type == COLUMN_NUMERIC;

    if (!numeric && c->type != COLUMN_VARCHAR)
        return false;
    if (!take_digits(&s, numeric ? MAX_PRECISION : MAX_VARCHAR, &c->size) || c->size == 0)
        return false;
    if (numeric && *s == ',' && (s++, !take_digits(&s, c->size, &c->scale)))
        return false;
    return !*s;
}

static bool take_form(struct export_column *c, const char *s)
{
    bool time = c->type == COLUMN_TIMESTAMPTZ || c->type == COLUMN_TIMESTAMP;
    bool json = c->type == COLUMN_JSONB || c->type == COLUMN_JSON;

    if (time && strcasecmp(s, "unix") == 0)
        c->form = TIME_UNIX;
    else if (time && strcasecmp(s, "ms") == 0)
        c->form = TIME_MS;
    else if (time && strcasecmp(s, "cut") == 0)
        c->cut = true;
    else if (json && strcasecmp(s, "parse") == 0)
        c->parse = true;
    else
        return false;
    return true;
}

static int take_type(struct words *w, struct export_column *c)
{
    const struct word *word = w->at < w->count ? &w->items[w->at] : NULL;
    size_t n = type_at(w, w->at, &c->type);
    struct cut shown, arguments;

    if (!word)
        return err_set(w->err, -EINVAL, "the type is missing, such as text, uuid or timestamptz");
    if (n == 0)
        return err_set(w->err, -EINVAL,
                       "\"%s\" is no type that is known here (text, varchar, uuid, smallint, "
                       "integer, bigint, numeric, double precision, boolean, timestamptz, "
                       "timestamp, date, jsonb, json, bytea)",
                       cut(&shown, word->text));
    w->at += n;
    word = &w->items[w->at - 1];
    if (word->arguments && !take_size(c, word->arguments) && !take_form(c, word->arguments))
        return err_set(w->err, -EINVAL, "%s does not take (%s)", cut(&shown, word->text),
                       cut(&arguments, word->arguments));
    return 0;
}

/* --- where the value comes from --------------------------------------------------------------- */

static int take_capture(struct words *w, struct export_column *c, const char *text)
{
    size_t n = strlen(text);
    struct cut shown;

    c->from = SOURCE_CAPTURE;
    if (n < 3 || text[n - 1] != '}' || memchr(text + 1, '{', n - 1))
        return err_set(w->err, -EINVAL, "\"%s\" is no capture: {NAME}", cut(&shown, text));
    c->source = strndup(text + 1, n - 2);
    return c->source ? 0 : refuse_memory(w);
}

/* A first word that is a type is one, unless another type follows: then it is an attribute. */
static int take_source(struct words *w, struct export_column *c)
{
    enum column_type ignored;
    size_t n = type_at(w, 0, &ignored);
    const struct word *first = &w->items[0];
    struct cut shown;

    if (n > 0 && (first->arguments || type_at(w, n, &ignored) == 0)) {
        c->source = strdup(c->name);
        return c->source ? 0 : refuse_memory(w);
    }
    if (w->count == 0)
        return 0;
    if (first->arguments)
        return err_set(w->err, -EINVAL, "\"%s\" is no type that is known here",
                       cut(&shown, first->text));
    w->at = 1;
    if (*first->text == '{' && !first->quoted)
        return take_capture(w, c, first->text);
    c->from = SOURCE_ATTRIBUTE;
    c->source = strdup(first->text);
    return c->source ? 0 : refuse_memory(w);
}

/* --- what is said besides --------------------------------------------------------------------- */

static int take_reference(struct words *w, struct export_column *c)
{
    if (w->at >= w->count)
        return err_set(w->err, -EINVAL, "references needs a table: references TABLE(COLUMN)");
    const struct word *to = &w->items[w->at++];
    free(c->ref_table);
    free(c->ref_column);
    c->ref_column = NULL;
    c->ref_table = strdup(to->text);
    if (!c->ref_table || (to->arguments && !(c->ref_column = strdup(to->arguments))))
        return refuse_memory(w);
    if (!*c->ref_table || (c->ref_column && (!*c->ref_column || strchr(c->ref_column, ','))))
        return err_set(w->err, -EINVAL, "references takes one column: references TABLE(COLUMN)");
    return 0;
}

static int take_default(struct words *w, struct export_column *c)
{
    if (w->at >= w->count)
        return err_set(w->err, -EINVAL, "default needs a value: default VALUE");
    free(c->fallback);
    c->fallback = strdup(w->items[w->at++].text);
    return c->fallback ? 0 : refuse_memory(w);
}

static int take_clause(struct words *w, struct export_column *c)
{
    struct cut shown;

    if (next_is(w, "required"))
        c->required = true;
    else if (next_is(w, "unique"))
        c->unique = true;
    else if (next_is(w, "references"))
        return take_reference(w, c);
    else if (next_is(w, "default"))
        return take_default(w, c);
    else if (next_is(w, "primary") && next_is(w, "key"))
        c->primary_key = true;
    else
        return err_set(w->err, -EINVAL,
                       "\"%s\" is none of required, primary key, unique, default VALUE and "
                       "references TABLE(COLUMN)",
                       cut(&shown, w->items[w->at < w->count ? w->at : w->count - 1].text));
    return 0;
}

int export_column_parse(const char *name, const char *text, struct export_column *out,
                        struct err *err)
{
    struct export_column c = {.name = strdup(name), .form = TIME_DETECTED};
    struct words w = {.err = err};
    int rc = c.name ? split(&w, text) : refuse_memory(&w);

    if (rc == 0)
        rc = take_source(&w, &c);
    if (rc == 0)
        rc = take_type(&w, &c);
    while (rc == 0 && w.at < w.count)
        rc = take_clause(&w, &c);
    if (rc == 0 && c.primary_key && (c.type == COLUMN_JSON || c.type == COLUMN_JSONB))
        rc = err_set(err, -EINVAL, "a primary key cannot be JSON");
    if (rc == 0 && c.fallback && c.type == COLUMN_BYTEA)
        rc = err_set(err, -EINVAL, "bytea takes no default");
    words_clear(&w);
    if (rc < 0)
        export_column_clear(&c);
    else
        *out = c;
    return rc;
}
