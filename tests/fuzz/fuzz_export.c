/* What an operator writes of an export, and what items hold, of any bytes. Three parts, divided by
 * newlines: a pattern, a column, an attribute. A pattern that is taken cuts a text (the
 * attribute's) in pieces that are all of it; a column that is taken can be said as SQL; a value
 * that is taken is the same in the eyes of what compares it, comes back from a line of COPY, and is
 * JSON in a line of JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "export/convert.h"
#include "export/line.h"
#include "export/pattern.h"
#include "export/same.h"
#include "export/sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
    if (!what)
        abort();
}

/* Up to the next newline or the end, as a C string without NULs. */
static char *next_part(const char **at, const char *end)
{
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    char *part = strndup(*at, (size_t)((stop ? stop : end) - *at));

    must(part != NULL);
    *at = stop ? stop + 1 : end;
    return part;
}

static void pattern(const char *spec, const char *text, size_t n)
{
    struct pattern_span spans[PATTERN_MAX_PARTS];
    struct err err = {""};
    struct pattern p;
    size_t part = 0, whole = 0;

    if (pattern_parse(spec, &p, &err) < 0) {
        must(err.text[0] && p.count == 0);
        return;
    }
    enum pattern_match how = pattern_match(&p, text, n, spans, &part);
    must(part <= p.count);
    for (size_t i = 0; how >= PATTERN_SHAPED && i < p.count; i++) {
        must(spans[i].at == text + whole);
        must(spans[i].n > 0);
        whole += spans[i].n;
    }
    must(how < PATTERN_SHAPED || whole == n);
    pattern_clear(&p);
}

static void lines(const struct export_column *c, const struct line_value *v)
{
    _cleanup_buf_ struct buf copy = {0}, json = {0}, csv = {0}, field = {0};
    bool null;

    line_append(LINE_COPY, c, 1, v, &copy);
    const char *at = copy.data, *end = copy.data + copy.len - 1;
    must(memchr(copy.data, '\n', copy.len) == end);
    must(line_copy_field(&at, end, &field, &null) && null == v->null);
    must(field.len == (null ? 0 : v->n));
    must(null || field.len == 0 || memcmp(field.data, v->text, v->n) == 0);
    line_append(LINE_JSON, c, 1, v, &json);
    must(memchr(json.data, '\n', json.len) == json.data + json.len - 1);
    json_t *o = json_loadb(json.data, json.len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    must(json_object_size(o) == 1);
    json_decref(o);
    line_append(LINE_CSV, c, 1, v, &csv);
}

static void value(const struct export_column *c, const json_t *attribute)
{
    _cleanup_buf_ struct buf text = {0};
    struct export_fault f = {0};
    bool null = false;

    if (export_convert(c, attribute, &text, &null, &f) < 0) {
        must(f.text[0] && utf8_valid(f.text, strlen(f.text)));
        return;
    }
    const char *shown = null ? NULL : text.len ? text.data : "";
    must(export_same(c, attribute, shown, text.len));
    const struct line_value v = {null, shown, text.len};
    lines(c, &v);
}

static void column(const char *spec, const json_t *attribute)
{
    struct err err = {""};
    struct export_column c;
    _cleanup_buf_ struct buf sql = {0};

    if (export_column_parse("c", spec, &c, &err) < 0) {
        must(err.text[0] != '\0');
        return;
    }
    const struct sql_table t = {"t", &c, 1};
    sql_create_table(&t, &sql);
    must(sql.len > 0);
    if (export_fallback_check(&c, &err) == 0)
        value(&c, attribute);
    export_column_clear(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    _cleanup_free_ char *spec = next_part(&at, end), *of_column = next_part(&at, end);
    json_t *attribute = json_loadb(at, (size_t)(end - at), JSON_ALLOW_NUL, NULL);

    /* As an item's are: an object of one member. */
    if (!utf8_valid(spec, strlen(spec)) || !utf8_valid(of_column, strlen(of_column)))
        goto out;
    pattern(spec, at, (size_t)(end - at));
    if (!attribute || json_is_object(attribute))
        column(of_column, attribute);
out:
    json_decref(attribute);
    return 0;
}
