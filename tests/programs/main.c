/* The capture oracle over generated programs.
 *
 *   programs [--count N] [--first-seed N] [--seconds S] [--jobs J] [--writer PROGRAM]
 *            [--keep-going] [--seed N] [--whole] [--print N] [--planted [NAME]]
 *
 * --seed runs one program; --whole does not shrink it; --print shows it without running it.
 * --seconds goes on from the first seed until the time is over. --keep-going goes on after a
 * failure (the first five of a job are shrunk and printed). --writer runs the application's
 * statements in another process (tests/programs/writer.c). --planted spoils the triggers in known
 * ways, and each must be found within --count programs. The last line is "N passed, N failed". */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../sim/pool.h"
#include "check.h"
#include "generate.h"
#include "shrink.h"

enum { MAX_JOBS = 64, SHOWN = 5 };

static const struct plant plants[] = {
    {.name = "no entry for an insert", .drop = "_syncd_*_i"},
    {.name = "no entry for an update", .drop = "_syncd_*_u"},
    {.name = "no entry for a delete", .drop = "_syncd_*_d"},
    {.name = "no entry for a moved key", .drop = "_syncd_*_k"},
    {.name = "no lookup before an insert", .drop = "_syncd_*_bi"},
    {.name = "no lookup before an update", .drop = "_syncd_*_b[0-9]*"},
    {.name = "a moved key compared by its collation", .from = " COLLATE BINARY OR", .to = " OR"},
    {.name = "a moved key compared without its type", .from = "typeof(", .to = "0*length("},
    {.name = "the rowid's other names forgotten", .from = ",rowid,oid,_rowid_", .to = ""},
    {.name = "an entry's key taken for its row's", .trust_entries = true},
};

struct options {
    uint64_t count, first, seconds, jobs, seed, print;
    bool keep_going, whole, planted;
    const char *writer, *plant;
};

/* What a job tells its parent. */
struct tally {
    uint64_t passed, failed, statements, succeeded, entries, refreshed, extra, planted, damaged,
        any, refused, unseen;
};

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec;
}

/* --- one program --------------------------------------------------------------------------------
 */

static int version_of(const struct checker *c)
{
    return c->writer ? c->writer->version : SQLITE_VERSION_NUMBER;
}

static void report(struct checker *c, struct program *p, const struct options *o)
{
    _cleanup_buf_ struct buf why = {0}, installed = {0};
    char *text = NULL;
    size_t n = 0;

    if (!o->whole)
        shrink_program(c, p);
    if (check_program(c, p, &why, &installed))
        buf_puts(&why, "it did not fail again");
    /* One write, so that jobs do not mix their lines. */
    FILE *out = must(open_memstream(&text, &n));
    print_program(p, why.data, installed.data ? installed.data : "", out);
    fprintf(out, "-- again: build/tests/programs/programs --seed %llu%s%s\n\n",
            (unsigned long long)p->seed, o->writer ? " --writer " : "", o->writer ? o->writer : "");
    fclose(out);
    fwrite(text, 1, n, stdout);
    fflush(stdout);
    free(text);
}

static bool run_seed(struct checker *c, uint64_t seed, bool show, const struct options *o)
{
    struct program p;

    generate_program(seed, version_of(c), &p);
    bool well = check_program(c, &p, NULL, NULL);
    if (!well && show)
        report(c, &p, o);
    program_free(&p);
    return well;
}

/* --- jobs ---------------------------------------------------------------------------------------
 */

static void progress(const struct tally *t, uint64_t started, uint64_t *shown)
{
    if (now() < *shown + 60)
        return;
    *shown = now();
    printf("a job: %llu programs in %llu s, %llu failed\n",
           (unsigned long long)(t->passed + t->failed), (unsigned long long)(*shown - started),
           (unsigned long long)t->failed);
    fflush(stdout);
}

static void run_seeds(struct checker *c, uint64_t job, const struct options *o, struct tally *t)
{
    uint64_t started = now(), shown = started;

    for (uint64_t i = job; o->seconds ? now() < started + o->seconds : i < o->count; i += o->jobs) {
        if (run_seed(c, o->first + i, t->failed < SHOWN, o)) {
            t->passed++;
        } else if (++t->failed && !o->keep_going) {
            break;
        }
        progress(t, started, &shown);
    }
    t->statements = c->met.statements;
    t->succeeded = c->met.succeeded;
    t->entries = c->met.entries;
    t->refreshed = c->met.refreshed;
    t->extra = c->met.extra_columns;
    t->planted = c->met.planted;
    t->damaged = c->met.damaged;
    t->any = c->met.any_trigger;
    t->refused = c->met.refused;
    t->unseen = c->met.unseen;
}

static void run_job(uint64_t job, const struct options *o, int to)
{
    struct checker c = {0};
    struct writer writer = {0};
    struct tally t = {0};
    int rc = checker_open(&c);

    if (rc == 0 && o->writer) {
        rc = writer_start(o->writer, &writer);
        c.writer = &writer;
    }
    if (rc < 0) {
        fprintf(stderr, "cannot start: %s\n", strerror(-rc));
        exit(2);
    }
    run_seeds(&c, job, o, &t);
    if (o->writer)
        writer_stop(&writer);
    checker_close(&c);
    if (write(to, &t, sizeof t) != sizeof t)
        exit(2);
    exit(0);
}

static void add(struct tally *sum, const struct tally *t)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)t;

    for (size_t i = 0; i < sizeof *t / sizeof *to; i++)
        to[i] += from[i];
}

static int run_jobs(const struct options *o)
{
    struct tally sum = {0};
    int pipes[2], status, broken = 0;

    if (pipe(pipes) < 0)
        return 2;
    for (uint64_t job = 0; job < o->jobs; job++) {
        pid_t pid = fork();
        if (pid == 0)
            run_job(job, o, pipes[1]);
        broken += pid < 0;
    }
    close(pipes[1]);
    while (wait(&status) > 0)
        broken += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    for (struct tally t; read(pipes[0], &t, sizeof t) == sizeof t;)
        add(&sum, &t);
    printf(
        "%llu statements, %llu of them succeeded; %llu journal entries; %llu tables taken anew; "
        "%llu plans with other columns in their entries; %llu programs that look otherwise with "
        "any trigger; %llu columns not dropped; %llu that SQLite damaged by itself; %llu with rows "
        "that go unseen, as the plan says\n",
        (unsigned long long)sum.statements, (unsigned long long)sum.succeeded,
        (unsigned long long)sum.entries, (unsigned long long)sum.refreshed,
        (unsigned long long)sum.extra, (unsigned long long)sum.any, (unsigned long long)sum.refused,
        (unsigned long long)sum.damaged, (unsigned long long)sum.unseen);
    if (broken)
        printf("%d jobs broke\n", broken);
    printf("%llu passed, %llu failed\n", (unsigned long long)sum.passed,
           (unsigned long long)sum.failed + (unsigned)broken);
    return sum.failed || broken;
}

/* --- planted faults -----------------------------------------------------------------------------
 */

/* The seed whose program fails with the fault and does not without it; 0: none does. */
static uint64_t find_plant(struct checker *c, const struct plant *plant, const struct options *o)
{
    for (uint64_t seed = o->first; seed < o->first + o->count; seed++) {
        c->plant = plant;
        if (run_seed(c, seed, false, o))
            continue;
        c->plant = NULL;
        if (run_seed(c, seed, false, o))
            return seed;
    }
    return 0;
}

static int run_planted(const struct options *o)
{
    struct checker c = {0};
    unsigned passed = 0, failed = 0;

    if (checker_open(&c) < 0)
        return 2;
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        if (o->plant && strcmp(o->plant, plants[i].name) != 0)
            continue;
        memset(&c.met, 0, sizeof c.met);
        uint64_t seed = find_plant(&c, &plants[i], o);
        if (seed)
            printf("%s: found by program %llu\n", plants[i].name,
                   (unsigned long long)(seed - o->first + 1));
        else
            printf("%s: NOT FOUND%s\n", plants[i].name,
                   c.met.planted || plants[i].trust_entries ? "" : " (nothing to spoil)");
        fflush(stdout);
        passed += seed != 0;
        failed += seed == 0;
    }
    checker_close(&c);
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}

/* --- options ------------------------------------------------------------------------------------
 */

static uint64_t number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);

    if (*end || end == text) {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return n;
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"count", required_argument, NULL, 'c'},
        {"first-seed", required_argument, NULL, 'f'},
        {"seconds", required_argument, NULL, 't'},
        {"jobs", required_argument, NULL, 'j'},
        {"writer", required_argument, NULL, 'w'},
        {"seed", required_argument, NULL, 's'},
        {"print", required_argument, NULL, 'p'},
        {"keep-going", no_argument, NULL, 'k'},
        {"whole", no_argument, NULL, 'W'},
        {"planted", optional_argument, NULL, 'P'},
        {0},
    };

    for (int opt; (opt = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (opt) {
        case 'c':
            o->count = number(optarg);
            break;
        case 'f':
            o->first = number(optarg);
            break;
        case 't':
            o->seconds = number(optarg);
            break;
        case 'j':
            o->jobs = number(optarg);
            break;
        case 'w':
            o->writer = optarg;
            break;
        case 's':
            o->seed = number(optarg);
            break;
        case 'p':
            o->print = number(optarg);
            break;
        case 'k':
            o->keep_going = true;
            break;
        case 'W':
            o->whole = true;
            break;
        case 'P':
            o->planted = true;
            o->plant = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (o->jobs < 1 || o->jobs > MAX_JOBS)
        o->jobs = 1;
}

int main(int argc, char **argv)
{
    struct options o = {.count = 1000, .first = 1, .jobs = 1};

    pool_install();
    signal(SIGPIPE, SIG_IGN);
    parse(argc, argv, &o);
    if (o.print) {
        struct program p;
        generate_program(o.print, SQLITE_VERSION_NUMBER, &p);
        print_program(&p, "not run", "", stdout);
        program_free(&p);
        return 0;
    }
    if (o.planted)
        return run_planted(&o);
    if (o.seed) {
        o.first = o.seed;
        o.count = o.jobs = 1;
    }
    return run_jobs(&o);
}
