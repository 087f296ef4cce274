/* The application of the benches: inserts rows into table "bench" and notes how long that took.
 *
 *   writer --database FILE [--first ID] [--transactions N] [--rows N] [--synchronous NORMAL|FULL]
 *          [--gap MIN:MAX | --rate ROWS]
 *   writer --sqlite-version
 *
 * Each transaction inserts --rows rows, numbered on from --first. --gap waits that many
 * microseconds before each, evenly spread over the range, the same ones in every run. --rate begins
 * each so that it comes to that many rows a second, as far as the database keeps up. When all is
 * done it prints a line a transaction, "ID BEGAN COMMITTED" (its first row; CLOCK_MONOTONIC in
 * nanoseconds, before BEGIN and right after COMMIT returned), and last "busy N": how often another
 * process's lock was in the way. Nothing is printed or allocated while it measures. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

#include "base/cleanup.h"

enum { BUSY_TRIES = 10000, BUSY_WAIT_US = 500 };

struct timing {
    uint64_t began, committed;
};

struct writer {
    const char *database, *synchronous;
    int64_t first;
    size_t transactions, rows;
    uint64_t gap_min, gap_max; /* us */
    uint64_t rate, started;    /* rows a second, 0: as fast as can be; ns */
    uint64_t random;
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    uint64_t busy;
    struct timing *timings;
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

/* xorshift64: the gaps are the same in every run. */
static uint64_t gap(struct writer *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->gap_min + w->random % (w->gap_max - w->gap_min + 1);
}

static int on_busy(void *arg, int tries)
{
    struct writer *w = arg;

    if (tries >= BUSY_TRIES)
        return 0;
    w->busy += tries == 0;
    wait_us(BUSY_WAIT_US);
    return 1;
}

static int step(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int insert(struct writer *w, int64_t id)
{
    char name[64], mail[64];

    snprintf(name, sizeof name, "Reader number %08" PRId64 " of the town library", id);
    snprintf(mail, sizeof mail, "reader%08" PRId64 "@example.org", id);
    sqlite3_bind_int64(w->insert, 1, id);
    sqlite3_bind_text(w->insert, 2, name, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(w->insert, 3, mail, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(w->insert, 4, "Winterthur-Seen, Switzerland", -1, SQLITE_STATIC);
    sqlite3_bind_double(w->insert, 5, (double)(id * 37 % 1000000) / 100);
    sqlite3_bind_int64(w->insert, 6, id * 7919 % 1000);
    sqlite3_bind_int64(w->insert, 7, INT64_C(1700000000000) + id);
    return step(w->insert);
}

static void keep_rate(const struct writer *w, size_t i)
{
    uint64_t due = w->started + i * w->rows * 1000000000 / w->rate, now = now_ns();

    if (due > now)
        wait_us((due - now) / 1000);
}

static int transaction(struct writer *w, size_t i)
{
    int64_t id = w->first + (int64_t)(i * w->rows);

    if (w->gap_max)
        wait_us(gap(w));
    else if (w->rate)
        keep_rate(w, i);
    w->timings[i].began = now_ns();
    int rc = step(w->begin);
    for (size_t k = 0; rc == SQLITE_OK && k < w->rows; k++)
        rc = insert(w, id + (int64_t)k);
    if (rc == SQLITE_OK)
        rc = step(w->commit);
    w->timings[i].committed = now_ns();
    return rc;
}

static int open_database(struct writer *w)
{
    char pragma[64];
    int rc = sqlite3_open_v2(w->database, &w->db, SQLITE_OPEN_READWRITE, NULL);

    snprintf(pragma, sizeof pragma, "PRAGMA synchronous=%s", w->synchronous);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_handler(w->db, on_busy, w);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(w->db, pragma, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(w->db, "BEGIN IMMEDIATE", -1, &w->begin, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(w->db, "COMMIT", -1, &w->commit, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(w->db, "INSERT INTO bench VALUES(?1,?2,?3,?4,?5,?6,?7)", -1,
                                &w->insert, NULL);
    return rc;
}

static int run(struct writer *w)
{
    int rc = open_database(w);

    w->started = now_ns();
    for (size_t i = 0; rc == SQLITE_OK && i < w->transactions; i++)
        rc = transaction(w, i);
    for (size_t i = 0; rc == SQLITE_OK && i < w->transactions; i++)
        printf("%" PRId64 " %" PRIu64 " %" PRIu64 "\n", w->first + (int64_t)(i * w->rows),
               w->timings[i].began, w->timings[i].committed);
    if (rc == SQLITE_OK)
        printf("busy %" PRIu64 "\n", w->busy);
    else
        fprintf(stderr, "writer: %s cannot be written: %s\n", w->database,
                w->db ? sqlite3_errmsg(w->db) : "out of memory");
    sqlite3_finalize(w->begin);
    sqlite3_finalize(w->insert);
    sqlite3_finalize(w->commit);
    sqlite3_close(w->db);
    return rc == SQLITE_OK ? 0 : 3;
}

static bool read_gap(struct writer *w, const char *text)
{
    return sscanf(text, "%" SCNu64 ":%" SCNu64, &w->gap_min, &w->gap_max) == 2 &&
           w->gap_min <= w->gap_max;
}

static bool options(struct writer *w, int argc, char **argv)
{
    static const struct option known[] = {
        {"database", required_argument, NULL, 'd'},     {"first", required_argument, NULL, 'f'},
        {"transactions", required_argument, NULL, 't'}, {"rows", required_argument, NULL, 'r'},
        {"synchronous", required_argument, NULL, 's'},  {"gap", required_argument, NULL, 'g'},
        {"rate", required_argument, NULL, 'e'},         {0}};
    bool good = true;
    int o;

    while (good && (o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (o == 'd')
            w->database = optarg;
        else if (o == 'f')
            w->first = strtoll(optarg, NULL, 10);
        else if (o == 't')
            w->transactions = strtoul(optarg, NULL, 10);
        else if (o == 'r')
            w->rows = strtoul(optarg, NULL, 10);
        else if (o == 's')
            w->synchronous = optarg;
        else if (o == 'e')
            w->rate = strtoul(optarg, NULL, 10);
        else
            good = o == 'g' && read_gap(w, optarg);
    }
    return good && w->database && w->transactions && optind == argc;
}

int main(int argc, char **argv)
{
    struct writer w = {.synchronous = "NORMAL",
                       .first = 1,
                       .transactions = 1,
                       .rows = 1,
                       .random = UINT64_C(88172645463325252)};

    if (argc == 2 && strcmp(argv[1], "--sqlite-version") == 0)
        return puts(sqlite3_libversion()) < 0;
    if (!options(&w, argc, argv)) {
        fprintf(stderr, "usage: writer --database FILE [--first ID] [--transactions N] [--rows N] "
                        "[--synchronous NORMAL|FULL] [--gap MIN:MAX | --rate ROWS]\n");
        return 2;
    }
    _cleanup_free_ struct timing *timings = calloc(w.transactions, sizeof *timings);
    w.timings = timings;
    return timings ? run(&w) : 3;
}
