/* A state file in a directory of its own. */
#ifndef SYNCD_TESTS_STORE_FIXTURE_H
#define SYNCD_TESTS_STORE_FIXTURE_H

#include "database_fixture.h"
#include "state/store.h"

/* From a file of today's version to what version 4 kept, without a digest in it. */
#define VERSION_4_DIGESTS                                                                          \
    "DROP TABLE digest_block; CREATE TABLE digest(g INTEGER, k BLOB, d BLOB, t INTEGER, o BLOB, "  \
    "PRIMARY KEY(g, k)) WITHOUT ROWID;"

struct box {
    char dir[64], path[96];
    struct store *store;
};

static inline int box_setup(void **state)
{
    struct box *b = calloc(1, sizeof *b);
    struct err err = {.text = ""};

    snprintf(b->dir, sizeof b->dir, "/tmp/syncd-unit-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof b->path, "%s/state.db", b->dir);
    if (store_open(b->path, &b->store, &err) < 0)
        fail_msg("%s", err.text);
    *state = b;
    return 0;
}

static inline int box_teardown(void **state)
{
    struct box *b = *state;

    store_close(b->store);
    remove_tree(b->dir);
    free(b);
    return 0;
}

#define box_test(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

static inline void closed(struct box *b)
{
    store_close(b->store);
    b->store = NULL;
}

static inline void reopened(struct box *b)
{
    struct err err = {.text = ""};

    closed(b);
    if (store_open(b->path, &b->store, &err) < 0)
        fail_msg("%s", err.text);
}

#endif
