/* Values of any record, in each dialect: what is taken is JSON again where it is JSON text, valid
 * UTF-8 where it is text, and a number where it is one; into columns of every affinity, with every
 * conversion. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/text.h"
#include "import/record.h"
#include "import/value.h"
#include "mapping/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
    if (!what)
        abort();
}

static void check_datum(const struct datum *d, const struct buf *store)
{
    _cleanup_buf_ struct buf canonical = {0};
    const char *text = store->data ? store->data + d->at : "", *from;
    struct json_text t = {.at = text, .end = text + d->len};

    must(d->at + d->len <= store->len);
    if (d->kind == DATUM_JSON) {
        must(utf8_valid(text, d->len));
        must(json_skip_value(&t, 2 * RECORD_MAX_DEPTH, &from) == 0 && t.at == t.end);
    } else if (d->kind == DATUM_TEXT) {
        must(utf8_valid(text, d->len));
    } else if (d->kind == DATUM_NUMBER) {
        must(number_canonical(&canonical, text, d->len) == 0);
    } else if (d->kind == DATUM_UUID) {
        must(d->len == UUID_TEXT);
    }
}

static void into_columns(const struct datum *d, const struct buf *store)
{
    static const char *const all[] = {NULL,     "bool",   "timestamp",  "epoch",  "json",
                                      "string", "number", "uuid5(dns)", "binary", "base64"};
    _cleanup_buf_ struct buf scratch = {0};
    struct value v;
    struct err err;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct import_conversion c = {0};
        must(!all[i] || import_conversion_parse(all[i], &c, &err) == 0);
        for (int a = AFFINITY_INTEGER; a <= AFFINITY_NONE; a++) {
            err.text[0] = '\0';
            int rc =
                import_value(d, store, (enum affinity)a, all[i] ? &c : NULL, &v, &scratch, &err);
            must(rc == 0 || (rc == -EINVAL && err.text[0]));
            if (rc == 0 && v.kind == VALUE_TEXT)
                must(utf8_valid(v.bytes, v.len));
        }
        import_conversion_clear(&c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record r = {0};
    struct err err = {""};

    if (record_parse(&r, (const char *)data, size, &err) < 0) {
        must(err.text[0]);
        record_free(&r);
        return 0;
    }
    for (size_t i = 0; i < r.count && i < 8; i++)
        for (int dialect = DIALECT_PLAIN; dialect <= DIALECT_DYNAMODB; dialect++) {
            _cleanup_buf_ struct buf store = {0};
            struct datum d;
            int rc = datum_read((enum dialect)dialect, r.fields[i].value, r.fields[i].len, &d,
                                &store, &err);
            must(rc == 0 || (rc == -EINVAL && err.text[0]));
            if (rc == 0) {
                check_datum(&d, &store);
                into_columns(&d, &store);
            }
        }
    (void)datum_is_typed((const char *)data, size);
    record_free(&r);
    return 0;
}
