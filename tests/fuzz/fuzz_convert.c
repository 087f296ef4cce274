/* Conversions of any bytes: JSON that is taken is JSON afterwards, comes back as the same value,
 * and is no deeper than DynamoDB takes; a time that is taken prints as itself; every other
 * conversion answers, and its answer leads to itself again. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "mapping/convert_json.h"
#include "mapping/convert_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
    if (!what)
        abort();
}

static unsigned depth(const json_t *attribute)
{
    unsigned deepest = 0;
    const char *key;
    size_t i;
    json_t *v;

    json_array_foreach(json_object_get(attribute, "L"), i, v)
    {
        unsigned d = depth(v);
        deepest = d > deepest ? d : deepest;
    }
    json_object_foreach(json_object_get(attribute, "M"), key, v)
    {
        unsigned d = depth(v);
        deepest = d > deepest ? d : deepest;
    }
    return deepest + 1;
}

/* The attribute of a text as JSON; NULL: the text is refused. */
static json_t *attribute_of(const char *text, size_t n, size_t *bytes)
{
    _cleanup_buf_ struct buf out = {0};
    struct item_fault f = {0};

    buf_putc(&out, '{');
    *bytes = 0;
    if (json_to_attribute(text, n, &out, bytes, &f) < 0) {
        must(f.code && f.text[0]);
        return NULL;
    }
    json_t *o = json_loadb(out.data, out.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    must(o && json_object_size(o) == 1 && depth(o) <= JSON_MAX_DEPTH + 1);
    return o;
}

static void json_text(const char *text, size_t n)
{
    _cleanup_buf_ struct buf back = {0}, again = {0};
    size_t bytes, more;
    json_t *o = attribute_of(text, n, &bytes);

    if (!o)
        return;
    void *i = json_object_iter(o);
    must(json_from_attribute(json_object_iter_key(i), json_object_iter_value(i), &back) == 0);
    json_t *p = attribute_of(back.data, back.len, &more);
    must(p != NULL);
    i = json_object_iter(p);
    must(json_from_attribute(json_object_iter_key(i), json_object_iter_value(i), &again) == 0);
    must(again.len == back.len && memcmp(again.data, back.data, back.len) == 0);
    json_decref(o);
    json_decref(p);
}

static void time_text(const char *text, size_t n)
{
    _cleanup_buf_ struct buf iso = {0};
    int64_t ms, again;

    if (time_parse(text, n, &ms) < 0)
        return;
    time_print(&iso, ms);
    must(time_parse(iso.data, iso.len, &again) == 0 && again == ms);
}

/* What a conversion makes of what it gave back is what it made first. */
static void through(const char *conversion, enum affinity affinity, const struct value *v)
{
    _cleanup_buf_ struct buf out = {0}, store = {0};
    struct conversion c;
    struct item_fault f = {0};
    struct value back = {.kind = VALUE_NULL};
    size_t size = 0;

    must(conversion_parse(conversion, &c, NULL) == 0);
    buf_putc(&out, '{');
    if (convert_attribute(&c, affinity, v, &out, &size, &f) == 0) {
        json_t *o = json_loadb(out.data, out.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        must(o != NULL);
        void *i = json_object_iter(o);
        must(convert_back(&c, affinity, json_object_iter_key(i), json_object_iter_value(i), &back,
                          &store) == 0);
        must(back.kind != VALUE_NULL || c.kind == CONVERT_UUID5 || c.kind == CONVERT_JSON);
        json_decref(o);
    } else {
        must(f.code && f.text[0]);
    }
    conversion_clear(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const all[] = {"bool",   "timestamp", "timestamp(unix)", "epoch(ms)", "json",
                                      "string", "number",    "uuid5(dns)",      "binary"};
    const char *text = (const char *)data;
    struct value v = {.kind = VALUE_TEXT, .bytes = text, .len = size}, number;
    struct conversion parsed;
    char word[64];

    json_text(text, size);
    time_text(text, size);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        through(all[i], (enum affinity)(size % 6), &v);
        if (size < 8)
            continue;
        number = (struct value){.kind = VALUE_INTEGER};
        memcpy(&number.integer, data, 8);
        through(all[i], AFFINITY_INTEGER, &number);
        number.kind = VALUE_REAL;
        memcpy(&number.real, data, 8);
        if (number.real == number.real) /* SQLite has no NaN */
            through(all[i], AFFINITY_REAL, &number);
    }
    if (size < sizeof word && !memchr(data, 0, size)) {
        memcpy(word, data, size);
        word[size] = '\0';
        if (conversion_parse(word, &parsed, NULL) == 0)
            conversion_clear(&parsed);
    }
    return 0;
}
