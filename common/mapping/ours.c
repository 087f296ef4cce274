#include "mapping/ours.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mapping/item.h"
#include "mapping/oversize.h"

enum { MAX_SEGMENTS = 64 };

struct part_view {
    enum attr_type type;
    const char *bytes;
    size_t len;
};

struct piece {
    const char *bytes;
    size_t len;
};

static bool split(const struct key_schema *s, const void *key, size_t n, struct part_view out[2])
{
    const unsigned char *p = key;

    for (size_t i = 0; i < s->count; i++) {
        if (n < 3)
            return false;
        size_t len = (size_t)p[1] << 8 | p[2];
        if (n - 3 < len || (enum attr_type)p[0] != s->parts[i].type)
            return false;
        out[i] = (struct part_view){(enum attr_type)p[0], (const char *)p + 3, len};
        p += 3 + len;
        n -= 3 + len;
    }
    return n == 0;
}

/* --- templates -------------------------------------------------------------------------------- */

static bool is_number_text(char c)
{
    return isdigit((unsigned char)c) || strchr("+-.eE", c);
}

static bool all(const char *s, size_t n, bool (*fits)(char c))
{
    for (size_t i = 0; i < n; i++)
        if (!fits(s[i]))
            return false;
    return true;
}

static bool is_hex(char c)
{
    return isxdigit((unsigned char)c) != 0;
}

static bool is_uuid(char c)
{
    return is_hex(c) || c == '-';
}

static bool is_number(char c)
{
    return c != '\0' && is_number_text(c);
}

/* Can the column be written so in a key? Whether it really is, making the key again tells. */
static bool can_be(const struct plan_column *c, const char *s, size_t n)
{
    switch (c->convert.kind) {
    case CONVERT_TIMESTAMP:
    case CONVERT_STRING:
        return true;
    case CONVERT_EPOCH:
    case CONVERT_NUMBER:
        return n > 0 && all(s, n, is_number);
    case CONVERT_UUID5:
        return n == UUID_TEXT && all(s, n, is_uuid);
    case CONVERT_BINARY:
        return n % 2 == 0 && all(s, n, is_hex);
    case CONVERT_NONE:
    case CONVERT_BOOL:
    case CONVERT_JSON:
        break;
    }
    if (c->affinity == AFFINITY_TEXT)
        return true;
    if (c->affinity == AFFINITY_BLOB)
        return n % 2 == 0 && all(s, n, is_hex);
    return n > 0 && all(s, n, is_number);
}

struct matching {
    const struct table_plan *plan;
    const struct key_part *part;
    const char *text;
    size_t len;
    struct piece *pieces; /* of each segment */
    char *dead;           /* from this segment and place on there is no match */
};

static bool match_from(struct matching *m, size_t segment, size_t at)
{
    const struct key_part *k = m->part;

    if (segment == k->segment_count)
        return at == m->len;
    char *dead = &m->dead[segment * (m->len + 1) + at];
    if (*dead)
        return false;
    const struct key_segment *s = &k->segments[segment];
    size_t left = m->len - at;
    bool found = false;
    if (s->literal) {
        size_t n = strlen(s->literal);
        found = n <= left && memcmp(m->text + at, s->literal, n) == 0 &&
                match_from(m, segment + 1, at + n);
    } else {
        const struct plan_column *c = &m->plan->columns[s->column];
        for (size_t n = segment + 1 == k->segment_count ? left : 0; n <= left && !found; n++) {
            m->pieces[segment] = (struct piece){m->text + at, n};
            found = can_be(c, m->text + at, n) && match_from(m, segment + 1, at + n);
            if (found)
                m->pieces[segment] = (struct piece){m->text + at, n};
        }
    }
    *dead = !found;
    return found;
}

/* Pieces between unescaped '#', as many as there are segments. */
static bool match_joined(const struct table_plan *p, const struct key_part *k,
                         const struct part_view *v, struct piece *pieces)
{
    size_t at = 0;

    for (size_t i = 0; i < k->segment_count; i++) {
        size_t from = at;
        while (at < v->len && v->bytes[at] != '#')
            at += v->bytes[at] == '\\' ? 2 : 1;
        if (at > v->len || (at == v->len) != (i + 1 == k->segment_count))
            return false;
        pieces[i] = (struct piece){v->bytes + from, at - from};
        if (!can_be(&p->columns[k->segments[i].column], pieces[i].bytes, pieces[i].len))
            return false;
        at++;
    }
    return true;
}

static int match_part(const struct table_plan *p, size_t i, const struct part_view *v,
                      struct piece pieces[MAX_SEGMENTS])
{
    const struct key_part *k = &p->parts[i];

    if (k->kind == KEY_COLUMN) {
        pieces[0] = (struct piece){v->bytes, v->len};
        return 0;
    }
    if (v->type != ATTR_S || k->segment_count > MAX_SEGMENTS)
        return -EINVAL;
    if (k->kind == KEY_JOINED)
        return match_joined(p, k, v, pieces) ? 0 : -EINVAL;
    struct matching m = {.plan = p, .part = k, .text = v->bytes, .len = v->len, .pieces = pieces};
    _cleanup_free_ char *dead = calloc(k->segment_count + 1, v->len + 1);
    if (!dead)
        return -ENOMEM;
    m.dead = dead;
    return match_from(&m, 0, 0) ? 0 : -EINVAL;
}

bool plan_key_fits(const struct table_plan *p, const void *key, size_t n)
{
    struct part_view views[2];
    struct piece pieces[MAX_SEGMENTS];

    if (!split(&p->schema, key, n, views))
        return false;
    for (size_t i = 0; i < p->schema.count; i++)
        if (match_part(p, i, &views[i], pieces) < 0)
            return false;
    return true;
}

bool plan_key_tells(const struct table_plan *p)
{
    for (size_t i = 0; i < p->schema.count; i++)
        for (size_t k = 0; k < p->parts[i].segment_count; k++) {
            const char *s = p->parts[i].segments[k].literal;
            for (; s && *s; s++)
                if (isalnum((unsigned char)*s) || (unsigned char)*s >= 0x80)
                    return true;
        }
    return false;
}

/* --- templates without a plan ----------------------------------------------------------------- */

/* A word in small letters is a column; one in capitals stands for itself, as plan_make() has it. */
static bool is_column(const char *template)
{
    bool capital = strpbrk(template, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") &&
                   !strpbrk(template, "abcdefghijklmnopqrstuvwxyz");

    return !strchr(template, '{') && !capital;
}

static bool literal_tells(const char *template)
{
    bool column = is_column(template);

    for (const char *p = template; !column && *p; p++) {
        if (*p == '{' && !(p = strchr(p, '}')))
            return false;
        if (isalnum((unsigned char)*p) || (unsigned char)*p >= 0x80)
            return true;
    }
    return false;
}

/* As a shell's pattern, each column a `*`: when what follows one does not fit, it takes more. */
static bool template_fits(const char *template, const char *text, size_t n)
{
    const char *column = NULL;
    size_t at = 0, from = 0;

    if (is_column(template))
        return true;
    while (at < n || *template) {
        const char *end = *template == '{' ? strchr(template, '}') : NULL;
        if (end) {
            column = template = end + 1;
            from = at;
        } else if (at < n && *template && *template == text[at]) {
            template ++;
            at++;
        } else if (column && from < n) {
            template = column;
            at = ++from;
        } else {
            return false;
        }
    }
    return true;
}

bool templates_claim(const char *partition_key, const char *sort_key, const struct key_schema *s,
                     const void *key, size_t n)
{
    const char *const templates[] = {partition_key ? partition_key : "", sort_key ? sort_key : ""};
    struct part_view views[2];
    bool tells = false;

    if (s->count != (*templates[1] ? 2U : 1U) || !*templates[0] || !split(s, key, n, views))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        if (!template_fits(templates[i], views[i].bytes, views[i].len))
            return false;
        tells |= literal_tells(templates[i]);
    }
    return tells;
}

/* --- whose it is ------------------------------------------------------------------------------ */

enum item_claim item_claim(const struct claim_facts *f, const void *key, size_t n,
                           const struct table_plan **plan)
{
    const struct table_plan *fits = NULL, *tells = NULL;
    struct oversize_key chunk = {0};

    /* A chunk is whose its head is. */
    if (oversize_parse_key(key, n, &chunk) > 0) {
        key = chunk.head.data;
        n = chunk.head.len;
    }
    for (size_t i = 0; i < f->count; i++) {
        const struct table_plan *p = f->plans[i];
        if (!plan_key_fits(p, key, n))
            continue;
        fits = fits ? fits : p;
        if (plan_key_tells(p)) {
            tells = p;
            break;
        }
    }
    buf_free(&chunk.head);
    if (plan)
        *plan = tells ? tells : fits;
    return f->known   ? ITEM_OURS_KNOWN
           : tells    ? ITEM_OURS_BY_KEY
           : f->alone ? ITEM_OURS_ALONE
                      : ITEM_FOREIGN;
}

/* --- the row of a key ------------------------------------------------------------------------- */

/* Digits, and perhaps a positive exponent, as the integer that they are. */
static bool integer_of(const char *text, int64_t *out)
{
    char *end;

    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool fits = errno == 0;
    long exponent = fits && *end == 'e' ? strtol(end + 1, &end, 10) : 0;
    fits = fits && *end == '\0' && exponent >= 0 && exponent < 19;
    for (long i = 0; fits && i < exponent; i++)
        fits = !__builtin_mul_overflow(v, 10LL, &v);
    if (fits)
        *out = v;
    return fits;
}

/* As SQLite has it in a column of that affinity: a REAL column holds doubles only. */
static int number_of(const struct piece *s, enum affinity a, struct value *out)
{
    char text[512], *end;
    int64_t v;

    if (s->len == 0 || s->len >= sizeof text)
        return -EINVAL;
    memcpy(text, s->bytes, s->len);
    text[s->len] = '\0';
    if (a != AFFINITY_REAL && integer_of(text, &v)) {
        *out = (struct value){.kind = VALUE_INTEGER, .integer = v};
        return 0;
    }
    double d = strtod(text, &end);
    if (*end != '\0')
        return -EINVAL;
    *out = (struct value){.kind = VALUE_REAL, .real = d};
    return 0;
}

static int text_of(const struct piece *s, bool escaped, struct value *out, struct buf *store)
{
    *out = (struct value){.kind = VALUE_TEXT, .bytes = s->bytes, .len = s->len};
    if (!escaped || !memchr(s->bytes, '\\', s->len))
        return 0;
    size_t from = store->len;
    for (size_t i = 0; i < s->len; i++) {
        i += s->bytes[i] == '\\' && i + 1 < s->len;
        buf_putc(store, s->bytes[i]);
    }
    out->bytes = store->data + from;
    out->len = store->len - from;
    return 0;
}

static int blob_of(const struct piece *s, struct value *out, struct buf *store)
{
    size_t from = store->len;

    if (hex_decode(store, s->bytes, s->len) < 0)
        return -EINVAL;
    *out =
        (struct value){.kind = VALUE_BLOB, .bytes = store->data + from, .len = store->len - from};
    return 0;
}

static int values_of(const struct table_plan *p, const struct key_part *k,
                     const struct piece *pieces, struct value *entry, struct buf *store)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < k->segment_count; i++) {
        const struct key_segment *s = &k->segments[i];
        if (s->literal)
            continue;
        struct value *v = &entry[s->column];
        switch (p->columns[s->column].affinity) {
        case AFFINITY_TEXT:
            rc = text_of(&pieces[i], k->kind == KEY_JOINED, v, store);
            break;
        case AFFINITY_BLOB:
            if (k->kind == KEY_COLUMN)
                *v = (struct value){
                    .kind = VALUE_BLOB, .bytes = pieces[i].bytes, .len = pieces[i].len};
            else
                rc = blob_of(&pieces[i], v, store);
            break;
        default:
            rc = number_of(&pieces[i], p->columns[s->column].affinity, v);
        }
    }
    return rc;
}

/* What was read is right when it makes the same key. */
static int makes(const struct table_plan *p, const struct value *entry, const void *key, size_t n)
{
    _cleanup_buf_ struct buf made = {0};
    struct item_fault fault;
    int rc = item_key(p, entry, &made, NULL, &fault);

    if (rc < 0)
        return rc;
    return made.len == n && memcmp(made.data, key, n) == 0 ? 0 : -EINVAL;
}

int plan_key_row(const struct table_plan *p, const void *key, size_t n, struct value *entry,
                 struct buf *store)
{
    struct part_view views[2];
    struct piece pieces[MAX_SEGMENTS];

    if (p->meeting || !split(&p->schema, key, n, views))
        return -EINVAL;
    if (p->plain_key)
        return item_row_key(p, key, n, entry, store);
    buf_clear(store);
    if (!buf_reserve(store, n)) /* what points into it must not move */
        return -ENOMEM;
    for (size_t i = 0; i < p->schema.count; i++) {
        int rc = match_part(p, i, &views[i], pieces);
        if (rc == 0)
            rc = values_of(p, &p->parts[i], pieces, entry, store);
        if (rc < 0)
            return rc;
    }
    return makes(p, entry, key, n);
}

int item_key_of_json(const struct key_schema *s, const json_t *item, struct buf *key)
{
    for (size_t i = 0; i < s->count; i++) {
        const char type[2] = {(char)s->parts[i].type, '\0'};
        const json_t *v = json_object_get(json_object_get(item, s->parts[i].name), type);
        if (!json_is_string(v))
            return -EINVAL;
        int rc = item_key_part(key, s->parts[i].type, json_string_value(v), json_string_length(v));
        if (rc < 0)
            return rc;
    }
    return buf_ok(key) ? 0 : -ENOMEM;
}
