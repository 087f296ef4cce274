/* What fails within the mirror (memory, SQLite, files, locks, requests) while it does each of the
 * things it does: the nth time, once or from then on until the end of the scenario. Nothing
 * crashes, hangs or leaks; `converged` is never said falsely; and once all is well again both sides
 * are equal. A process that ends (it cannot start, or gives up by abort()) is started again, as
 * systemd does.
 *
 *     INJECT=all                       every n of every scenario
 *     INJECT=insert                    every n of that scenario
 *     INJECT_JOBS=4                    so many of those at once
 *     INJECT="insert memory once 17"   one run, with a trace on stderr
 *     INJECT_SEED=5                    other worlds, and another sample of n
 *     INJECT_SAMPLE=50                 a larger one: so many n of each kind, once and lasting
 *     INJECT_SECONDS=600               as much of everything as fits, spread evenly over all of it
 *     INJECT_START=12345               where that begins; without it anywhere, which is printed,
 *                                      and so is where to go on: each place is come by once */
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject_scenarios.h"

#include <cmocka.h>

enum { SAMPLE = 2 };

/* --- a run ------------------------------------------------------------------------------------ */

struct run {
    const struct scenario *scenario;
    enum inject_kind kind;
    uint64_t nth; /* 0: nothing fails, all is counted */
    bool lasting;
    uint64_t seed;
};

static char running[200]; /* for whoever finds the program dead */
static const struct run *running_run;

enum { SECONDS = 60 }; /* after which a run is taken to hang, whatever else the machine does */

static void name_run(const struct run *r)
{
    snprintf(running, sizeof running, "INJECT=\"%s %s %s %llu\" INJECT_SEED=%llu",
             r->scenario->name, inject_names[r->kind], r->lasting ? "lasting" : "once",
             (unsigned long long)r->nth, (unsigned long long)r->seed);
}

/* --- every run of a scenario ------------------------------------------------------------------ */

/* Up to the nth call all runs are alike: one process plays the scenario with nothing failing, and
 * at each call has children of it play the rest with that call failing. */
static struct crowd {
    unsigned jobs, children, runs, failures;
    bool child;
} crowd;

static void await_one(void)
{
    int status = 0;
    pid_t pid = wait(&status);

    if (pid < 0)
        fail_msg("a child has gone");
    crowd.children--;
    crowd.failures += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (WIFSIGNALED(status))
        fprintf(stderr, "a run before %s died of signal %d\n", running, WTERMSIG(status));
}

static void be_child(enum inject_kind kind, uint64_t n, bool lasting)
{
    struct run r = *running_run;

    crowd.child = true;
    r.kind = inject.kind = kind;
    r.nth = inject.nth = n;
    r.lasting = inject.lasting = lasting;
    inject.branch = NULL;
    name_run(&r);
    alarm(SECONDS);
}

static void branch_off(enum inject_kind kind, uint64_t n)
{
    inject_within = false;
    for (unsigned lasting = 0; lasting < 2 && !crowd.child; lasting++) {
        while (crowd.children >= crowd.jobs)
            await_one();
        pid_t pid = fork();
        if (pid < 0)
            fail_msg("no process can be made");
        crowd.children++;
        crowd.runs++;
        if (pid == 0)
            be_child(kind, n, lasting);
    }
    inject_within = true;
}

/* --- its way ---------------------------------------------------------------------------------- */

static uint64_t chances[INJECT_KINDS]; /* to fail, in the scenario itself */

static void end_well(struct world *w)
{
    memcpy(chances, inject.seen, sizeof chances);
    inject.nth = 0;
    inject.branch = NULL;
    bury_dead(w);
    if (!w->mirror)
        begin(w);
    if (w->mirror && !w->failure[0] && (w->mirror->detached || w->mirror->uninstalled))
        order(w, mirror_attach_order);
    if (w->mirror && !w->failure[0])
        sim_settle(w);
    if (w->mirror && !w->failure[0])
        oracle_compare(w, "at rest");
    if (w->failure[0])
        return;
    sim_stop(w);
    if (!begin(w))
        return;
    sim_settle(w);
    if (!w->failure[0])
        oracle_compare(w, "after a restart");
}

static void carry_through(struct world *w, const struct run *r)
{
    if (!r->scenario->cold && (!begin(w) || (sim_settle(w), w->failure[0])))
        return;
    inject = (struct inject){.kind = r->kind,
                             .nth = r->nth,
                             .lasting = r->lasting,
                             .branch = crowd.jobs ? branch_off : NULL};
    turns(w, 1);
    r->scenario->run(w);
    if (!is_dead(w) && !w->failure[0])
        oracle_converged(w);
    end_well(w);
}

static void run_once(const struct run *r, bool tracing, char failure[1024])
{
    const struct inject nothing = {.nth = 0};

    inject = nothing;
    name_run(r);
    running_run = r;
    alarm(crowd.jobs ? 0 : SECONDS);
    struct world *w = world_new(r->seed + (uint64_t)(r->scenario - scenarios), tracing);
    if (!w || !inject_files() || !world_build(w))
        snprintf(failure, 1024, "the world cannot be made");
    else {
        carry_through(w, r);
        snprintf(failure, 1024, "%s", w->failure);
    }
    struct inject counted = inject;
    inject.died = false;
    inject.nth = 0;
    if (w)
        world_free(w);
    inject = counted;
    alarm(0);
    if (crowd.child && failure[0])
        fprintf(stderr, "%s: %s\n", running, failure);
    if (crowd.child)
        _exit(failure[0] != '\0');
}

/* --- tests ------------------------------------------------------------------------------------ */

static uint64_t base_seed(void)
{
    const char *text = getenv("INJECT_SEED");

    return text ? strtoull(text, NULL, 10) : 1;
}

static unsigned sample_size(void)
{
    const char *text = getenv("INJECT_SAMPLE");

    return text ? (unsigned)strtoul(text, NULL, 10) : SAMPLE;
}

static unsigned failures, runs, barren;

static void try_one(const struct run *r, bool tracing)
{
    char failure[1024];

    run_once(r, tracing, failure);
    runs++;
    barren += r->nth && !inject.failed;
    if (!failure[0])
        return;
    fprintf(stderr, "%s: %s\n", running, failure);
    failures++;
}

/* `sample`: so many n of each kind and duration. */
static void try_sample(const struct scenario *s, unsigned sample)
{
    struct rng rng = {.state = base_seed() * 1000 + (uint64_t)(s - scenarios)};
    struct run r = {.scenario = s, .seed = base_seed()};
    uint64_t counts[INJECT_KINDS];

    try_one(&r, false);
    memcpy(counts, chances, sizeof counts);
    for (unsigned kind = 0; kind < INJECT_KINDS; kind++)
        for (unsigned lasting = 0; lasting < 2; lasting++) {
            uint64_t n = sample < counts[kind] ? sample : counts[kind];
            r.kind = (enum inject_kind)kind;
            r.lasting = lasting;
            for (uint64_t i = 1; i <= n; i++) {
                r.nth = n == counts[kind] ? i : 1 + rng_upto(&rng, counts[kind] - 1);
                try_one(&r, false);
            }
        }
}

static void try_every(const struct scenario *s)
{
    const char *jobs = getenv("INJECT_JOBS");
    const struct run r = {.scenario = s, .seed = base_seed()};

    crowd = (struct crowd){.jobs = jobs ? (unsigned)strtoul(jobs, NULL, 10) : 1};
    if (!crowd.jobs)
        crowd.jobs = 1;
    try_one(&r, false);
    while (crowd.children)
        await_one();
    uint64_t expected = 0;
    for (unsigned kind = 0; kind < INJECT_KINDS; kind++)
        expected += 2 * chances[kind];
    print_message("%s: %u runs, %u failed\n", s->name, crowd.runs, crowd.failures);
    assert_int_equal(crowd.runs, expected);
    runs += crowd.runs;
    failures += crowd.failures;
    crowd.jobs = 0;
}

/* --- a share of everything -------------------------------------------------------------------- */

/* How many runs a scenario has of each kind, once and lasting: `counts[kind]` of both. */
struct extent {
    const struct scenario *scenario;
    uint64_t counts[INJECT_KINDS], first; /* of all runs, its first one */
};

static uint64_t measure(struct extent all[SCENARIOS])
{
    uint64_t total = 0;

    for (unsigned i = 0; i < SCENARIOS; i++) {
        const struct run r = {.scenario = &scenarios[i], .seed = base_seed()};
        all[i] = (struct extent){.scenario = r.scenario, .first = total};
        try_one(&r, false);
        memcpy(all[i].counts, chances, sizeof chances);
        for (unsigned kind = 0; kind < INJECT_KINDS; kind++)
            total += 2 * chances[kind];
    }
    return total;
}

static struct run run_at(const struct extent all[SCENARIOS], uint64_t index)
{
    const struct extent *e = &all[SCENARIOS - 1];
    struct run r = {.seed = base_seed()};
    unsigned kind = 0;

    while (e->first > index)
        e--;
    index -= e->first;
    while (index >= 2 * e->counts[kind])
        index -= 2 * e->counts[kind++];
    r.scenario = e->scenario;
    r.kind = (enum inject_kind)kind;
    r.lasting = index >= e->counts[kind];
    r.nth = 1 + index % e->counts[kind];
    return r;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* Steps of about the golden section of the whole come by each run once, and any few of them lie far
 * apart. */
static void try_a_share(time_t seconds)
{
    struct extent all[SCENARIOS];
    const char *given = getenv("INJECT_START");
    struct timespec t;
    time_t began = time(NULL);
    uint64_t total = measure(all), done = 0;

    clock_gettime(CLOCK_REALTIME, &t);
    struct rng rng = {.state = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec};
    uint64_t start = (given ? strtoull(given, NULL, 10) : rng_next(&rng)) % total;
    uint64_t step = total * 618 / 1000 + 1;
    while (common_divisor(step, total) != 1)
        step++;
    print_message("%llu runs in all; INJECT_START=%llu\n", (unsigned long long)total,
                  (unsigned long long)start);
    for (; done < total && time(NULL) - began < seconds; done++) {
        struct run r = run_at(all, (uint64_t)((unsigned __int128)(start + done) * step % total));
        try_one(&r, false);
    }
    print_message("%llu of them; the next one is INJECT_START=%llu\n", (unsigned long long)done,
                  (unsigned long long)((start + done) % total));
}

static bool one_run(const char *text)
{
    struct run r = {.seed = base_seed()};
    char scenario[40], kind[40], duration[40];
    unsigned long long nth;

    if (sscanf(text, "%39s %39s %39s %llu", scenario, kind, duration, &nth) != 4)
        return false;
    for (unsigned i = 0; i < SCENARIOS; i++)
        r.scenario = strcmp(scenarios[i].name, scenario) == 0 ? &scenarios[i] : r.scenario;
    for (unsigned i = 0; i < INJECT_KINDS; i++)
        r.kind = strcmp(inject_names[i], kind) == 0 ? (enum inject_kind)i : r.kind;
    r.lasting = strcmp(duration, "lasting") == 0;
    r.nth = nth;
    if (!r.scenario)
        fail_msg("there is no scenario %s", scenario);
    try_one(&r, true);
    return true;
}

static void whatever_fails_both_sides_are_equal_at_last(void **state)
{
    const char *which = getenv("INJECT"), *seconds = getenv("INJECT_SECONDS");
    bool all = which && strcmp(which, "all") == 0, found = false;

    (void)state;
    failures = runs = barren = 0;
    if (which && one_run(which))
        found = true;
    else if (!which && seconds) {
        try_a_share((time_t)strtoll(seconds, NULL, 10));
        found = true;
    } else
        for (unsigned i = 0; i < SCENARIOS; i++)
            if (!which || all || strcmp(scenarios[i].name, which) == 0) {
                if (which)
                    try_every(&scenarios[i]);
                else
                    try_sample(&scenarios[i], sample_size());
                found = true;
            }
    if (!found)
        fail_msg("there is no scenario %s", which);
    print_message("%u runs, of which in %u nothing failed\n", runs, barren);
    if (failures)
        fail_msg("%u of %u runs failed", failures, runs);
}

/* The last reply comes, and there is no memory to keep what it says: the write goes again, though
 * nothing else happens any more. */
static void an_outcome_that_cannot_be_kept_comes_again(void **state)
{
    const struct inject nothing = {.nth = 0};
    uint64_t failed = 0, n = 0;

    (void)state;
    do {
        struct world *w = world_new(1, false);
        assert_true(w && inject_files() && world_build(w) && begin(w));
        sim_settle(w);
        app_run(w, "UPDATE people SET v='once more' WHERE id=(SELECT min(id) FROM people)");
        for (unsigned i = 0; i < 20 && list_empty(&w->flights); i++)
            sim_turn(w);
        assert_false(list_empty(&w->flights));
        inject = (struct inject){.kind = INJECT_MEMORY, .nth = ++n};
        service_answer(w, false);
        failed = inject.failed;
        end_well(w);
        assert_string_equal(w->failure, "");
        world_free(w);
        inject = nothing;
    } while (failed);
    assert_true(n > 1);
}

/* A text that SQLite has no memory to hand out is none that is empty. */
static void a_value_is_read_whole_or_not_at_all(void **state)
{
    const struct inject nothing = {.nth = 0};
    struct world *w = world_new(1, false);
    uint64_t failed = 0, n = 0, read = 0;

    (void)state;
    assert_true(w && inject_files() && world_build(w) && begin(w));
    app_run(w, "UPDATE people SET v=printf('%%.*c',3000,'x')");
    sim_settle(w);
    struct table_slot *t = mirror_table_named(w->mirror, "people");
    assert_true(t && mirror_rows(w->mirror, t) == SQLITE_OK);
    size_t at = 0;
    while (strcmp(t->plan->columns[at].name, "v") != 0)
        at++;
    do {
        sqlite3_stmt *page = NULL;
        int rc = rows_page(t->rows, NULL, -1, &page);
        inject = (struct inject){.kind = INJECT_SQLITE_MEMORY, .nth = ++n};
        inject_within = true;
        while (rc == SQLITE_OK && rows_next(t->rows, page) == SQLITE_ROW) {
            inject_within = false;
            assert_int_equal(t->rows->values[at].len, 3000);
            read++;
            inject_within = true;
        }
        inject_within = false;
        failed = inject.failed;
        rows_end(page);
    } while (failed);
    inject = nothing;
    assert_true(n > 1 && read > 1);
    world_free(w);
}

static void tell(int signal)
{
    static const char hung[] = " did not end\n", crashed[] = " crashed\n";
    const char *what = signal == SIGALRM ? hung : crashed;

    if (write(STDERR_FILENO, running, strlen(running)) < 0 ||
        write(STDERR_FILENO, what, strlen(what)) < 0)
        _exit(2);
    _exit(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outcome_that_cannot_be_kept_comes_again),
        cmocka_unit_test(a_value_is_read_whole_or_not_at_all),
        cmocka_unit_test(whatever_fails_both_sides_are_equal_at_last),
    };

    if (!inject_install())
        return 1;
    signal(SIGALRM, tell);
    signal(SIGABRT, tell);
#ifndef __SANITIZE_ADDRESS__
    signal(SIGSEGV, tell);
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
