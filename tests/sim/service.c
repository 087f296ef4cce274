/* The model DynamoDB. A request arrives when it is sent or when it is answered, by chance. When its
 * answer was no use, or the process that sent it died, each of its writes is carried out then,
 * never, or at any later moment while the service would still admit the request: after newer writes
 * of the same key too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/plant.h"
#include "service.h"
#include "state/store.h"
#include "vfs.h"

static void flight_free(struct sim_flight *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        buf_free(&f->writes[i].key);
        buf_free(&f->writes[i].json);
    }
    list_remove(&f->link);
    free(f);
}

void service_free(struct world *w)
{
    list_for_each(pos, after, &w->flights) flight_free(container_of(pos, struct sim_flight, link));
    list_for_each(late, after_late, &w->late)
        service_late_free(container_of(late, struct sim_late, link));
    for (uint32_t i = 0; i < SIM_TABLES; i++)
        buf_free(&w->surveys[i].after);
    for (size_t i = 0; i < w->table_count; i++) {
        service_clear(&w->tables[i]);
        map_free(&w->tables[i].items);
        free(w->tables[i].name);
    }
}

/* --- a request arrives ------------------------------------------------------------------------ */

static void apply(struct world *w, struct sim_flight *f, uint32_t but)
{
    for (unsigned i = 0; i < f->count; i++)
        if (!(but >> i & 1))
            service_carry_out(w, &f->writes[i], false);
}

static void answer(struct sim_flight *f, enum reply_class class, int status, const char *code)
{
    f->reply = (struct reply){.class = class, .status = status};
    snprintf(f->reply.code, sizeof f->reply.code, "%s", code);
    snprintf(f->reply.message, sizeof f->reply.message, "simulated %s", code);
}

/* What the service itself refuses. */
static bool refused(const struct world *w, struct sim_flight *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct sim_table *t = f->writes[i].table;
        if (!t->exists || t->denied) {
            answer(f, t->exists ? REPLY_DENIED : REPLY_NO_TABLE, 400,
                   t->exists ? "AccessDeniedException" : "ResourceNotFoundException");
            return true;
        }
    }
    for (unsigned i = 0; i < f->count; i++)
        if (service_refuses(w, &f->writes[i])) {
            answer(f, REPLY_INVALID, 400, "ValidationException");
            return true;
        }
    return false;
}

static uint32_t throttled_writes(const struct sim_flight *f)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < f->count; i++)
        mask |= f->writes[i].table->throttled ? UINT32_C(1) << i : 0;
    return mask;
}

/* A planted fault: the request had been sent once before, and that is carried out late. */
static void sent_before(struct world *w, struct sim_flight *f)
{
    usec late = service_lateness(w);

    for (unsigned i = 0; i < f->count; i++) {
        struct sim_write x = f->writes[i];
        x.key = x.json = (struct buf){0};
        buf_append(&x.key, f->writes[i].key.data, f->writes[i].key.len);
        buf_append(&x.json, f->writes[i].json.data, f->writes[i].json.len);
        service_leave(w, &x, w->now + late);
    }
}

static void accept(struct world *w, struct sim_flight *f)
{
    uint32_t mask = 0;

    if (sim_chance(w, w->faults.unprocessed))
        mask = (uint32_t)rng_next(&w->rng) & ((UINT32_C(1) << f->count) - 1);
    mask |= throttled_writes(f);
    apply(w, f, mask);
    if (PLANTED(RESENT_UNSEEN) && sim_chance(w, 100))
        sent_before(w, f);
    answer(f, REPLY_OK, 200, "");
    f->reply.message[0] = '\0';
    f->reply.unprocessed = mask;
    f->reply.write_units = f->count;
}

/* Of a request whose answer nobody gets: each write is carried out now, later or never. */
static void let_go(struct world *w, struct sim_flight *f)
{
    bool together = sim_chance(w, 500);
    unsigned fate = sim_pick(w, 3);
    usec late = service_lateness(w);

    for (unsigned i = 0; i < f->count; i++) {
        struct sim_write *x = &f->writes[i];
        if (!together) {
            fate = sim_pick(w, 3);
            late = service_lateness(w);
        }
        if (fate == 0 && x->table->exists && !x->table->denied && !service_refuses(w, x))
            service_carry_out(w, x, false);
        else if (fate == 1 && f->sent + late > w->now)
            service_leave(w, x, f->sent + late);
    }
}

/* The service carries it out now, later or not at all, and the answer is no use. */
static void garble(struct world *w, struct sim_flight *f, enum reply_class class, int status,
                   const char *code)
{
    let_go(w, f);
    answer(f, class, status, code);
}

static void arrive(struct world *w, struct sim_flight *f)
{
    service_late(w); /* what comes before it, though time has passed in one leap */
    f->arrived = true;
    if (sim_chance(w, w->faults.not_sent))
        answer(f, REPLY_NOT_SENT, 0, "connect");
    else if (sim_chance(w, w->faults.expired))
        answer(f, REPLY_EXPIRED, 400, "ExpiredTokenException");
    else if (sim_chance(w, w->faults.throttled))
        answer(f, REPLY_THROTTLED, 400, "ProvisionedThroughputExceededException");
    else if (sim_chance(w, w->faults.ambiguous))
        garble(w, f, REPLY_AMBIGUOUS, 0, "timeout");
    else if (sim_chance(w, w->faults.transient))
        garble(w, f, REPLY_TRANSIENT, 500, "InternalServerError");
    else if (sim_chance(w, w->faults.other))
        answer(f, sim_chance(w, 500) ? REPLY_CREDENTIALS : REPLY_CLOCK, 400, "Signature");
    else if (refused(w, f))
        return;
    else if (throttled_writes(f) == (UINT32_C(1) << f->count) - 1)
        answer(f, REPLY_THROTTLED, 400, "ThrottlingException");
    else
        accept(w, f);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool in_flight(struct world *w, const struct payload *p)
{
    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; i < f->count; i++)
            if (f->writes[i].target == p->target && f->writes[i].key.len == p->key_len &&
                memcmp(f->writes[i].key.data, p->key, p->key_len) == 0)
                return true;
    }
    return false;
}

/* Would what was read stand after a power failure? */
static bool is_durable(const struct world *w, const struct payload *p)
{
    unsigned oldest = w->commit_count > SIM_COMMITS ? w->commit_count - SIM_COMMITS : 0;

    if (w->disk_lies) /* then it is for the comparison at rest to tell */
        return true;
    for (unsigned i = w->commit_count; i-- > oldest;) {
        const struct sim_commit *c = &w->commits[i % SIM_COMMITS];
        if (p->serial >= c->serial)
            return vfs_is_durable(w->database, strcmp(w->journal_mode, "WAL") == 0, c->operation);
    }
    return true;
}

static void check_request(struct world *w, const struct request *r)
{
    size_t bytes = 0;

    if (r->count < 1 || r->count > BATCH_MAX_ITEMS)
        sim_fail(w, "I10: a request of %u writes", r->count);
    if (w->stopping || w->paused)
        sim_fail(w, "a request is sent while %s", w->stopping ? "stopping" : "paused");
    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        const struct mirror_target *t = mirror_target(w->mirror, p->target);
        bytes += p->json_len + BATCH_WRITE_OVERHEAD;
        if (!is_durable(w, p))
            sim_fail(w, "I4: a write for %s may be taken back", t->name);
        if (!t->open)
            sim_fail(w, "a request for %s, which is not open", t->name);
        if (in_flight(w, p))
            sim_fail(w, "I10: a key of %s is in flight twice", t->name);
        for (unsigned k = 0; k < i; k++) {
            const struct payload *q = r->writes[k];
            if (q->target == p->target && q->key_len == p->key_len &&
                memcmp(q->key, p->key, p->key_len) == 0)
                sim_fail(w, "I10: a key of %s is in one request twice", t->name);
            if (q->target == p->target && r->writes[i - 1]->target != p->target)
                sim_fail(w, "writes of %s do not stand together in the request", t->name);
        }
    }
    if (bytes > BATCH_MAX_BYTES)
        sim_fail(w, "I10: a request of %zu bytes", bytes);
}

void service_send(void *arg, const struct request *r)
{
    struct world *w = arg;
    struct sim_flight *f = calloc(1, sizeof *f);

    if (!f)
        abort();
    check_request(w, r);
    list_init(&f->link);
    f->id = r->id;
    f->sent = w->now;
    f->count = r->count;
    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        struct sim_write *x = &f->writes[i];
        x->target = p->target;
        x->table = service_table(w, mirror_target(w->mirror, p->target)->name);
        x->put = p->op == WRITE_PUT;
        x->process = w->starts;
        x->unentered = !p->journal || service_passed_over(w, x->table);
        buf_append(&x->key, p->key, p->key_len);
        buf_append(&x->json, p->json, p->json_len);
        sim_trace(w, "  %s %s %.*s", x->put ? "put" : "delete",
                  mirror_target(w->mirror, p->target)->name, sim_shown(p->json_len), p->json);
    }
    sim_trace(w, "  request %llu of %u", (unsigned long long)r->id, r->count);
    w->requests++;
    f->due = w->now + (sim_chance(w, 50) ? sim_pick(w, 10000) : sim_pick(w, 30)) * USEC_PER_MSEC;
    if (sim_chance(w, 500))
        arrive(w, f);
    list_push_back(&w->flights, &f->link);
}

usec service_due(const struct world *w)
{
    usec due = USEC_NEVER;

    list_for_each(pos, after, &w->flights)
    {
        const struct sim_flight *f = container_of(pos, struct sim_flight, link);
        due = f->due < due ? f->due : due;
    }
    return due;
}

static struct sim_flight *choose(struct world *w, bool due)
{
    struct sim_flight *chosen = NULL;
    unsigned n = 0;

    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        if ((!due || f->due <= w->now) && sim_pick(w, ++n) == 0)
            chosen = f;
    }
    return chosen;
}

bool service_answer(struct world *w, bool due)
{
    struct sim_flight *f = choose(w, due);

    if (!f)
        return false;
    if (!f->arrived)
        arrive(w, f);
    list_remove(&f->link);
    sim_trace(w, "answer %llu: class %d %s, unprocessed %x", (unsigned long long)f->id,
              f->reply.class, f->reply.code, f->reply.unprocessed);
    mirror_reply(w->mirror, w->now, f->id, &f->reply);
    flight_free(f);
    w->pumping = true;
    return true;
}

void service_orphan(struct world *w)
{
    service_late(w);
    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; i < f->count; i++)
            /* A clean stop keeps that they were on their way. */
            f->writes[i].orphan = !w->stopping && !service_tells(w, f->writes[i].table);
        if (!f->arrived)
            let_go(w, f);
        flight_free(f);
    }
}
