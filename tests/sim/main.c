/* Simulated worlds by the thousand.
 *
 *     sim [--seeds FROM-TO | --count N] [--seconds S] [--first-seed N] [--jobs N] [--keep-going]
 *         [--hashes]                         with the hash of each seed's trace
 *     sim --seed N [--steps N] [--without TROUBLE,TROUBLE]    one of them, with its trace
 *     sim --planted [NAME] [--count N]       each planted fault (base/plant.h) must be found
 *
 * A seed that fails is run again with fewer steps and less trouble for as long as it fails, and the
 * least of them is printed with the end of its trace and the command that repeats it. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/plant.h"
#include "pool.h"
#include "run.h"

enum plant planted_fault;

struct options {
    uint64_t from, to;
    unsigned jobs, seconds;
    struct sim_limits limits;
    bool one, keep_going, planted, hashes;
    const char *plant, *program;
};

/* What a process of many tells at its end. */
struct tally {
    uint64_t passed, failed, steps;
};

static const char *const plant_names[] = {"none",
#define X(name, text) #name,
                                          PLANTS(X)
#undef X
};
static const char *const plant_texts[] = {"",
#define X(name, text) text,
                                          PLANTS(X)
#undef X
};

/* --- a failing seed --------------------------------------------------------------------------- */

static bool fails(uint64_t seed, const struct sim_limits *l, char failure[1024], unsigned *steps)
{
    sim_run(seed, false, l, failure, steps);
    return failure[0] != '\0';
}

/* As fails(); the hash tells whether two builds of the simulator do the same. */
static bool fails_told(const struct options *o, uint64_t seed, char failure[1024], unsigned *steps)
{
    uint64_t hash = sim_run(seed, false, &o->limits, failure, steps);

    if (o->hashes)
        printf("%llu %016llx\n", (unsigned long long)seed, (unsigned long long)hash);
    return failure[0] != '\0';
}

/* The least steps and kinds of trouble with which the seed still fails, in whatever way. */
static struct sim_limits shrink(uint64_t seed, struct sim_limits l, unsigned steps,
                                char failure[1024])
{
    char text[1024];
    unsigned good = 0;

    for (unsigned n = 0; sim_fault_name(n); n++) {
        struct sim_limits less = l;
        unsigned taken;
        less.without |= UINT64_C(1) << n;
        if (less.without != l.without && fails(seed, &less, text, &taken)) {
            l = less;
            steps = taken;
            memcpy(failure, text, sizeof text);
        }
    }
    while (steps - good > 1) {
        struct sim_limits less = l;
        less.steps = good + (steps - good) / 2;
        if (fails(seed, &less, text, NULL)) {
            steps = less.steps;
            l = less;
            memcpy(failure, text, sizeof text);
        } else {
            good = less.steps;
        }
    }
    return l;
}

static void print_command(const struct options *o, uint64_t seed, const struct sim_limits *l)
{
    bool first = true;

    printf("-- again: %s --seed %llu", o->program, (unsigned long long)seed);
    if (l->steps)
        printf(" --steps %u", l->steps);
    for (unsigned n = 0; sim_fault_name(n); n++)
        if (l->without >> n & 1) {
            printf("%s%s", first ? " --without " : ",", sim_fault_name(n));
            first = false;
        }
    putchar('\n');
}

/* The last lines of the trace of the shrunk run, up to its failure. */
static void print_trace(uint64_t seed, const struct sim_limits *l)
{
    enum { LINES = 40, WIDTH = 200 };
    static char ring[LINES][WIDTH];
    char failure[1024], line[4096];
    FILE *trace = tmpfile();
    size_t count = 0;

    if (!trace)
        return;
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(trace), STDERR_FILENO);
    sim_run(seed, true, l, failure, NULL);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(trace);
    while (fgets(line, sizeof line, trace)) {
        snprintf(ring[count++ % LINES], WIDTH, "%.*s", WIDTH - 1, line);
        if (strstr(line, "FAILURE:"))
            break;
    }
    for (size_t i = count > LINES ? count - LINES : 0; i < count; i++)
        printf("   %s%s", ring[i % LINES], strchr(ring[i % LINES], '\n') ? "" : "\n");
    fclose(trace);
}

static void report(const struct options *o, uint64_t seed, unsigned steps, char failure[1024])
{
    printf("-- seed %llu: %.400s\n", (unsigned long long)seed, failure);
    struct sim_limits l = shrink(seed, o->limits, steps, failure);
    print_trace(seed, &l);
    printf("-- shrunk: %.400s\n", failure);
    print_command(o, seed, &l);
    fflush(stdout);
}

/* --- many ------------------------------------------------------------------------------------- */

static struct tally run_share(const struct options *o, unsigned job)
{
    struct tally t = {0};
    time_t began = time(NULL);
    char failure[1024];
    unsigned steps;

    for (uint64_t seed = o->from + job; seed <= o->to; seed += o->jobs) {
        if (o->seconds && time(NULL) - began >= (time_t)o->seconds)
            break;
        if (!fails_told(o, seed, failure, &steps)) {
            t.passed++;
            t.steps += steps;
            continue;
        }
        t.failed++;
        report(o, seed, steps, failure);
        if (!o->keep_going)
            break;
    }
    return t;
}

static bool add_tally(struct tally *all, int fd)
{
    struct tally t;
    bool good = read(fd, &t, sizeof t) == (ssize_t)sizeof t;

    close(fd);
    if (!good)
        return false;
    all->passed += t.passed;
    all->failed += t.failed;
    all->steps += t.steps;
    return true;
}

static int run_many(const struct options *o)
{
    struct tally all = {0};
    int pipes[64][2];
    unsigned broken = 0;
    struct timespec a, b;

    clock_gettime(CLOCK_MONOTONIC, &a);
    for (unsigned job = 0; job < o->jobs; job++) {
        if (pipe2(pipes[job], O_CLOEXEC) < 0 || fflush(stdout) != 0)
            return 3;
        pid_t pid = fork();
        if (pid < 0)
            return 3;
        if (pid == 0) {
            struct tally t = run_share(o, job);
            fflush(stdout);
            _exit(write(pipes[job][1], &t, sizeof t) == (ssize_t)sizeof t ? 0 : 3);
        }
        close(pipes[job][1]);
    }
    for (unsigned job = 0; job < o->jobs; job++)
        broken += !add_tally(&all, pipes[job][0]);
    while (wait(NULL) > 0)
        ;
    clock_gettime(CLOCK_MONOTONIC, &b);
    double minutes = ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9) / 60;
    if (broken)
        printf("-- %u of %u processes died\n", broken, o->jobs);
    printf("\n%llu steps; %.0f seeds a minute on %u processes\n%llu passed, %llu failed\n",
           (unsigned long long)all.steps, (double)(all.passed + all.failed) / minutes, o->jobs,
           (unsigned long long)all.passed, (unsigned long long)all.failed + broken);
    return all.failed || broken ? 1 : 0;
}

/* --- planted faults --------------------------------------------------------------------------- */

/* In a process of its own: what a fault does to the program is a find, too. 0: not found. */
static uint64_t find_plant(const struct options *o, enum plant plant, char failure[1024])
{
    uint64_t found = 0;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct {
            uint64_t seed;
            char failure[1024];
        } told = {0};
        planted_fault = plant;
        for (uint64_t seed = o->from; seed <= o->to && !told.seed; seed++)
            if (fails(seed, &o->limits, told.failure, NULL))
                told.seed = seed;
        _exit(write(fds[1], &told, sizeof told) == (ssize_t)sizeof told ? 0 : 3);
    }
    close(fds[1]);
    int status = 0;
    if (read(fds[0], &found, sizeof found) != (ssize_t)sizeof found ||
        read(fds[0], failure, 1024) != 1024)
        found = 0;
    close(fds[0]);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)) {
        snprintf(failure, 1024, "the process died of signal %d", WTERMSIG(status));
        return UINT64_MAX;
    }
    return found;
}

static bool tell_plant(const struct options *o, enum plant p)
{
    char failure[1024];
    uint64_t seed = find_plant(o, p, failure);

    if (seed == 0)
        printf("%s (%s): NOT FOUND\n", plant_names[p], plant_texts[p]);
    else if (seed == UINT64_MAX)
        printf("%s (%s): %s\n", plant_names[p], plant_texts[p], failure);
    else
        printf("%s (%s): found by seed %llu: %.120s\n", plant_names[p], plant_texts[p],
               (unsigned long long)seed, failure);
    fflush(stdout);
    return seed != 0;
}

/* This job's share of them, in a process of its own, which ends with how many were not found. */
static pid_t begin_plants(const struct options *o, const enum plant *plants, unsigned count,
                          unsigned job)
{
    fflush(stdout);
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    int failed = 0;
    for (unsigned i = job; i < count; i += o->jobs)
        failed += !tell_plant(o, plants[i]);
    _exit(failed);
}

static int run_planted(const struct options *o)
{
    enum plant plants[PLANT_COUNT];
    unsigned count = 0, failed = 0;
    int status;

    for (int p = PLANT_NONE + 1; p < PLANT_COUNT; p++)
        if (!o->plant || strcmp(o->plant, plant_names[p]) == 0)
            plants[count++] = (enum plant)p;
    for (unsigned job = 0; job < o->jobs && job < count; job++)
        if (begin_plants(o, plants, count, job) < 0)
            failed = count; /* none of them is taken for found */
    while (wait(&status) > 0)
        failed += WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : count;
    failed = failed < count ? failed : count;
    printf("%u passed, %u failed\n", count - failed, failed);
    return failed || !count ? 1 : 0;
}

/* --- command line ----------------------------------------------------------------------------- */

static bool parse_without(char *list, uint64_t *mask)
{
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        unsigned n = 0;
        while (sim_fault_name(n) && strcmp(sim_fault_name(n), name) != 0)
            n++;
        if (!sim_fault_name(n))
            return false;
        *mask |= UINT64_C(1) << n;
    }
    return true;
}

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 'r'},   {"count", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},    {"seconds", required_argument, NULL, 'S'},
        {"jobs", required_argument, NULL, 'j'},    {"first-seed", required_argument, NULL, 'f'},
        {"steps", required_argument, NULL, 'n'},   {"without", required_argument, NULL, 'w'},
        {"keep-going", no_argument, NULL, 'k'},    {"hashes", no_argument, NULL, 'h'},
        {"planted", optional_argument, NULL, 'p'}, {0}};
    unsigned long long from, to;
    uint64_t count = 0;
    bool good = true;
    int c;

    while (good && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'r':
            good = sscanf(optarg, "%llu-%llu", &from, &to) == 2 && from >= 1 && from <= to;
            o->from = from;
            count = to - from + 1;
            break;
        case 'c':
            count = strtoull(optarg, NULL, 10);
            break;
        case 's':
            o->from = strtoull(optarg, NULL, 10);
            o->one = true;
            break;
        case 'S':
            o->seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'j':
            o->jobs = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            o->from = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            o->limits.steps = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            good = parse_without(optarg, &o->limits.without);
            break;
        case 'k':
            o->keep_going = true;
            break;
        case 'h':
            o->hashes = true;
            break;
        case 'p':
            o->planted = true;
            o->plant = optarg;
            break;
        default:
            good = false;
        }
    }
    if (o->planted && optind < argc)
        o->plant = argv[optind++];
    if (!count)
        count = o->seconds ? UINT64_MAX / 2 : 1000;
    o->to = o->from + count - 1;
    return good && optind == argc && o->jobs >= 1 && o->jobs <= 64 && o->from >= 1;
}

static int run_one(const struct options *o)
{
    char failure[1024];
    unsigned steps;
    uint64_t hash = sim_run(o->from, true, &o->limits, failure, &steps);

    printf("seed %llu, %u steps, trace %016llx: %s\n", (unsigned long long)o->from, steps,
           (unsigned long long)hash, failure[0] ? failure : "all held");
    return failure[0] ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .jobs = 1, .program = argv[0]};

    pool_install();
    if (!parse(&o, argc, argv)) {
        fprintf(
            stderr,
            "usage: %s [--seeds FROM-TO | --count N] [--seconds S] [--first-seed N] [--jobs N]\n"
            "           [--keep-going] [--hashes] [--seed N] [--steps N] [--without TROUBLE,...]\n"
            "           [--planted [NAME]]\n",
            argv[0]);
        return 2;
    }
    return o.one ? run_one(&o) : o.planted ? run_planted(&o) : run_many(&o);
}
