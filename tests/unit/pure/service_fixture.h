/* A service with capacity, hot keys and outages for the engine to meet, in virtual time. Tables
 * have a number of write units a second; keys that begin with 'h' lie in one partition of their
 * table, which has a number of its own. Include after cmocka.h. */
#ifndef SYNCD_TESTS_SERVICE_FIXTURE_H
#define SYNCD_TESTS_SERVICE_FIXTURE_H

#include "base/rng.h"
#include "engine_fixture.h"

enum { TABLES = 3, MAX_SECONDS = 400, TENTHS = MAX_SECONDS * 10, FLIGHTS = 64 };

struct table {
    double capacity; /* write units a second, 0: any number */
    double tokens;
    usec at;
};

struct service {
    struct world w;
    struct rng rng;
    usec start, latency;
    struct table tables[TABLES], hot;
    double told;           /* units consumed for each that was estimated; 0: nothing is told */
    enum reply_class down; /* what every request ends with; REPLY_OK: it works */
    usec down_latency;
    struct {
        uint64_t id;
        usec due;
        enum reply_class down;
    } flights[FLIGHTS];
    size_t flight_count, most_flights;
    uint64_t made, tried, passed, left, throttled, steps;
    double units[TABLES][TENTHS]; /* consumed, by tenths of a second */
    uint64_t writes[TABLES], hot_writes;
};

static inline void service_make(struct service *s, uint32_t targets,
                                void (*tweak)(struct engine_config *))
{
    *s = (struct service){.rng = {7}, .latency = 20 * MS, .told = 1};
    world_make(&s->w, targets, tweak);
    s->start = s->w.now;
}

static inline void service_free(struct service *s)
{
    world_free(&s->w);
}

#define _cleanup_service_ _cleanup_(service_free)

/* --- what the service does -------------------------------------------------------------------- */

static inline bool passes(struct table *t, usec now, double units)
{
    if (t->capacity <= 0)
        return true;
    t->tokens += t->capacity * (double)(now - t->at) / 1e6;
    t->at = now;
    if (t->tokens > t->capacity)
        t->tokens = t->capacity;
    if (t->tokens <= 0)
        return false;
    t->tokens -= units;
    return true;
}

static inline const struct request *request_of(const struct service *s, uint64_t id)
{
    for (size_t i = 0; i < s->w.flying_count; i++)
        if (s->w.flying[i]->id == id)
            return s->w.flying[i];
    fail_msg("request %llu is not in flight", (unsigned long long)id);
    return NULL;
}

static inline void serve(struct service *s, uint64_t id)
{
    const struct request *r = request_of(s, id);
    struct reply reply = {.class = REPLY_OK};
    bool hot_only = true;
    double units = 0;

    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        bool hot = p->key[0] == 'h';
        s->tried++;
        if ((hot && !passes(&s->hot, s->w.now, p->units)) ||
            !passes(&s->tables[p->target], s->w.now, p->units)) {
            reply.unprocessed |= UINT32_C(1) << i;
            hot_only &= hot;
            s->left++;
            continue;
        }
        units += p->units;
        s->passed++;
        s->writes[p->target]++;
        s->hot_writes += hot;
        size_t tenth = (size_t)((s->w.now - s->start) / (USEC_PER_SEC / 10));
        if (tenth < TENTHS)
            s->units[p->target][tenth] += p->units * (s->told > 0 ? s->told : 1);
    }
    reply.write_units = units * s->told;
    if (units == 0) {
        s->throttled++;
        reply = (struct reply){.class = REPLY_THROTTLED, .key_range = hot_only};
    }
    answer_as(&s->w, id, reply);
}

static inline void note_flights(struct service *s)
{
    for (size_t i = 0; i < s->w.flying_count; i++) {
        bool known = false;
        for (size_t k = 0; k < s->flight_count; k++)
            known |= s->flights[k].id == s->w.flying[i]->id;
        if (known)
            continue;
        assert_true(s->flight_count < FLIGHTS);
        s->flights[s->flight_count].id = s->w.flying[i]->id;
        s->flights[s->flight_count].down = s->down;
        s->flights[s->flight_count++].due =
            s->w.now + (s->down == REPLY_OK ? s->latency : s->down_latency);
    }
    if (s->flight_count > s->most_flights)
        s->most_flights = s->flight_count;
}

static inline usec next_due(const struct service *s, size_t *which)
{
    usec due = USEC_NEVER;

    for (size_t i = 0; i < s->flight_count; i++)
        if (s->flights[i].due < due) {
            due = s->flights[i].due;
            *which = i;
        }
    return due;
}

/* One thing happens: a reply, or the engine wakes; not past `end`. */
static inline void step(struct service *s, usec end)
{
    size_t which = 0;

    note_flights(s);
    usec due = next_due(s, &which), wake = engine_deadline(s->w.engine);
    usec t = due < wake ? due : wake;
    s->steps++;
    if (t > end) {
        s->w.now = end;
        return;
    }
    if (t > s->w.now)
        s->w.now = t;
    if (due <= wake) {
        uint64_t id = s->flights[which].id;
        enum reply_class down = s->flights[which].down;
        s->flights[which] = s->flights[--s->flight_count];
        if (down != REPLY_OK)
            answer(&s->w, id, down);
        else
            serve(s, id);
    } else {
        tick(&s->w);
    }
    forget_log(&s->w);
    note_flights(s);
}

/* --- what the source does --------------------------------------------------------------------- */

static inline void add(struct service *s, uint32_t target, char kind, uint32_t units)
{
    char key[32];

    snprintf(key, sizeof key, "%c%llu", kind, (unsigned long long)++s->made);
    offer_as(&s->w, (struct offered){.key = key, .version = 1, .target = target, .units = units});
}

/* Never out of work for `seconds`: `more` writes are offered whenever fewer are pending. */
static inline void busy(struct service *s, int seconds, size_t more, void (*make)(struct service *))
{
    usec end = s->w.now + seconds * USEC_PER_SEC;

    while (s->w.now < end) {
        if (stats(&s->w).items < more) {
            while (stats(&s->w).items < 2 * more)
                make(s);
            tick(&s->w);
        }
        step(s, end);
    }
}

static inline void idle(struct service *s, int seconds)
{
    usec end = s->w.now + seconds * USEC_PER_SEC;

    while (s->w.now < end)
        step(s, end);
}

static inline void drain(struct service *s, int seconds)
{
    usec end = s->w.now + seconds * USEC_PER_SEC;

    while (stats(&s->w).items && s->w.now < end)
        step(s, end);
    is_empty(&s->w);
}

static inline void tiny(struct service *s)
{
    add(s, 0, 'k', 1);
}

#endif
