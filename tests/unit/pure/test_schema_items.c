/* How a schema dump lies in the meta table, and in which order it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dynamodb/schema_items.h"

/* The bodies as lines: "+KIND" for a put, "-KIND" for a delete, a blank line between requests. */
static void steps(const char *text, size_t n, const char *version, const struct schema_named *head,
                  const struct schema_named *writing, struct buf *out)
{
    const struct schema_kept k = {.table = "meta",
                                  .id = "db",
                                  .version = version,
                                  .database = "/a \"b\".db",
                                  .host = "h",
                                  .at = "now",
                                  .text = text,
                                  .len = n};
    size_t count = 0;
    struct buf *bodies = schema_write_bodies(&k, head, writing, &count);

    assert_non_null(bodies);
    for (size_t i = 0; i < count; i++) {
        json_t *root = json_loadb(bodies[i].data, bodies[i].len, JSON_REJECT_DUPLICATES, NULL);
        const json_t *list = json_object_get(json_object_get(root, "RequestItems"), "meta");
        size_t at;
        json_t *one;
        assert_true(json_array_size(list) >= 1 && json_array_size(list) <= 25);
        json_array_foreach(list, at, one)
        {
            const json_t *put = json_object_get(json_object_get(one, "PutRequest"), "Item");
            const json_t *gone = json_object_get(json_object_get(one, "DeleteRequest"), "Key");
            const json_t *kind = json_object_get(put ? put : gone, "kind");
            buf_printf(out, "%s%s ", put ? "+" : "-",
                       json_string_value(json_object_get(kind, "S")));
        }
        buf_puts(out, "; ");
        json_decref(root);
        buf_free(&bodies[i]);
    }
    free(bodies);
}

static void expect(size_t bytes, const char *version, struct schema_named head,
                   struct schema_named writing, const char *lines)
{
    char *text = malloc(bytes + 1);
    _cleanup_buf_ struct buf got = {0};

    assert_non_null(text);
    memset(text, 'x', bytes);
    steps(text, bytes, version, &head, &writing, &got);
    assert_string_equal(got.data, lines);
    free(text);
}

#define NONE ((struct schema_named){0})

static void a_small_one_is_one_item(void **state)
{
    (void)state;
    expect(100, "v1", NONE, NONE, "+schema ; ");
    expect(100, "v2", (struct schema_named){.version = "v1"}, NONE, "+schema ; ");
}

static void pieces_are_there_before_the_head_names_them_and_go_after(void **state)
{
    (void)state;
    expect(SCHEMA_PIECE_BYTES + 1, "v1", NONE, NONE,
           "+schema/writing ; +schema/v1/000 +schema/v1/001 ; +schema ; -schema/writing ; ");
    expect(SCHEMA_PIECE_BYTES + 1, "v2", (struct schema_named){.version = "v1", .pieces = 2}, NONE,
           "+schema/writing ; +schema/v2/000 +schema/v2/001 ; +schema ; -schema/v1/000 "
           "-schema/v1/001 ; -schema/writing ; ");
    expect(10, "v2", (struct schema_named){.version = "v1", .pieces = 1}, NONE,
           "+schema/writing ; +schema ; -schema/v1/000 ; -schema/writing ; ");
}

static void what_an_interrupted_writer_left_goes(void **state)
{
    (void)state;
    /* Killed among the pieces of v2; the head is v1's. */
    expect(10, "v3", (struct schema_named){.version = "v1", .pieces = 1},
           (struct schema_named){.version = "v2", .pieces = 2, .before = "v1", .before_pieces = 1},
           "-schema/v2/000 -schema/v2/001 ; +schema/writing ; +schema ; -schema/v1/000 ; "
           "-schema/writing ; ");
    /* Killed once the head was v2's: v1's pieces are still there. */
    expect(10, "v2", (struct schema_named){.version = "v2"},
           (struct schema_named){.version = "v2", .before = "v1", .before_pieces = 1},
           "-schema/v1/000 ; +schema ; -schema/writing ; ");
}

/* A piece that ended within a character would be two broken ones. */
static void characters_are_not_cut(void **state)
{
    enum { PAIRS = SCHEMA_PIECE_BYTES };
    char *text = malloc(2 * PAIRS + 1);
    size_t bytes = 0, count = 0;

    (void)state;
    assert_non_null(text);
    text[0] = 'x';
    for (size_t i = 0; i < PAIRS; i++)
        memcpy(text + 1 + 2 * i, "\xc3\xa9", 2);
    const struct schema_kept k = {"meta", "db", "v",          "",
                                  "",     "",   .text = text, .len = 2 * PAIRS + 1};
    struct buf *bodies = schema_write_bodies(&k, &NONE, &NONE, &count);
    assert_non_null(bodies);
    for (size_t i = 0; i < count; i++) {
        json_auto_t *root = json_loadb(bodies[i].data, bodies[i].len, 0, NULL);
        const json_t *list = json_object_get(json_object_get(root, "RequestItems"), "meta");
        size_t at;
        json_t *one;
        assert_non_null(root);
        json_array_foreach(list, at, one)
        {
            const json_t *item = json_object_get(json_object_get(one, "PutRequest"), "Item");
            const char *s = json_string_value(json_object_get(json_object_get(item, "text"), "S"));
            bytes += s ? strlen(s) : 0;
            assert_null(s ? strstr(s, "\xef\xbf\xbd") : NULL);
        }
        buf_free(&bodies[i]);
    }
    free(bodies);
    free(text);
    assert_int_equal(bytes, 2 * PAIRS + 1);
}

static void names_are_read_back(void **state)
{
    static const char reply[] =
        "{\"Item\":{\"version\":{\"S\":\"v2\"},\"pieces\":{\"N\":\"3\"},\"before\":{\"S\":\"v1\"},"
        "\"before_pieces\":{\"N\":\"999999\"},\"text\":{\"S\":\"abc\"}}}";
    json_auto_t *root = json_loads(reply, 0, NULL), *empty = json_loads("{}", 0, NULL);
    struct schema_named named;
    size_t n;

    (void)state;
    assert_true(schema_read_named(root, &named));
    assert_string_equal(named.version, "v2");
    assert_string_equal(named.before, "v1");
    assert_int_equal(named.pieces, 3);
    assert_int_equal(named.before_pieces, SCHEMA_MAX_PIECES);
    assert_string_equal(schema_read_text(root, &n), "abc");
    assert_int_equal(n, 3);
    assert_false(schema_read_named(empty, &named));
    assert_null(schema_read_text(empty, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_one_is_one_item),
        cmocka_unit_test(pieces_are_there_before_the_head_names_them_and_go_after),
        cmocka_unit_test(what_an_interrupted_writer_left_goes),
        cmocka_unit_test(characters_are_not_cut),
        cmocka_unit_test(names_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
