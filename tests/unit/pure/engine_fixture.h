/* An engine with a clock of its own and a log of what it did, for tests that read as scenarios.
 *
 * A write is named by its key and version: a1. Deletes have a minus, targets beyond the first a
 * prefix: -a2, 1/b3. What the engine did since the last look is one text:
 *
 *     send#1[a1 b1] written a1 spared a2 refused b1 park 1 credentials retry
 *
 * Requests of more than eight writes show their number only: send#2(25). Include after cmocka.h. */
#ifndef SYNCD_TESTS_ENGINE_FIXTURE_H
#define SYNCD_TESTS_ENGINE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define MS USEC_PER_MSEC

struct world {
    struct engine *engine;
    struct engine_config config;
    struct actions out;
    usec now;
    struct buf log;
    usec delay;         /* of the last ACTION_RETRY */
    uint8_t held[128];  /* by the key's first character: digest that the store has, 0: none */
    uint64_t last_sent; /* id */
    const struct request *flying[64];
    size_t flying_count;
};

struct offered {
    const char *key;
    unsigned version;
    uint32_t target, units;
    size_t size;
    uint8_t digest;
    bool delete, force;
    struct span *span, *load; /* one reference is taken */
    uint64_t serial;          /* taken when it was read */
};

static inline void name_of(const struct payload *p, struct buf *out)
{
    if (p->target)
        buf_printf(out, "%u/", p->target);
    buf_printf(out, "%s%.*s%.*s", p->op == WRITE_DELETE ? "-" : "", (int)p->key_len, p->key,
               (int)p->row_key_len, p->row_key);
}

static inline bool world_holds(void *arg, struct payload *p)
{
    const struct world *w = arg;

    return p->digest[0] && w->held[(unsigned char)p->key[0]] == p->digest[0];
}

/* What holds of every request, whatever the scenario. */
static inline void check_request(struct world *w, const struct request *r)
{
    size_t bytes = BATCH_BODY_OVERHEAD;

    assert_in_range(r->count, 1, BATCH_MAX_ITEMS);
    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        bytes += p->json_len + BATCH_WRITE_OVERHEAD;
        for (unsigned j = 0; j < i; j++) {
            const struct payload *q = r->writes[j];
            assert_false(q->target == p->target && q->key_len == p->key_len &&
                         memcmp(q->key, p->key, p->key_len) == 0);
            /* writes of one table stand together */
            assert_false(q->target == p->target && r->writes[i - 1]->target != p->target);
        }
        for (size_t f = 0; f < w->flying_count; f++)
            for (unsigned j = 0; j < w->flying[f]->count; j++) {
                const struct payload *q = w->flying[f]->writes[j];
                assert_false(q->target == p->target && q->key_len == p->key_len &&
                             memcmp(q->key, p->key, p->key_len) == 0);
            }
    }
    assert_true(bytes <= BATCH_MAX_BYTES);
}

static inline void log_send(struct world *w, const struct request *r)
{
    check_request(w, r);
    w->flying[w->flying_count++] = r;
    w->last_sent = r->id;
    buf_printf(&w->log, "send#%llu", (unsigned long long)r->id);
    if (r->count > 8) {
        buf_printf(&w->log, "(%u) ", r->count);
        return;
    }
    for (unsigned i = 0; i < r->count; i++) {
        buf_putc(&w->log, i ? ' ' : '[');
        name_of(r->writes[i], &w->log);
    }
    buf_puts(&w->log, "] ");
}

static inline void log_outcome(struct world *w, const char *word, struct payload *p)
{
    buf_printf(&w->log, "%s ", word);
    name_of(p, &w->log);
    buf_putc(&w->log, ' ');
    payload_free(p);
}

static inline void log_action(struct world *w, const struct action *a)
{
    switch (a->kind) {
    case ACTION_SEND:
        log_send(w, a->request);
        break;
    case ACTION_WRITTEN:
        w->held[(unsigned char)a->payload->key[0]] =
            a->payload->op == WRITE_PUT ? a->payload->digest[0] : 0;
        log_outcome(w, "written", a->payload);
        break;
    case ACTION_SPARED:
        log_outcome(w, "spared", a->payload);
        break;
    case ACTION_REFUSED:
        assert_non_null(a->reply);
        log_outcome(w, "refused", a->payload);
        break;
    case ACTION_PARK:
        assert_non_null(a->reply);
        buf_printf(&w->log, "park %u ", a->target);
        break;
    case ACTION_CREDENTIALS:
        assert_non_null(a->reply);
        buf_puts(&w->log, "credentials ");
        break;
    case ACTION_RETRY:
        assert_non_null(a->reply);
        w->delay = a->delay;
        buf_puts(&w->log, "retry ");
        break;
    }
}

static inline void act(struct world *w, const struct event *ev)
{
    assert_int_equal(engine_step(w->engine, w->now, ev, &w->out), 0);
    for (size_t i = 0; i < w->out.count; i++)
        log_action(w, &w->out.items[i]);
    actions_clear(&w->out);
}

static inline void tick(struct world *w)
{
    act(w, &(struct event){.kind = EVENT_TIMER});
}

static inline void advance(struct world *w, usec by)
{
    w->now += by;
    tick(w);
}

/* To when the engine wants to be woken. */
static inline void wait_deadline(struct world *w)
{
    usec t = engine_deadline(w->engine);

    assert_true(t != USEC_NEVER);
    if (t > w->now)
        w->now = t;
    tick(w);
}

static inline void control(struct world *w, enum event_kind kind, uint32_t target)
{
    act(w, &(struct event){.kind = kind, .target = target});
}

static inline void offer_as(struct world *w, struct offered o)
{
    _cleanup_buf_ struct buf key = {0}, row_key = {0}, json = {0};

    buf_puts(&key, o.key);
    buf_printf(&row_key, "%u", o.version);
    buf_puts(&json, "{}");
    assert_true(buf_reserve(&json, o.size));
    while (json.len < o.size)
        buf_putc(&json, ' ');
    struct payload *p =
        payload_new(NULL, o.delete ? WRITE_DELETE : WRITE_PUT, &key, &row_key, &json);
    assert_non_null(p);
    p->target = o.target;
    p->units = o.units ? o.units : 1;
    p->digest[0] = o.digest;
    p->serial = o.serial;
    p->force = o.force;
    p->read_at = w->now;
    p->journal = span_ref(o.span);
    p->load = span_ref(o.load);
    act(w, &(struct event){.kind = EVENT_OFFER, .payload = p});
}

static inline void offer(struct world *w, const char *key, unsigned version)
{
    offer_as(w, (struct offered){.key = key, .version = version});
}

static inline void offer_to(struct world *w, uint32_t target, const char *key, unsigned version)
{
    offer_as(w, (struct offered){.target = target, .key = key, .version = version});
}

/* `n` different keys p0, p1, … */
static inline void offer_many(struct world *w, uint32_t target, const char *prefix, int n)
{
    for (int i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%d.", prefix, i);
        offer_to(w, target, key, 1);
    }
}

static inline void answer_as(struct world *w, uint64_t id, struct reply r)
{
    for (size_t i = 0; i < w->flying_count; i++)
        if (w->flying[i]->id == id)
            w->flying[i] = w->flying[--w->flying_count];
    act(w, &(struct event){.kind = EVENT_REPLY, .request_id = id, .reply = &r});
}

static inline void answer(struct world *w, uint64_t id, enum reply_class class)
{
    answer_as(w, id, (struct reply){.class = class});
}

static inline void answer_unprocessed(struct world *w, uint64_t id, uint32_t mask)
{
    answer_as(w, id, (struct reply){.class = REPLY_OK, .unprocessed = mask});
}

static inline void did(struct world *w, const char *want)
{
    buf_puts(&w->log, "");
    if (w->log.len && w->log.data[w->log.len - 1] == ' ')
        w->log.data[--w->log.len] = '\0';
    assert_string_equal(w->log.data, want);
    buf_clear(&w->log);
}

static inline void forget_log(struct world *w)
{
    buf_clear(&w->log);
}

static inline struct engine_stats stats(const struct world *w)
{
    struct engine_stats s;

    engine_stats(w->engine, &s);
    return s;
}

/* An engine whose targets are open; `tweak` may change the configuration first. */
static inline void world_make(struct world *w, uint32_t targets,
                              void (*tweak)(struct engine_config *c))
{
    *w = (struct world){.now = 1000 * USEC_PER_SEC};
    w->config = (struct engine_config){.max_in_flight = 4,
                                       .max_items = 1000,
                                       .max_bytes = 256 * 1024 * 1024,
                                       .linger = 5 * MS,
                                       .backoff_base = 25 * MS,
                                       .backoff_max = 20 * USEC_PER_SEC,
                                       .throttle_base = USEC_PER_SEC,
                                       .seed = 1,
                                       .arg = w,
                                       .holds = world_holds};
    if (tweak)
        tweak(&w->config);
    w->engine = engine_new(&w->config, targets);
    assert_non_null(w->engine);
    for (uint32_t i = 0; i < targets; i++)
        control(w, EVENT_OPEN, i);
}

static inline void world_free(struct world *w)
{
    engine_free(w->engine);
    actions_free(&w->out);
    buf_free(&w->log);
}

/* Nothing is left of anything. */
static inline void is_empty(const struct world *w)
{
    struct engine_stats s = stats(w);

    assert_int_equal(s.items, 0);
    assert_int_equal(s.bytes, 0);
    assert_int_equal(s.in_flight, 0);
    assert_int_equal(w->flying_count, 0);
}

#define _cleanup_world_ _cleanup_(world_free)

#endif
