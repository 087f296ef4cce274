/* The spool: what is wrong among records (duplicates, references that lead nowhere, chains of
 * them), and the order in which a table that refers to itself can be filled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobs/export_spool.h"

static struct spool *opened(void)
{
    struct spool *s = NULL;
    struct err err;

    if (spool_open(2, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static int64_t add(struct spool *s, size_t table, const char *key, const char *item,
                   const char *refers)
{
    struct spool_record r = {
        .key = {key, strlen(key)}, .item = {item, strlen(item)}, .line = {item, strlen(item)}};
    struct err err;

    assert_int_equal(spool_add(s, table, &r, &err), 0);
    if (refers)
        assert_int_equal(spool_add_reference(s, table, r.id, 3,
                                             &(struct spool_bytes){refers, strlen(refers)}, &err),
                         0);
    return r.id;
}

static void expect_rows(struct spool *s, size_t table, const char *wanted)
{
    _cleanup_buf_ struct buf got = {0};
    struct spool_record r;
    struct err err;
    int64_t count;
    int n = 0;

    assert_int_equal(spool_rewind(s, table, &err), 0);
    for (; spool_next(s, &r, &err) == 1; n++)
        buf_printf(&got, "%.*s ", (int)r.line.n, r.line.at);
    assert_string_equal(got.len ? got.data : "", wanted);
    assert_int_equal(spool_count(s, table, &count, &err), 0);
    assert_int_equal(count, n);
}

static void take_problem(void *arg, size_t table, enum export_problem kind, const char *item,
                         const char *reason)
{
    buf_printf(arg, "%zu %s %s: %s\n", table, export_problem_word(kind), item, reason);
}

static void expect_problems(struct spool *s, const char *wanted)
{
    _cleanup_buf_ struct buf got = {0};
    struct err err;

    assert_int_equal(spool_problems(s, 100, take_problem, &got, &err), 0);
    assert_string_equal(got.len ? got.data : "", wanted);
}

static void of_records_with_one_key_the_first_item_stays(void **state)
{
    struct spool *s = opened();
    struct spool_record r;
    struct err err;

    (void)state;
    add(s, 0, "k", "c", NULL);
    add(s, 0, "k", "a", NULL);
    add(s, 0, "other", "d", NULL);
    add(s, 0, "k", "b", NULL);
    assert_int_equal(spool_complete(s, &err), 0);
    assert_int_equal(spool_check_duplicates(s, 0, &err), 0);
    expect_rows(s, 0, "a d ");
    expect_problems(s, "0 duplicate b: the primary key is that of the item a\n"
                       "0 duplicate c: the primary key is that of the item a\n");
    assert_int_equal(spool_problem_count(s, 0, PROBLEM_DUPLICATE), 2);
    assert_int_equal(spool_find(s, 0, &(struct spool_bytes){"k", 1}, &r, &err), 1);
    assert_memory_equal(r.line.at, "a", 1);
    assert_int_equal(spool_find(s, 0, &(struct spool_bytes){"none", 4}, &r, &err), 0);
    spool_close(s);
}

static void references_lead_to_what_is_left(void **state)
{
    struct spool *s = opened();
    struct err err;

    (void)state;
    add(s, 0, "1", "one", NULL);
    int64_t bad = add(s, 0, "2", "two", NULL);
    add(s, 1, "a", "to-one", "1");
    add(s, 1, "b", "to-two", "2");
    add(s, 1, "c", "to-nobody", "3");
    add(s, 1, "d", "to-none", NULL);
    assert_int_equal(spool_problem(s, 0, bad, PROBLEM_DATABASE, "two", "refused", &err), 0);
    assert_int_equal(spool_complete(s, &err), 0);
    assert_int_equal(spool_check_references(s, 1, 3, 0, "it's", &err), 0);
    expect_rows(s, 1, "to-one to-none ");
    expect_problems(s, "0 database two: refused\n"
                       "1 reference to-nobody: it's 3 is not there, or left out itself\n"
                       "1 reference to-two: it's 2 is not there, or left out itself\n");
    spool_close(s);
}

/* Ten thousand deep, in no order: in time that grows with their number. */
static void a_chain_is_filled_from_its_beginning_or_left_whole(void **state)
{
    enum { DEPTH = 10000 };
    struct spool *s = opened();
    struct spool_record r;
    struct err err;
    int next = 0;

    (void)state;
    for (int i = 0; i < DEPTH; i++) {
        int n = (i * 7919) % DEPTH; /* each once: 7919 is no divisor */
        char key[16], line[16], before[16];
        snprintf(key, sizeof key, "%d", n);
        snprintf(line, sizeof line, "%d", n);
        snprintf(before, sizeof before, "%d", n - 1);
        add(s, 0, key, line, n ? before : NULL);
        add(s, 1, key, line, n ? before : "nobody"); /* the same chain, hung on nothing */
    }
    assert_int_equal(spool_complete(s, &err), 0);
    for (size_t t = 0; t < 2; t++) {
        assert_int_equal(spool_check_references(s, t, 3, t, "t", &err), 0);
        assert_int_equal(spool_order(s, t, 3, &err), 0);
    }
    assert_int_equal(spool_rewind(s, 0, &err), 0);
    for (; spool_next(s, &r, &err) == 1; next++) {
        char line[16];
        snprintf(line, sizeof line, "%.*s", (int)r.line.n, r.line.at);
        assert_int_equal(atoi(line), next);
    }
    assert_int_equal(next, DEPTH);
    expect_rows(s, 1, "");
    assert_int_equal(spool_problem_count(s, 1, PROBLEM_REFERENCE), DEPTH);
    spool_close(s);
}

static void a_circle_comes_last_and_stays(void **state)
{
    struct spool *s = opened();
    struct err err;

    (void)state;
    add(s, 0, "a", "a", "b");
    add(s, 0, "b", "b", "a");
    add(s, 0, "self", "self", "self");
    add(s, 0, "child", "child", "root");
    add(s, 0, "root", "root", NULL);
    assert_int_equal(spool_complete(s, &err), 0);
    assert_int_equal(spool_check_references(s, 0, 3, 0, "t", &err), 0);
    assert_int_equal(spool_order(s, 0, 3, &err), 0);
    expect_rows(s, 0, "root child a b self ");
    expect_problems(s, "");
    spool_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_records_with_one_key_the_first_item_stays),
        cmocka_unit_test(references_lead_to_what_is_left),
        cmocka_unit_test(a_chain_is_filled_from_its_beginning_or_left_whole),
        cmocka_unit_test(a_circle_comes_last_and_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
