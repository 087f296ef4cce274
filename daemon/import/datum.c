#include "import/datum.h"

#include <errno.h>

#include "base/text.h"
#include "import/datum_internal.h"
#include "mapping/convert_time.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"

static int clause(struct datum_reader *r, const char *why)
{
    return err_set(r->err, -EINVAL, "%s", why);
}

/* What was checked as JSON before is not read wrong now. */
static int again(struct datum_reader *r)
{
    return clause(r, r->in.why ? r->in.why : "it is not JSON");
}

/* --- as JSON text ----------------------------------------------------------------------------- */

static void put_string(struct buf *out, const struct buf *from, size_t at)
{
    json_append_string(out, from->data ? from->data + at : "", from->len - at);
}

/* A number keeps its text where JSON has such numbers ("1.50", not ".5"). */
static int put_number(const char *text, size_t n, struct buf *out)
{
    struct json_text t = {.at = text, .end = text + n};
    const char *from;
    size_t len;

    if (json_take_number(&t, &from, &len) < 0 || len != n)
        return number_print_decimal(out, text, n);
    buf_append(out, text, n);
    return 0;
}

/* A datum as it stands within a JSON text. */
static int put_datum(const struct datum *d, const struct buf *store, struct buf *out)
{
    const char *text = store->data ? store->data + d->at : "";

    switch (d->kind) {
    case DATUM_NULL:
        buf_lit(out, "null");
        break;
    case DATUM_BOOL:
        buf_puts(out, d->truth ? "true" : "false");
        break;
    case DATUM_NUMBER:
        return put_number(text, d->len, out);
    case DATUM_INFINITE:
        buf_puts(out, d->truth ? "\"-Infinity\"" : "\"Infinity\"");
        break;
    case DATUM_TEXT:
    case DATUM_UUID:
        json_append_string(out, text, d->len);
        break;
    case DATUM_BYTES:
        buf_putc(out, '"');
        base64_append(out, text, d->len);
        buf_putc(out, '"');
        break;
    case DATUM_TIME:
        buf_putc(out, '"');
        time_print(out, d->ms);
        buf_putc(out, '"');
        break;
    case DATUM_JSON:
        buf_append(out, text, d->len);
        break;
    }
    return 0;
}

static int put_array(struct datum_reader *r, unsigned depth, struct buf *out)
{
    bool first = true;
    int rc = 0;

    buf_putc(out, '[');
    while (rc == 0 && !json_take_char(&r->in, ']')) {
        if (!first && !json_take_char(&r->in, ','))
            return again(r);
        buf_puts(out, first ? "" : ",");
        first = false;
        rc = datum_json(r, depth, out);
    }
    buf_putc(out, ']');
    return rc;
}

static int put_object(struct datum_reader *r, unsigned depth, struct buf *out)
{
    _cleanup_json_names_ struct json_names names = {0};
    _cleanup_buf_ struct buf name = {0};
    bool first = true;
    int rc = 0;

    buf_putc(out, '{');
    while (rc == 0 && !json_take_char(&r->in, '}')) {
        if (!first && !json_take_char(&r->in, ','))
            return again(r);
        buf_puts(out, first ? "" : ",");
        first = false;
        buf_clear(&name);
        if (!json_take_char(&r->in, '"') || json_take_string(&r->in, &name) < 0 ||
            !json_take_char(&r->in, ':'))
            return again(r);
        json_names_add(&names, name.data ? name.data : "", name.len);
        put_string(out, &name, 0);
        buf_putc(out, ':');
        rc = datum_json(r, depth, out);
    }
    buf_putc(out, '}');
    if (rc == 0)
        rc = json_names_check(&names);
    return rc == -EINVAL && !r->err->text[0] ? clause(r, "an object has the same key twice") : rc;
}

/* {"$oid": …} within a document: 1 and put, 0 when it is an object like any other. */
static int put_wrapped(struct datum_reader *r, struct buf *out)
{
    _cleanup_buf_ struct buf store = {0};
    struct datum d;
    struct datum_reader inner = {
        .in = r->in, .dialect = r->dialect, .store = &store, .err = r->err};
    int rc = extended_read(&inner, &d);

    if (rc != 1)
        return rc;
    r->in.at = inner.in.at;
    rc = put_datum(&d, &store, out);
    return rc < 0 ? rc : 1;
}

/* The value at the cursor, onto `out` as JSON text. */
int datum_json(struct datum_reader *r, unsigned depth, struct buf *out)
{
    const char *from;
    int rc;

    if (depth == 0)
        return clause(r, "it is nested too deep");
    if (r->dialect == DIALECT_DYNAMODB)
        return typed_json(r, depth, out);
    json_skip_space(&r->in);
    if (r->dialect == DIALECT_EXTENDED && (rc = put_wrapped(r, out)) != 0)
        return rc < 0 ? rc : 0;
    if (json_take_char(&r->in, '{'))
        return put_object(r, depth - 1, out);
    if (json_take_char(&r->in, '['))
        return put_array(r, depth - 1, out);
    if (r->in.at < r->in.end && *r->in.at == '"') {
        _cleanup_buf_ struct buf text = {0};
        r->in.at++;
        if (json_take_string(&r->in, &text) < 0)
            return again(r);
        put_string(out, &text, 0);
        return buf_ok(&text) ? 0 : -ENOMEM;
    }
    if (json_skip_value(&r->in, 1, &from) < 0)
        return again(r);
    buf_append(out, from, (size_t)(r->in.at - from));
    return 0;
}

/* --- a value ---------------------------------------------------------------------------------- */

static int read_nested(struct datum_reader *r, struct datum *out)
{
    size_t at = r->store->len;
    int rc = datum_json(r, RECORD_MAX_DEPTH, r->store);

    *out = (struct datum){.kind = DATUM_JSON, .at = at, .len = r->store->len - at};
    return rc;
}

static int read_bare(struct datum_reader *r, struct datum *out)
{
    enum json_word word;
    const char *from;
    size_t n;

    if (*r->in.at == '-' || (*r->in.at >= '0' && *r->in.at <= '9')) {
        if (json_take_number(&r->in, &from, &n) < 0)
            return again(r);
        *out = (struct datum){.kind = DATUM_NUMBER, .at = r->store->len, .len = n};
        buf_append(r->store, from, n);
        return 0;
    }
    if (json_take_word(&r->in, &word) < 0)
        return again(r);
    *out = (struct datum){.kind = word == JSON_WORD_NULL ? DATUM_NULL : DATUM_BOOL,
                          .truth = word == JSON_WORD_TRUE};
    return 0;
}

/* A value of plain or Extended JSON. */
int datum_value(struct datum_reader *r, struct datum *out)
{
    int rc;

    json_skip_space(&r->in);
    if (r->in.at == r->in.end)
        return again(r);
    if (*r->in.at == '"') {
        size_t at = r->store->len;
        r->in.at++;
        if (json_take_string(&r->in, r->store) < 0)
            return again(r);
        *out = (struct datum){.kind = DATUM_TEXT, .at = at, .len = r->store->len - at};
        return 0;
    }
    if (r->dialect == DIALECT_EXTENDED && (rc = extended_read(r, out)) != 0)
        return rc < 0 ? rc : 0;
    return *r->in.at == '{' || *r->in.at == '[' ? read_nested(r, out) : read_bare(r, out);
}

int datum_read(enum dialect dialect, const char *text, size_t n, struct datum *out,
               struct buf *store, struct err *err)
{
    struct datum_reader r = {
        .in = {.at = text, .end = text + n}, .dialect = dialect, .store = store, .err = err};
    struct datum d;

    err->text[0] = '\0';
    int rc = dialect == DIALECT_DYNAMODB ? typed_read(&r, &d) : datum_value(&r, &d);
    if (rc == 0 && !buf_ok(store))
        rc = -ENOMEM;
    if (rc == 0)
        *out = d;
    return rc;
}
