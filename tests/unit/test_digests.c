/* Digests in packed blocks: against a plain list of what was put, over commits, rollbacks, failures
 * and restarts. */
#include <signal.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "state/internal.h"
#include "store_fixture.h"

enum { KEYS = 1500, TARGETS = 3, TABLES = 3, ROW_KEYS = 5 };

/* --- the model: every key there may be, and what is known of it ----------------------------------
 */

struct known {
    bool there;
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t table;
    int row_key; /* -1: none kept */
};

struct model {
    struct box *box;
    struct rng rng;
    struct buf keys[KEYS]; /* in their order */
    struct buf row_keys[ROW_KEYS];
    struct known now[TARGETS][KEYS], kept[TARGETS][KEYS]; /* kept: as of the last commit */
};

static int by_key(const void *a, const void *b)
{
    const struct buf *x = a, *y = b;
    int c = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

    return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* Of all kinds: numbers in a row, random bytes, long common beginnings, some very long. */
static void make_keys(struct model *w)
{
    for (int i = 0; i < KEYS; i++) {
        struct buf *k = &w->keys[i];
        if (i < 500) {
            buf_printf(k, "N%c%c%d", 0, 4, 1000 + i * 7);
        } else if (i < 900) {
            buf_printf(k, "S%c%c%08x-%d", 0, 40, (unsigned)rng_next(&w->rng), i);
        } else if (i < 1400) {
            buf_printf(k, "S%c%ccustomer#000000000000000000000000#order#%d~c~%d", 0, 60, i / 9, i);
        } else {
            buf_printf(k, "T%d", i);
            for (uint64_t n = rng_upto(&w->rng, 3100); n; n--)
                buf_putc(k, (char)('a' + n % 3));
        }
    }
    qsort(w->keys, KEYS, sizeof w->keys[0], by_key);
    for (int i = 0; i < ROW_KEYS; i++)
        for (int n = i * i * i * 12; n; n--)
            buf_putc(&w->row_keys[i], (char)('0' + n % 10));
}

static struct model *model_of(struct box *b, uint64_t seed)
{
    struct model *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->box = b;
    w->rng = (struct rng){seed};
    make_keys(w);
    return w;
}

static void model_free(struct model *w)
{
    for (int i = 0; i < KEYS; i++)
        buf_free(&w->keys[i]);
    for (int i = 0; i < ROW_KEYS; i++)
        buf_free(&w->row_keys[i]);
    free(w);
}

/* --- compared --------------------------------------------------------------------------------- */

static void same_known(struct model *w, uint32_t g, int i)
{
    const struct known *k = &w->now[g][i];
    const struct buf *key = &w->keys[i];
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t table = 0;
    _cleanup_buf_ struct buf row_key = {0};

    assert_int_equal(store_digest_get(w->box->store, g, key->data, key->len, digest, &table),
                     k->there);
    assert_int_equal(store_digest_owner(w->box->store, g, key->data, key->len, &table, &row_key),
                     k->there);
    if (!k->there)
        return;
    const struct buf *own = k->row_key < 0 ? NULL : &w->row_keys[k->row_key];
    assert_memory_equal(digest, k->digest, sizeof digest);
    assert_int_equal(table, k->table);
    assert_int_equal(row_key.len, own ? own->len : 0);
    if (own && own->len)
        assert_memory_equal(row_key.data, own->data, own->len);
    assert_int_equal(store_digest_match(w->box->store, g, key->data, key->len, digest, table,
                                        own ? (own->len ? own->data : "") : NULL,
                                        own ? own->len : 0),
                     DIGEST_SAME);
}

struct listed {
    struct model *w;
    uint32_t g;
    int at, count; /* of the model's keys, those passed; digests met */
    int ask;       /* look something up in between */
    struct buf last;
};

static bool met(void *arg, const struct store_digest *d)
{
    struct listed *l = arg;
    const struct known *k = l->w->now[l->g];

    while (l->at < KEYS && !k[l->at].there)
        l->at++;
    assert_true(l->at < KEYS);
    const struct buf *key = &l->w->keys[l->at];
    assert_int_equal(d->key_len, key->len);
    assert_memory_equal(d->key, key->data, key->len);
    assert_int_equal(d->table, k[l->at].table);
    assert_int_equal(d->row_key != NULL, k[l->at].row_key >= 0);
    if (l->ask)
        same_known(l->w, (l->g + 1) % TARGETS, (int)rng_upto(&l->w->rng, KEYS - 1));
    buf_clear(&l->last);
    buf_append(&l->last, d->key, d->key_len);
    l->at++;
    l->count++;
    return true;
}

static int count_from(const struct model *w, uint32_t g, int from, uint32_t table)
{
    int n = 0;

    for (int i = from; i < KEYS; i++)
        n += w->now[g][i].there && (!table || w->now[g][i].table == table);
    return n;
}

/* All of a target in pages, and how many there are. */
static void same_target(struct model *w, uint32_t g)
{
    struct listed l = {.w = w, .g = g, .ask = (int)rng_upto(&w->rng, 1)};
    int limit = 1 + (int)rng_upto(&w->rng, 300), n;

    do {
        int due = count_from(w, g, l.at, 0);
        n = store_digest_page(w->box->store, g, &l.last, limit, met, &l);
        assert_int_equal(n, due < limit ? due : limit);
    } while (n == limit);
    assert_int_equal(l.count, count_from(w, g, 0, 0));
    assert_int_equal(store_digest_count(w->box->store, g), l.count);
    for (uint32_t t = 1; t <= TABLES; t++)
        assert_int_equal(store_digest_count_of(w->box->store, g, t), count_from(w, g, 0, t));
    buf_free(&l.last);
}

static void same_all(struct model *w)
{
    for (uint32_t g = 0; g < TARGETS; g++) {
        same_target(w, g);
        for (int i = 0; i < KEYS; i++)
            same_known(w, g, i);
    }
}

/* --- what is done ----------------------------------------------------------------------------- */

static void model_put(struct known *k, const uint8_t *digest, uint32_t table, int row_key)
{
    *k = (struct known){.there = true, .table = table, .row_key = row_key};
    memcpy(k->digest, digest, STORE_DIGEST_SIZE);
}

/* One of the functions that write; below 0: it failed, and the model stays. */
static int write_one(struct model *w, uint32_t g, int i)
{
    static const uint8_t unknown[STORE_DIGEST_SIZE];
    struct store *s = w->box->store;
    const struct buf *key = &w->keys[i];
    struct known *k = &w->now[g][i];
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t table = 1 + (uint32_t)rng_upto(&w->rng, TABLES - 1);
    int own = rng_upto(&w->rng, 9) ? -1 : (int)rng_upto(&w->rng, ROW_KEYS - 1);
    const void *row_key = own < 0 ? NULL : w->row_keys[own].len ? w->row_keys[own].data : "";
    size_t n = own < 0 ? 0 : w->row_keys[own].len;
    int rc;

    memset(digest, (int)rng_upto(&w->rng, 255), sizeof digest);
    switch (rng_upto(&w->rng, 9)) {
    case 0:
        if ((rc = store_digest_suspect(s, g, key->data, key->len, table, row_key, n)) == 0 &&
            !k->there)
            model_put(k, unknown, table, own);
        return rc;
    case 1:
        rc = store_digest_doubt_item(s, g, key->data, key->len, table, row_key, n);
        if (rc == 0 && !k->there)
            model_put(k, unknown, table, own);
        else if (rc == 0)
            memset(k->digest, 0, sizeof k->digest);
        return rc;
    case 2:
    case 3:
    case 4:
        if ((rc = store_digest_delete(s, g, key->data, key->len)) == 0)
            k->there = false;
        return rc;
    default:
        rc = store_digest_put(s, g, key->data, key->len, digest, table, row_key, n);
        if (rc == 0)
            model_put(k, digest, table, own);
        return rc;
    }
}

/* Of all of a target, or of a table. */
static int write_many(struct model *w, uint32_t g)
{
    uint32_t table = 1 + (uint32_t)rng_upto(&w->rng, TABLES - 1);
    int rc;

    switch (rng_upto(&w->rng, 3)) {
    case 0:
        if ((rc = store_digest_clear(w->box->store, g)) == 0)
            memset(w->now[g], 0, sizeof w->now[g]);
        return rc;
    case 1:
        rc = store_digest_clear_but(w->box->store, g, 6, "~c~");
        for (int i = 0; rc == 0 && i < KEYS; i++) {
            const struct buf *k = &w->keys[i];
            w->now[g][i].there &= k->len >= 6 && memcmp(k->data + k->len - 6, "~c~", 3) == 0;
            memset(w->now[g][i].digest, 0, STORE_DIGEST_SIZE);
        }
        return rc;
    default:
        rc = store_digest_doubt(w->box->store, table);
        for (int i = 0; rc == 0 && i < TARGETS * KEYS; i++)
            if (w->now[i / KEYS][i % KEYS].table == table)
                memset(w->now[i / KEYS][i % KEYS].digest, 0, STORE_DIGEST_SIZE);
        return rc;
    }
}

/* So many neighbours, upwards, downwards or anyhow. */
static int write_run(struct model *w)
{
    uint32_t g = (uint32_t)rng_upto(&w->rng, TARGETS - 1);
    int at = (int)rng_upto(&w->rng, KEYS - 1), n = (int)rng_upto(&w->rng, 200);
    int step = (int)rng_upto(&w->rng, 2) - 1, rc = 0;

    for (; rc == 0 && n && at >= 0 && at < KEYS; n--) {
        rc = write_one(w, g, at);
        at = step ? at + step : (int)rng_upto(&w->rng, KEYS - 1);
    }
    return rc;
}

/* Every key of a stretch goes. */
static int delete_run(struct model *w)
{
    uint32_t g = (uint32_t)rng_upto(&w->rng, TARGETS - 1);
    int at = (int)rng_upto(&w->rng, KEYS - 1), to = at + (int)rng_upto(&w->rng, 400), rc = 0;

    for (; rc == 0 && at < to && at < KEYS; at++)
        if ((rc = store_digest_delete(w->box->store, g, w->keys[at].data, w->keys[at].len)) == 0)
            w->now[g][at].there = false;
    return rc;
}

static void taken_back(struct model *w)
{
    memcpy(w->now, w->kept, sizeof w->now);
}

static void kept(struct model *w)
{
    memcpy(w->kept, w->now, sizeof w->now);
}

static int any_write(struct model *w)
{
    uint64_t way = rng_upto(&w->rng, 39);

    if (way == 0)
        return write_many(w, (uint32_t)rng_upto(&w->rng, TARGETS - 1));
    return way < 6 ? delete_run(w) : write_run(w);
}

static void step(struct model *w)
{
    struct store *s = w->box->store;

    switch (rng_upto(&w->rng, 11)) {
    case 0:
        store_rollback(s);
        taken_back(w);
        break;
    case 1:
        reopened(w->box); /* which commits */
        kept(w);
        break;
    case 2:
        store_release_memory(s);
        break;
    case 3:
    case 4:
        assert_int_equal(store_commit(s, NULL), 0);
        kept(w);
        break;
    default:
        assert_int_equal(any_write(w), 0);
    }
    same_target(w, (uint32_t)rng_upto(&w->rng, TARGETS - 1));
    for (int i = 0; i < 30; i++)
        same_known(w, (uint32_t)rng_upto(&w->rng, TARGETS - 1), (int)rng_upto(&w->rng, KEYS - 1));
}

static void as_a_plain_list_would_have_it(void **state)
{
    const char *seeds = getenv("DIGEST_SEEDS");

    for (uint64_t seed = 1; seed <= (seeds ? strtoull(seeds, NULL, 10) : 3); seed++) {
        struct model *w = model_of(*state, seed);
        for (int i = 0; i < 250; i++)
            step(w);
        same_all(w);
        reopened(w->box);
        kept(w);
        same_all(w);
        for (uint32_t g = 0; g < TARGETS; g++)
            assert_int_equal(store_digest_clear(w->box->store, g), 0);
        assert_int_equal(store_commit(w->box->store, NULL), 0);
        model_free(w);
    }
}

/* --- failures --------------------------------------------------------------------------------- */

/* The nth call of SQLite's progress handler interrupts what it is at. */
static int countdown(void *arg)
{
    int *left = arg;

    return *left > 0 && --*left == 0;
}

/* Wherever a write or a commit is broken off, what was put since the last commit is gone, and
 * nothing else. */
static void a_failure_takes_back_what_was_not_committed(void **state)
{
    struct model *w = model_of(*state, 77);
    struct store *s = w->box->store;
    int left = 0, failures = 0;

    for (int i = 0; i < 400; i++) {
        sqlite3_progress_handler(s->db, 1, countdown, &left);
        left = 1 + (int)rng_upto(&w->rng, i % 2 ? 60 : 3000);
        int rc = 0;
        for (int n = 0; rc == 0 && n < 3; n++)
            rc = any_write(w);
        if (rc == 0)
            rc = store_commit(s, NULL);
        sqlite3_progress_handler(s->db, 0, NULL, NULL);
        failures += rc < 0;
        if (rc < 0)
            taken_back(w);
        else
            kept(w);
        assert_false(store_dirty(s));
        same_target(w, (uint32_t)rng_upto(&w->rng, TARGETS - 1));
    }
    assert_in_range(failures, 50, 390);
    same_all(w);
    reopened(w->box);
    same_all(w);
    model_free(w);
}

static void a_full_disk_takes_nothing_that_was_committed(void **state)
{
    struct model *w = model_of(*state, 78);
    struct store *s = w->box->store;
    struct rlimit limit;
    int failures = 0;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 60; i++) {
        struct stat wal;
        struct rlimit low = limit;
        assert_int_equal(fstat(store_wal_fd(s), &wal), 0);
        low.rlim_cur = (rlim_t)wal.st_size / 2 + 4096 * rng_upto(&w->rng, 40);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        int rc = 0;
        for (int n = 0; rc == 0 && n < 5; n++)
            rc = write_run(w);
        if (rc == 0)
            rc = store_commit(s, NULL);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        failures += rc < 0;
        if (rc < 0)
            taken_back(w);
        else
            kept(w);
        same_target(w, (uint32_t)rng_upto(&w->rng, TARGETS - 1));
    }
    assert_true(failures > 0 && failures < 60);
    same_all(w);
    model_free(w);
}

/* SQLite may take the transaction back by itself: what is put then must not be kept alone. */
static void a_transaction_gone_by_itself_is_noticed(void **state)
{
    struct box *b = *state;
    const uint8_t digest[STORE_DIGEST_SIZE] = "0123456789abcde";
    uint8_t got[STORE_DIGEST_SIZE];
    uint32_t table;

    assert_int_equal(store_digest_put(b->store, 1, "a", 1, digest, 1, NULL, 0), 0);
    assert_int_equal(sqlite3_exec(b->store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_true(store_digest_put(b->store, 1, "b", 1, digest, 1, NULL, 0) < 0);
    assert_false(store_dirty(b->store));
    assert_false(store_digest_get(b->store, 1, "a", 1, got, &table));
    assert_int_equal(store_digest_put(b->store, 1, "c", 1, digest, 1, NULL, 0), 0);
    assert_int_equal(sqlite3_exec(b->store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_true(store_commit(b->store, NULL) < 0);
    assert_int_equal(store_digest_count(b->store, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(as_a_plain_list_would_have_it),
        box_test(a_failure_takes_back_what_was_not_committed),
        box_test(a_full_disk_takes_nothing_that_was_committed),
        box_test(a_transaction_gone_by_itself_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
