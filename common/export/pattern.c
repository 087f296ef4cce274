#include "export/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "export/cut.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"

static const struct {
    const char *word, *name;
} kinds[] = {
    [PATTERN_LITERAL] = {"", "text"},          [PATTERN_TEXT] = {"text", "text"},
    [PATTERN_UUID] = {"uuid", "a UUID"},       [PATTERN_INTEGER] = {"integer", "a whole number"},
    [PATTERN_NUMBER] = {"number", "a number"}, [PATTERN_REST] = {"rest", "text"},
};

const char *pattern_kind_name(enum pattern_kind kind)
{
    return kinds[kind].name;
}

void pattern_clear(struct pattern *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->parts[i].text);
    *p = (struct pattern){0};
}

int pattern_capture(const struct pattern *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->parts[i].kind != PATTERN_LITERAL && strcmp(p->parts[i].text, name) == 0)
            return (int)i;
    return -1;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int add(struct pattern *p, enum pattern_kind kind, const char *text, size_t n,
               struct err *err)
{
    if (p->count == PATTERN_MAX_PARTS)
        return err_set(err, -EINVAL, "the pattern has more than %d parts", PATTERN_MAX_PARTS);
    char *copy = strndup(text, n);
    if (!copy)
        return err_set(err, -ENOMEM, "out of memory");
    p->parts[p->count++] = (struct pattern_part){kind, copy};
    return 0;
}

static int kind_of(const char *word, size_t n, enum pattern_kind *out, struct err *err)
{
    struct cut shown;

    for (size_t i = PATTERN_TEXT; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].word) == n && memcmp(kinds[i].word, word, n) == 0) {
            *out = (enum pattern_kind)i;
            return 0;
        }
    return err_set(err, -EINVAL, "\"%s\" is none of text, uuid, integer, number and rest",
                   cut_n(&shown, word, n));
}

/* {NAME} or {NAME:TYPE}; *s is at its brace. */
static int read_capture(struct pattern *p, const char **s, struct err *err)
{
    const char *name = *s + 1, *end = name + strcspn(name, "{}");
    size_t n = strcspn(name, ":{}");
    enum pattern_kind kind = PATTERN_TEXT;
    struct cut before, shown;
    int rc = 0;

    if (*end != '}')
        return err_set(err, -EINVAL, "a { has no }; {{ stands for a brace");
    if (n == 0)
        return err_set(err, -EINVAL, "a capture needs a name: {NAME} or {NAME:TYPE}");
    if (name[n] == ':')
        rc = kind_of(name + n + 1, (size_t)(end - name) - n - 1, &kind, err);
    if (rc == 0 && p->count && p->parts[p->count - 1].kind != PATTERN_LITERAL)
        rc = err_set(err, -EINVAL,
                     "nothing stands between {%s} and {%s}, so that nobody knows where the one "
                     "ends",
                     cut(&before, p->parts[p->count - 1].text), cut_n(&shown, name, n));
    if (rc == 0)
        rc = add(p, kind, name, n, err);
    for (size_t i = 0; rc == 0 && i + 1 < p->count; i++)
        if (p->parts[i].kind != PATTERN_LITERAL &&
            strcmp(p->parts[i].text, p->parts[p->count - 1].text) == 0)
            rc = err_set(err, -EINVAL, "{%s} is there twice", cut(&shown, p->parts[i].text));
    *s = end + 1;
    return rc;
}

static int read_literal(struct pattern *p, const char **s, struct err *err)
{
    _cleanup_buf_ struct buf text = {0};

    while (**s && (**s != '{' || (*s)[1] == '{')) {
        if (**s == '}' && (*s)[1] != '}')
            return err_set(err, -EINVAL, "a } has no {; }} stands for a brace");
        buf_putc(&text, **s);
        *s += **s == '{' || **s == '}' ? 2 : 1;
    }
    if (!buf_ok(&text))
        return err_set(err, -ENOMEM, "out of memory");
    return add(p, PATTERN_LITERAL, text.data, text.len, err);
}

int pattern_parse(const char *text, struct pattern *out, struct err *err)
{
    struct pattern p = {0};
    struct cut shown;
    int rc = 0;

    if (!*text)
        rc = err_set(err, -EINVAL, "the pattern is empty");
    for (const char *s = text; rc == 0 && *s;) {
        if (p.count && p.parts[p.count - 1].kind == PATTERN_REST)
            rc = err_set(err, -EINVAL, "{%s:rest} takes everything: nothing can follow it",
                         cut(&shown, p.parts[p.count - 1].text));
        else if (*s == '{' && s[1] != '{')
            rc = read_capture(&p, &s, err);
        else
            rc = read_literal(&p, &s, err);
    }
    if (rc < 0)
        pattern_clear(&p);
    *out = p;
    return rc;
}

/* --- matching --------------------------------------------------------------------------------- */

static bool is_integer(const char *s, size_t n)
{
    size_t from = n > 0 && *s == '-';

    for (size_t i = from; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > from;
}

static bool is_number(const char *s, size_t n)
{
    _cleanup_buf_ struct buf ignored = {0};

    return number_canonical(&ignored, s, n) == 0;
}

static bool of_kind(enum pattern_kind kind, const struct pattern_span *s)
{
    unsigned char uuid[UUID_BYTES];

    switch (kind) {
    case PATTERN_UUID:
        return uuid_parse(s->at, s->n, uuid) == 0;
    case PATTERN_INTEGER:
        return is_integer(s->at, s->n);
    case PATTERN_NUMBER:
        return is_number(s->at, s->n);
    case PATTERN_LITERAL:
    case PATTERN_TEXT:
    case PATTERN_REST:
        break;
    }
    return true;
}

static bool stands_at(const struct pattern_part *literal, const char *s, size_t n)
{
    size_t length = strlen(literal->text);

    return n >= length && memcmp(s, literal->text, length) == 0;
}

/* Where the capture ends that begins at `s`: the length, or -1. A UUID is as long as one, where
 * that fits, because it has dashes in it that may also stand between parts. */
static long capture_length(const struct pattern_part *part, const struct pattern_part *next,
                           const char *s, size_t n)
{
    size_t most = part->kind == PATTERN_REST ? n : 0;

    while (part->kind != PATTERN_REST && most < n && s[most] != '#')
        most++;
    if (!next)
        return most == n && n > 0 ? (long)n : -1;
    if (part->kind == PATTERN_UUID && n >= UUID_TEXT && most >= UUID_TEXT &&
        stands_at(next, s + UUID_TEXT, n - UUID_TEXT))
        return UUID_TEXT;
    for (size_t i = 1; i <= most; i++)
        if (stands_at(next, s + i, n - i))
            return (long)i;
    return -1;
}

enum pattern_match pattern_match(const struct pattern *p, const char *s, size_t n,
                                 struct pattern_span spans[PATTERN_MAX_PARTS], size_t *part)
{
    const char *at = s, *end = s + n;

    for (size_t i = 0; i < p->count; i++) {
        const struct pattern_part *next = i + 1 < p->count ? &p->parts[i + 1] : NULL;
        size_t left = (size_t)(end - at);
        long length;
        if (p->parts[i].kind == PATTERN_LITERAL)
            length = stands_at(&p->parts[i], at, left) ? (long)strlen(p->parts[i].text) : (long)-1;
        else
            length = capture_length(&p->parts[i], next, at, left);
        *part = i;
        if (length < 0)
            return i == 0 && p->parts[0].kind == PATTERN_LITERAL ? PATTERN_NONE : PATTERN_BEGINS;
        spans[i] = (struct pattern_span){at, (size_t)length};
        at += length;
    }
    *part = p->count;
    /* A constant is all that there is; nothing can be wrong with the rest of it. */
    if (at != end)
        return p->count == 1 ? PATTERN_NONE : PATTERN_BEGINS;
    for (size_t i = 0; i < p->count; i++)
        if (!of_kind(p->parts[i].kind, &spans[i])) {
            *part = i;
            return PATTERN_SHAPED;
        }
    return PATTERN_FULL;
}
