#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "import/datum_internal.h"
#include "mapping/number.h"

enum typed { TYPED_S, TYPED_N, TYPED_B, TYPED_BOOL, TYPED_NULL, TYPED_M, TYPED_L, TYPED_SETS };

static const char *const names[] = {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"};

static int wrong(struct datum_reader *r, const char *why)
{
    return err_set(r->err, -EINVAL, "%s", why);
}

/* {"S": and the value comes next: its number in `names`, or negative. */
static int open_type(struct json_text *t)
{
    char name[8];
    size_t n = 0;

    if (!json_take_char(t, '{') || !json_take_char(t, '"'))
        return -EINVAL;
    while (t->at < t->end && *t->at != '"' && n < sizeof name - 1)
        name[n++] = *t->at++;
    name[n] = '\0';
    if (!json_take_char(t, '"') || !json_take_char(t, ':'))
        return -EINVAL;
    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -EINVAL;
}

static int take_text(struct datum_reader *r, struct buf *out)
{
    if (!json_take_char(&r->in, '"'))
        return wrong(r, "an attribute of type S, N or B is not a string");
    return json_take_string(&r->in, out) < 0 ? wrong(r, r->in.why) : 0;
}

static int read_number(struct datum_reader *r, struct datum *out)
{
    _cleanup_buf_ struct buf canonical = {0};
    size_t at = r->store->len;
    int rc = take_text(r, r->store);

    if (rc < 0)
        return rc;
    if (number_canonical(&canonical, r->store->data + at, r->store->len - at) < 0)
        return wrong(r, "an attribute of type N is not a number");
    *out =
        (struct datum){.kind = DATUM_NUMBER, .at = at, .len = r->store->len - at, .decimal = true};
    return 0;
}

static int read_bytes(struct datum_reader *r, struct datum *out)
{
    _cleanup_buf_ struct buf base64 = {0};
    size_t at = r->store->len;
    int rc = take_text(r, &base64);

    if (rc < 0)
        return rc;
    if (base64_decode(r->store, base64.data ? base64.data : "", base64.len) < 0)
        return wrong(r, "an attribute of type B is not base64");
    *out = (struct datum){.kind = DATUM_BYTES, .at = at, .len = r->store->len - at};
    return 0;
}

static int read_word(struct datum_reader *r, enum typed type, struct datum *out)
{
    enum json_word word;

    json_skip_space(&r->in);
    if (json_take_word(&r->in, &word) < 0 || word == JSON_WORD_NULL)
        return wrong(r, "an attribute of type BOOL or NULL is neither true nor false");
    *out = (struct datum){.kind = type == TYPED_NULL ? DATUM_NULL : DATUM_BOOL,
                          .truth = word == JSON_WORD_TRUE};
    return 0;
}

/* --- as JSON text ----------------------------------------------------------------------------- */

/* An element of a set: a string as DynamoDB writes it. */
static int put_element(struct datum_reader *r, char set, struct buf *out)
{
    _cleanup_buf_ struct buf text = {0}, bytes = {0};
    int rc = take_text(r, &text);
    const char *s = text.data ? text.data : "";

    if (rc < 0)
        return rc;
    if (set == 'N')
        return number_print_decimal(out, s, text.len) < 0 ? wrong(r, "a number in a set is none")
                                                          : 0;
    if (set == 'B' && base64_decode(&bytes, s, text.len) < 0)
        return wrong(r, "a binary in a set is not base64");
    json_append_string(out, s, text.len);
    return 0;
}

static int put_list(struct datum_reader *r, char set, unsigned depth, struct buf *out)
{
    bool first = true;
    int rc = 0;

    if (!json_take_char(&r->in, '['))
        return wrong(r, "an attribute of type L or a set is not an array");
    buf_putc(out, '[');
    while (rc == 0 && !json_take_char(&r->in, ']')) {
        if (!first && !json_take_char(&r->in, ','))
            return wrong(r, "an array lacks a comma");
        buf_puts(out, first ? "" : ",");
        first = false;
        rc = set ? put_element(r, set, out) : typed_json(r, depth, out);
    }
    buf_putc(out, ']');
    return rc;
}

static int put_map(struct datum_reader *r, unsigned depth, struct buf *out)
{
    _cleanup_json_names_ struct json_names seen = {0};
    _cleanup_buf_ struct buf name = {0};
    bool first = true;
    int rc = 0;

    if (!json_take_char(&r->in, '{'))
        return wrong(r, "an attribute of type M is not an object");
    buf_putc(out, '{');
    while (rc == 0 && !json_take_char(&r->in, '}')) {
        if (!first && !json_take_char(&r->in, ','))
            return wrong(r, "an object lacks a comma");
        buf_puts(out, first ? "" : ",");
        first = false;
        buf_clear(&name);
        if (!json_take_char(&r->in, '"') || json_take_string(&r->in, &name) < 0 ||
            !json_take_char(&r->in, ':'))
            return wrong(r, "an object lacks a key");
        json_names_add(&seen, name.data ? name.data : "", name.len);
        json_append_string(out, name.data ? name.data : "", name.len);
        buf_putc(out, ':');
        rc = typed_json(r, depth, out);
    }
    buf_putc(out, '}');
    if (rc == 0 && json_names_check(&seen) == -EINVAL)
        rc = wrong(r, "an object has the same key twice");
    return rc;
}

/* A scalar within a document. */
static int put_scalar(struct datum_reader *r, enum typed type, struct buf *out)
{
    _cleanup_buf_ struct buf text = {0}, ignored = {0};
    struct datum d;
    int rc;

    if (type == TYPED_BOOL || type == TYPED_NULL) {
        if ((rc = read_word(r, type, &d)) == 0)
            buf_puts(out, d.kind == DATUM_NULL ? "null" : d.truth ? "true" : "false");
        return rc;
    }
    if ((rc = take_text(r, &text)) < 0)
        return rc;
    const char *s = text.data ? text.data : "";
    if (type == TYPED_N)
        return number_print_decimal(out, s, text.len) < 0
                   ? wrong(r, "an attribute of type N is not a number")
                   : 0;
    if (type == TYPED_B && base64_decode(&ignored, s, text.len) < 0)
        return wrong(r, "an attribute of type B is not base64");
    json_append_string(out, s, text.len);
    return 0;
}

static int close_type(struct datum_reader *r)
{
    return json_take_char(&r->in, '}') ? 0 : wrong(r, "a value has more than one type");
}

static int put_typed(struct datum_reader *r, int type, unsigned depth, struct buf *out)
{
    if (type == TYPED_M)
        return put_map(r, depth, out);
    if (type == TYPED_L || type >= TYPED_SETS)
        return put_list(r, type == TYPED_L ? '\0' : names[type][0], depth, out);
    return put_scalar(r, (enum typed)type, out);
}

int typed_json(struct datum_reader *r, unsigned depth, struct buf *out)
{
    int type = open_type(&r->in);

    if (type < 0)
        return wrong(r, "a value has no type of DynamoDB's ({\"S\": …})");
    if (depth == 0)
        return wrong(r, "it is nested too deep");
    int rc = put_typed(r, type, depth - 1, out);
    return rc < 0 ? rc : close_type(r);
}

/* --- a value ---------------------------------------------------------------------------------- */

int typed_read(struct datum_reader *r, struct datum *out)
{
    int type = open_type(&r->in), rc;
    size_t at = r->store->len;

    if (type < 0)
        return wrong(r, "a value has no type of DynamoDB's ({\"S\": …})");
    switch (type) {
    case TYPED_S:
        rc = take_text(r, r->store);
        *out = (struct datum){.kind = DATUM_TEXT, .at = at, .len = r->store->len - at};
        break;
    case TYPED_N:
        rc = read_number(r, out);
        break;
    case TYPED_B:
        rc = read_bytes(r, out);
        break;
    case TYPED_BOOL:
    case TYPED_NULL:
        rc = read_word(r, (enum typed)type, out);
        break;
    default:
        rc = put_typed(r, type, RECORD_MAX_DEPTH, r->store);
        *out = (struct datum){.kind = DATUM_JSON, .at = at, .len = r->store->len - at};
    }
    return rc < 0 ? rc : close_type(r);
}

bool datum_is_typed(const char *text, size_t n)
{
    struct json_text t = {.at = text, .end = text + n};
    _cleanup_buf_ struct buf name = {0};
    const char *from;
    bool any = false;

    if (!json_take_char(&t, '{'))
        return false;
    while (json_take_char(&t, '"')) {
        buf_clear(&name);
        if (json_take_string(&t, &name) < 0 || !json_take_char(&t, ':') ||
            json_skip_value(&t, RECORD_MAX_DEPTH, &from) < 0)
            return false;
        struct json_text value = {.at = from, .end = t.at};
        if (open_type(&value) < 0 || json_skip_value(&value, RECORD_MAX_DEPTH, &from) < 0 ||
            !json_take_char(&value, '}'))
            return false;
        any = true;
        json_take_char(&t, ',');
    }
    return any && json_take_char(&t, '}');
}

bool datum_begins_typed(const char *text, size_t n)
{
    struct json_text t = {.at = text, .end = text + n};
    _cleanup_buf_ struct buf name = {0};

    return json_take_char(&t, '{') && json_take_char(&t, '"') && json_take_string(&t, &name) == 0 &&
           json_take_char(&t, ':') && open_type(&t) >= 0;
}
