/* An application that shares its database with the daemon, and how it fares with locks.
 *
 *   contender --database FILE --seconds S [--busy-timeout MS] [--synchronous NORMAL|FULL]
 *             [--pattern flat|steady|bursts] [--work insert|modify] [--first ID]
 *
 * Table "bench" gets one row a transaction (insert: BEGIN IMMEDIATE, INSERT, COMMIT), or has one of
 * its first thousand rows read, pondered for 0.2 ms and changed (modify: BEGIN, SELECT, UPDATE,
 * COMMIT). flat: one after the other; steady: about one a millisecond; bursts: 200, then 300 to
 * 500 ms of rest. A refused statement of an insert is tried again at once, as often as it takes; a
 * refused modification is given up, as its snapshot may be stale. Prints one line of JSON:
 *
 *   transactions   that were begun
 *   met            of them, how many were refused (SQLITE_BUSY) at least once
 *   refusals       how often a statement was refused
 *   failed         transactions given up
 *   p50 p99 p999 max     of a transaction, retries included, in microseconds
 *   met_p50 met_max      of a transaction's time between its first refusal and its success */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

#include "base/cleanup.h"

enum { BURST = 200, ROWS = 1000, PONDER_US = 200, MOST = 4000000 };

struct timings {
    uint32_t *us10; /* tenths of microseconds */
    size_t count, most;
};

struct contender {
    const char *database, *synchronous, *pattern, *work;
    double seconds;
    int busy_timeout;
    int64_t next;
    uint64_t random;
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *select, *update, *commit, *rollback;
    uint64_t transactions, met, refusals, failed;
    uint64_t first_refusal; /* ns, of the transaction at hand; 0: none */
    struct timings took, waits;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void wait_us(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};

    while (nanosleep(&t, &t) != 0)
        ;
}

/* xorshift64 */
static uint64_t random_below(struct contender *c, uint64_t limit)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random % limit;
}

static void keep(struct timings *t, uint64_t ns)
{
    if (t->count < t->most)
        t->us10[t->count++] = ns / 100 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 100);
}

static int step(struct contender *c, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    sqlite3_reset(stmt);
    if ((rc & 0xff) == SQLITE_BUSY) {
        c->refusals++;
        if (!c->first_refusal)
            c->first_refusal = now_ns();
        return SQLITE_BUSY;
    }
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int persist(struct contender *c, sqlite3_stmt *stmt)
{
    int rc;

    while ((rc = step(c, stmt)) == SQLITE_BUSY)
        ;
    return rc;
}

static int insert(struct contender *c)
{
    int64_t id = c->next++;
    char name[64], mail[64];
    int rc = persist(c, c->begin);

    snprintf(name, sizeof name, "Reader number %08" PRId64 " of the town library", id);
    snprintf(mail, sizeof mail, "reader%08" PRId64 "@example.org", id);
    sqlite3_bind_int64(c->insert, 1, id);
    sqlite3_bind_text(c->insert, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(c->insert, 3, mail, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = persist(c, c->insert);
    if (rc == SQLITE_OK)
        rc = persist(c, c->commit);
    return rc;
}

static int modify(struct contender *c)
{
    int64_t id = (int64_t)random_below(c, ROWS) + 1;
    int rc = step(c, c->begin);

    sqlite3_bind_int64(c->select, 1, id);
    sqlite3_bind_int64(c->update, 1, id);
    if (rc == SQLITE_OK)
        rc = step(c, c->select);
    if (rc == SQLITE_OK)
        wait_us(PONDER_US);
    if (rc == SQLITE_OK)
        rc = step(c, c->update);
    if (rc == SQLITE_OK)
        rc = step(c, c->commit);
    if (rc == SQLITE_BUSY) {
        c->failed++;
        rc = sqlite3_get_autocommit(c->db) ? SQLITE_OK : step(c, c->rollback);
    }
    return rc;
}

static int transaction(struct contender *c)
{
    uint64_t began = now_ns();

    c->first_refusal = 0;
    int rc = strcmp(c->work, "insert") == 0 ? insert(c) : modify(c);
    uint64_t done = now_ns();
    c->transactions++;
    keep(&c->took, done - began);
    if (c->first_refusal) {
        c->met++;
        keep(&c->waits, done - c->first_refusal);
    }
    return rc;
}

static void rest(struct contender *c)
{
    if (strcmp(c->pattern, "steady") == 0)
        wait_us(500 + random_below(c, 1000));
    else if (strcmp(c->pattern, "bursts") == 0 && c->transactions % BURST == 0)
        wait_us(300000 + random_below(c, 200000));
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Nearest rank, in microseconds; `t` is sorted. */
static double at(const struct timings *t, double percent)
{
    size_t rank = (size_t)((double)t->count * percent / 100);

    if (!t->count)
        return 0;
    return t->us10[rank < t->count ? rank : t->count - 1] / 10.0;
}

static void report(struct contender *c)
{
    qsort(c->took.us10, c->took.count, sizeof *c->took.us10, compare);
    qsort(c->waits.us10, c->waits.count, sizeof *c->waits.us10, compare);
    printf("{\"transactions\":%" PRIu64 ",\"met\":%" PRIu64 ",\"refusals\":%" PRIu64
           ",\"failed\":%" PRIu64 ",\"next\":%" PRId64
           ",\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,"
           "\"met_p50\":%.1f,\"met_max\":%.1f}\n",
           c->transactions, c->met, c->refusals, c->failed, c->next, at(&c->took, 50),
           at(&c->took, 99), at(&c->took, 99.9), at(&c->took, 100), at(&c->waits, 50),
           at(&c->waits, 100));
}

static int prepare(struct contender *c, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v2(c->db, sql, -1, out, NULL);
}

static int open_database(struct contender *c)
{
    char pragma[64];
    bool inserts = strcmp(c->work, "insert") == 0;
    int rc = sqlite3_open_v2(c->database, &c->db, SQLITE_OPEN_READWRITE, NULL);

    /* Whatever else is there when it comes must not spoil what is measured later. */
    sqlite3_busy_timeout(c->db, 5000);
    snprintf(pragma, sizeof pragma, "PRAGMA synchronous=%s", c->synchronous);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db, pragma, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = prepare(c, inserts ? "BEGIN IMMEDIATE" : "BEGIN", &c->begin);
    if (rc == SQLITE_OK)
        rc = prepare(c, "COMMIT", &c->commit);
    if (rc == SQLITE_OK)
        rc = prepare(c, "ROLLBACK", &c->rollback);
    if (rc == SQLITE_OK)
        rc = prepare(c, "INSERT INTO bench(id,name,mail) VALUES(?1,?2,?3)", &c->insert);
    if (rc == SQLITE_OK)
        rc = prepare(c, "SELECT quantity FROM bench WHERE id=?1", &c->select);
    if (rc == SQLITE_OK)
        rc = prepare(c, "UPDATE bench SET quantity=coalesce(quantity,0)+1 WHERE id=?1", &c->update);
    sqlite3_busy_timeout(c->db, c->busy_timeout);
    return rc;
}

static int run(struct contender *c)
{
    int rc = open_database(c);
    uint64_t end = now_ns() + (uint64_t)(c->seconds * 1e9);

    while (rc == SQLITE_OK && now_ns() < end) {
        rc = transaction(c);
        rest(c);
    }
    if (rc == SQLITE_OK)
        report(c);
    else
        fprintf(stderr, "contender: %s cannot be written: %s\n", c->database,
                c->db ? sqlite3_errmsg(c->db) : "out of memory");
    sqlite3_stmt *all[] = {c->begin, c->insert, c->select, c->update, c->commit, c->rollback};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sqlite3_finalize(all[i]);
    sqlite3_close(c->db);
    return rc == SQLITE_OK ? 0 : 3;
}

static bool one_of(const char *word, const char *first, const char *second, const char *third)
{
    return strcmp(word, first) == 0 || strcmp(word, second) == 0 || strcmp(word, third) == 0;
}

static bool options(struct contender *c, int argc, char **argv)
{
    static const struct option known[] = {{"database", required_argument, NULL, 'd'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"busy-timeout", required_argument, NULL, 'b'},
                                          {"synchronous", required_argument, NULL, 'y'},
                                          {"pattern", required_argument, NULL, 'p'},
                                          {"work", required_argument, NULL, 'w'},
                                          {"first", required_argument, NULL, 'f'},
                                          {0}};
    bool good = true;
    int o;

    while (good && (o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (o == 'd')
            c->database = optarg;
        else if (o == 's')
            c->seconds = strtod(optarg, NULL);
        else if (o == 'b')
            c->busy_timeout = atoi(optarg);
        else if (o == 'y')
            c->synchronous = optarg;
        else if (o == 'p')
            c->pattern = optarg;
        else if (o == 'w')
            c->work = optarg;
        else if (o == 'f')
            c->next = strtoll(optarg, NULL, 10);
        else
            good = false;
    }
    return good && c->database && c->seconds > 0 && optind == argc &&
           one_of(c->pattern, "flat", "steady", "bursts") &&
           one_of(c->work, "insert", "modify", "modify");
}

int main(int argc, char **argv)
{
    struct contender c = {.synchronous = "NORMAL",
                          .pattern = "flat",
                          .work = "insert",
                          .next = 1000000,
                          .random = UINT64_C(88172645463325252)};

    if (!options(&c, argc, argv)) {
        fprintf(stderr, "usage: contender --database FILE --seconds S [--busy-timeout MS] "
                        "[--synchronous NORMAL|FULL] [--pattern flat|steady|bursts] "
                        "[--work insert|modify] [--first ID]\n");
        return 2;
    }
    _cleanup_free_ uint32_t *took = calloc(MOST, sizeof *took);
    _cleanup_free_ uint32_t *waits = calloc(MOST, sizeof *waits);
    c.took = (struct timings){.us10 = took, .most = MOST};
    c.waits = (struct timings){.us10 = waits, .most = MOST};
    return took && waits ? run(&c) : 3;
}
