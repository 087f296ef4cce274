#include "source/sql_tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* May stand inside a word; all but digits and '$' may begin one. */
static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

static const char *skip_space(const char *p)
{
    for (;;) {
        if (is_space(*p)) {
            p++;
        } else if (p[0] == '-' && p[1] == '-') {
            p += strcspn(p, "\n");
        } else if (p[0] == '/' && p[1] == '*' && p[2]) {
            const char *end = strstr(p + 2, "*/");
            p = end ? end + 2 : p + strlen(p);
        } else {
            return p;
        }
    }
}

/* Length of a quoted token with both quotes, of which two inside stand for one; 0: it never ends.
 */
static size_t quoted_length(const char *p, char end)
{
    for (size_t i = 1; p[i]; i++) {
        if (p[i] != end)
            continue;
        if (p[i + 1] != end || end == ']')
            return i + 1;
        i++;
    }
    return 0;
}

static size_t digits(const char *p)
{
    size_t n = 0;

    while (is_digit(p[n]) || (p[n] == '_' && n && is_digit(p[n - 1]) && is_digit(p[n + 1])))
        n++;
    return n;
}

/* Length of a number; 0 when a letter follows it. */
static size_t number_length(const char *p)
{
    size_t n;

    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        n = 2 + strspn(p + 2, "0123456789abcdefABCDEF_");
    } else {
        n = digits(p);
        if (p[n] == '.') {
            n++;
            n += digits(p + n);
        }
        if (p[n] == 'e' || p[n] == 'E') {
            size_t sign = p[n + 1] == '+' || p[n + 1] == '-' ? 1 : 0;
            if (is_digit(p[n + 1 + sign]))
                n += 1 + sign + digits(p + n + 1 + sign);
        }
    }
    return is_word(p[n]) ? 0 : n;
}

static size_t blob_length(const char *p)
{
    size_t n = strspn(p + 2, "0123456789abcdefABCDEF");

    return n % 2 == 0 && p[2 + n] == '\'' ? n + 3 : 0;
}

static size_t word_length(const char *p)
{
    size_t n = 0;

    while (is_word(p[n]))
        n++;
    return n;
}

static size_t mark_length(const char *p)
{
    /* Longer ones first. */
    static const char *const marks[] = {"->>", "->", "||", "==", "<>", "!=", "<=", ">=", "<<",
                                        ">>",  "<",  ">",  "=",  "+",  "-",  "*",  "/",  "%",
                                        "&",   "|",  "~",  "(",  ")",  ",",  ".",  ";"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strncmp(p, marks[i], strlen(marks[i])) == 0)
            return strlen(marks[i]);
    return 0;
}

/* A byte order mark is space to some versions of SQLite and part of a word to others. */
static bool is_order_mark(const char *p)
{
    return strncmp(p, "\xef\xbb\xbf", 3) == 0;
}

static struct sql_token measure(const char *p)
{
    struct sql_token t = {.kind = SQL_BROKEN, .text = p};

    if (*p == '\'') {
        t.kind = SQL_STRING;
        t.len = quoted_length(p, '\'');
    } else if (*p == '"' || *p == '`' || *p == '[') {
        t.kind = SQL_QUOTED;
        t.len = quoted_length(p, *p == '[' ? ']' : *p);
    } else if (is_digit(*p) || (*p == '.' && is_digit(p[1]))) {
        t.kind = SQL_NUMBER;
        t.len = number_length(p);
    } else if ((*p == 'x' || *p == 'X') && p[1] == '\'') {
        t.kind = SQL_BLOB;
        t.len = blob_length(p);
    } else if (is_word(*p) && *p != '$' && !is_order_mark(p)) {
        t.kind = SQL_WORD;
        t.len = word_length(p);
    } else {
        t.kind = SQL_MARK;
        t.len = mark_length(p);
    }
    return t;
}

struct sql_token sql_next(const char **at)
{
    const char *p = skip_space(*at);
    struct sql_token t = {.kind = SQL_END, .text = p};

    if (*p)
        t = measure(p);
    if (*p && t.len == 0)
        t = (struct sql_token){.kind = SQL_BROKEN, .text = p, .len = strlen(p)};
    *at = p + t.len;
    return t;
}

int sql_tokens(const char *sql, struct sql_token **out, size_t *count)
{
    struct sql_token *all = NULL;
    size_t n = 0, room = 0;

    for (struct sql_token t = sql_next(&sql); t.kind != SQL_END; t = sql_next(&sql)) {
        if (n == room) {
            room = room ? room * 2 : 32;
            struct sql_token *more = realloc(all, room * sizeof *more);
            if (!more) {
                free(all);
                return -ENOMEM;
            }
            all = more;
        }
        if (t.kind == SQL_BROKEN) {
            free(all);
            return -EINVAL;
        }
        all[n++] = t;
    }
    *out = all;
    *count = n;
    return 0;
}

bool sql_is_word(const struct sql_token *t, const char *keyword)
{
    return t->kind == SQL_WORD && strlen(keyword) == t->len &&
           strncasecmp(t->text, keyword, t->len) == 0;
}

bool sql_is_mark(const struct sql_token *t, const char *mark)
{
    return t->kind == SQL_MARK && strlen(mark) == t->len && memcmp(t->text, mark, t->len) == 0;
}

char *sql_unquoted(const struct sql_token *t)
{
    char *out = malloc(t->len + 1);
    size_t n = 0;

    if (!out)
        return NULL;
    if (t->kind != SQL_QUOTED && t->kind != SQL_STRING) {
        memcpy(out, t->text, t->len);
        out[t->len] = '\0';
        return out;
    }
    for (size_t i = 1; i + 1 < t->len; i++) {
        out[n++] = t->text[i];
        if (t->text[0] != '[' && t->text[i] == t->text[0])
            i++;
    }
    out[n] = '\0';
    return out;
}

bool sql_is_name(const struct sql_token *t, const char *name)
{
    if (t->kind == SQL_WORD)
        return sql_is_word(t, name);
    if (t->kind != SQL_QUOTED && t->kind != SQL_STRING)
        return false;
    /* Compared without a copy: names are looked for often. */
    for (size_t i = 1; i + 1 < t->len; i++, name++) {
        if (!*name || strncasecmp(&t->text[i], name, 1) != 0)
            return false;
        if (t->text[0] != '[' && t->text[i] == t->text[0])
            i++;
    }
    return *name == '\0';
}
