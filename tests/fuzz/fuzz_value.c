/* Values, numbers, keys and texts of any bytes: what is read is written again as it was, and what
 * is written is JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "mapping/item.h"
#include "mapping/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS = 3 };

static void same_bytes(const struct buf *a, const void *bytes, size_t n)
{
    if (a->len != n || (n && memcmp(a->data, bytes, n) != 0))
        abort();
}

static void parses(const struct buf *json)
{
    json_t *v = json_loadb(json->data, json->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (!v)
        abort();
    json_decref(v);
}

/* --- values ----------------------------------------------------------------------------------- */

static size_t decode(const uint8_t *data, size_t size, struct value *out, size_t count)
{
    _cleanup_buf_ struct buf again = {0}, words = {0};
    size_t at = 0, n = 0;

    while (n < count && value_decode(data, size, &at, &out[n]) == 0) {
        value_encode(&again, &out[n]);
        value_describe(&words, &out[n]);
        n++;
    }
    same_bytes(&again, data, at);
    if ((values_decode(data, at, out, n) == 0) != true)
        abort();
    return n;
}

/* A plan for three columns, with a key of the given affinities. */
static struct table_plan *plan_of(enum affinity first, enum affinity second, size_t keys)
{
    struct column_info columns[COLUMNS] = {
        {.name = (char *)"a", .type = (char *)"", .affinity = first, .collation = (char *)"BINARY"},
        {.name = (char *)"b",
         .type = (char *)"",
         .affinity = second,
         .collation = (char *)"BINARY"},
        {.name = (char *)"c", .type = (char *)"", .collation = (char *)"BINARY"}};
    size_t key[COLUMNS] = {0, 1, 2};
    const struct table_info t = {.name = (char *)"things",
                                 .columns = columns,
                                 .column_count = COLUMNS,
                                 .key = key,
                                 .key_count = keys,
                                 .sql = (char *)""};
    const struct plan_options o = {.write_null = true};
    struct table_plan *p = NULL;
    struct err err;

    columns[2].affinity = AFFINITY_TEXT;
    if (plan_make(&t, &o, &p, &err) < 0)
        abort();
    return p;
}

/* As SQLite would have kept the values: a REAL column has no integers. */
static void store_values(const struct table_plan *p, struct value *row)
{
    for (size_t i = 0; i < COLUMNS; i++)
        if (p->columns[i].affinity == AFFINITY_REAL && row[i].kind == VALUE_INTEGER)
            row[i] = (struct value){.kind = VALUE_REAL, .real = (double)row[i].integer};
}

static void encode_row(const struct table_plan *p, const struct value *row)
{
    _cleanup_buf_ struct buf item = {0}, key = {0}, json = {0}, again = {0}, store = {0};
    struct item_fault fault = {.code = NULL};
    struct value back[COLUMNS];
    size_t size;

    if (item_encode(p, row, &item, &size, &fault) == 0)
        parses(&item);
    else if (!fault.code || !fault.text[0])
        abort();
    fault.code = NULL;
    int alone = item_key(p, row, &again, NULL, &fault); /* without its JSON, a shorter way */
    if (item_key(p, row, &key, &json, &fault) != alone)
        abort();
    if (alone < 0) {
        if (!fault.code || !fault.text[0])
            abort();
        return;
    }
    same_bytes(&again, key.data, key.len);
    buf_clear(&again);
    parses(&json);
    buf_clear(&json);
    if (item_key_json(&p->schema, key.data, key.len, &json) < 0)
        abort();
    parses(&json);
    if (!p->plain_key)
        return;
    if (item_row_key(p, key.data, key.len, back, &store) < 0 ||
        item_key(p, back, &again, NULL, &fault) < 0)
        abort();
    same_bytes(&again, key.data, key.len);
}

static void as_rows(const uint8_t *data, size_t size)
{
    static const enum affinity affinities[][2] = {{AFFINITY_INTEGER, AFFINITY_TEXT},
                                                  {AFFINITY_TEXT, AFFINITY_REAL},
                                                  {AFFINITY_BLOB, AFFINITY_NUMERIC}};
    struct value row[COLUMNS], stored[COLUMNS];

    if (decode(data, size, row, COLUMNS) < COLUMNS)
        return;
    for (size_t i = 0; i < 3; i++)
        for (size_t keys = 1; keys <= COLUMNS; keys++) {
            struct table_plan *p = plan_of(affinities[i][0], affinities[i][1], keys);
            memcpy(stored, row, sizeof row);
            store_values(p, stored);
            encode_row(p, stored);
            plan_free(p);
        }
}

/* --- keys, numbers, texts --------------------------------------------------------------------- */

static void as_keys(const uint8_t *data, size_t size)
{
    struct table_plan *p = plan_of(AFFINITY_TEXT, AFFINITY_NUMERIC, 2);
    _cleanup_buf_ struct buf json = {0}, store = {0};
    struct value row_key[COLUMNS];

    item_row_key(p, data, size, row_key, &store);
    item_key_json(&p->schema, data, size, &json);
    plan_free(p);
}

static void as_number(const char *text, size_t n)
{
    _cleanup_buf_ struct buf one = {0}, two = {0};
    char longer[64];

    if (number_size(text, n) < 1 || number_size(text, n) > n + 2)
        abort();
    if (n < sizeof longer - 2 && !memchr(text, 'e', n) && !memchr(text, 'E', n)) {
        memcpy(longer, text, n); /* an exponent is ignored, and takes a longer way */
        memcpy(longer + n, "e0", 2);
        if (number_size(longer, n + 2) != number_size(text, n))
            abort();
    }
    if (number_canonical(&one, text, n) < 0)
        return;
    if (number_canonical(&two, one.data, one.len) < 0)
        abort();
    same_bytes(&two, one.data, one.len);
}

static void as_double(const uint8_t *data)
{
    _cleanup_buf_ struct buf text = {0}, canonical = {0};
    double d, back;

    memcpy(&d, data, sizeof d);
    if (number_check_double(d) < 0)
        return;
    number_print_double(&text, d);
    back = strtod(text.data, NULL);
    if (back != d || number_canonical(&canonical, text.data, text.len) < 0 ||
        strtod(canonical.data, NULL) != d)
        abort();
}

static void as_text(const char *text, size_t n)
{
    _cleanup_buf_ struct buf json = {0}, raw = {0}, again = {0};

    json_append_string_lossy(&json, text, n);
    parses(&json);
    bool valid = utf8_valid(text, n);
    if (json_append_utf8(&raw, text, n) != valid || (!valid && raw.len))
        abort();
    if (valid) {
        json_append_string(&again, text, n);
        same_bytes(&again, json.data, json.len);
        same_bytes(&raw, json.data, json.len);
    }
    buf_clear(&again);
    buf_clear(&raw);
    if (base64_decode(&raw, text, n) == 0) {
        base64_append(&again, raw.data, raw.len);
        same_bytes(&again, text, n);
    } else if (raw.len) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_rows(data, size);
    as_keys(data, size);
    as_number((const char *)data, size);
    as_text((const char *)data, size);
    if (size >= sizeof(double))
        as_double(data);
    return 0;
}
