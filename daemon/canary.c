#include "canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/text.h"
#include "daemon.h"
#include "jobs/ddb_reply.h"
#include "source/canary.h"

#define BEAT_RETRY (100 * USEC_PER_MSEC)
#define BEAT_MAX   (1600 * USEC_PER_MSEC)
#define LOOK_FIRST (250 * USEC_PER_MSEC)
#define LOOK_MAX   (5 * USEC_PER_SEC)

static bool on_duty(const struct daemon *d)
{
    return d->config->canary && d->state == DAEMON_RUNNING && mirror_on_duty(d->mirror);
}

bool canary_on_its_way(const struct daemon *d)
{
    const struct canary *c = &d->canary;

    return c->beat && !c->back && !mirror_canary_sent(d->mirror, c->seq);
}

static void look_later(struct canary *c, usec now)
{
    usec wait = LOOK_FIRST << (c->looks < 5 ? c->looks : 5);

    c->looks++;
    c->next_look = now + (wait < LOOK_MAX ? wait : LOOK_MAX);
}

/* The beat of the item in a GetItem reply; "" when there is none. */
static void read_beat(const struct http_reply *h, char *out, size_t size)
{
    json_t *root = json_loadb(h->body, h->body_len, 0, NULL);
    const json_t *beat = json_object_get(json_object_get(root, "Item"), "beat");
    const char *n = json_string_value(json_object_get(beat, "N"));

    text_copy(out, size, n ? n : "");
    json_decref(root);
}

static void failed(struct daemon *d, const struct reply *r)
{
    struct canary *c = &d->canary;

    snprintf(c->why, sizeof c->why, "reading it back failed: %.64s: %.300s", r->code, r->message);
    daemon_note_reply(d, r);
    if (r->class == REPLY_EXPIRED || r->class == REPLY_CREDENTIALS || r->class == REPLY_CLOCK)
        targets_want_credentials(d, r);
}

static void looked(void *arg, const struct http_reply *h)
{
    struct daemon *d = arg;
    struct canary *c = &d->canary;
    char expected[24], found[24];
    struct reply r;

    c->asking = NULL;
    ddb_reply_read(h, &r);
    look_later(c, clock_monotonic());
    if (r.class != REPLY_OK) {
        failed(d, &r);
        daemon_pump(d);
        return;
    }
    daemon_note_reply(d, &r);
    read_beat(h, found, sizeof found);
    snprintf(expected, sizeof expected, "%" PRId64, c->beat);
    if (strcmp(found, expected) == 0) {
        c->back = true;
        c->since = c->written;
        c->seen = clock_wall();
        c->why[0] = '\0';
    } else {
        snprintf(c->why, sizeof c->why,
                 found[0] ? "what was read back is an older one, although all was acknowledged"
                          : "its item is not there, although all was acknowledged");
    }
    daemon_pump(d);
}

static void look(struct daemon *d, usec now)
{
    struct canary *c = &d->canary;
    struct buf body = {0};
    struct err err = {0};
    char id[MIRROR_CANARY_ID];

    mirror_canary_id(d->mirror, id);
    buf_lit(&body, "{\"TableName\":");
    json_append_string_lossy(&body, d->config->meta_table, strlen(d->config->meta_table));
    buf_printf(&body,
               ",\"ConsistentRead\":true,\"Key\":{\"id\":{\"S\":\"%s\"},\"kind\":{\"S\":\"%s\"}}}",
               id, CANARY_KIND);
    if (ddb_start(d->ddb, "GetItem", &body, looked, d, &c->asking, &err) < 0) {
        c->asking = NULL;
        snprintf(c->why, sizeof c->why, "it cannot be read back: %.300s", err.text);
        look_later(c, now);
    }
}

static void beat(struct daemon *d, usec now)
{
    struct canary *c = &d->canary;
    const char *why;
    int64_t value = clock_wall(); /* another one than before, even over a restart */

    value += value == c->beat;
    if (mirror_canary_beat(d->mirror, now, c->next_beat, value, &c->seq, &why) < 0) {
        if (c->back || !c->beat)
            snprintf(c->why, sizeof c->why, "it cannot be written: %s", why);
        c->retry = c->retry && c->retry < BEAT_MAX ? 2 * c->retry : BEAT_RETRY;
        c->next_beat = now + c->retry;
        return;
    }
    c->beat = value;
    c->written = now;
    c->back = false;
    c->looks = 0;
    c->retry = 0;
    c->next_look = now;
    c->next_beat = now + d->config->canary / 3;
    snprintf(c->why, sizeof c->why, "the one written last is on its way");
    daemon_pump(d);
}

void canary_turn(struct daemon *d, usec now)
{
    struct canary *c = &d->canary;

    if (!on_duty(d)) {
        c->on_duty = false;
        return;
    }
    if (!c->on_duty) {
        c->on_duty = true;
        c->since = c->next_beat = now;
        c->beat = 0;
    }
    bool there = c->beat && !canary_on_its_way(d);
    if (there && !c->back && !c->asking && c->next_look <= now)
        look(d, now);
    if (c->next_beat <= now && !c->asking && (!c->beat || there))
        beat(d, now);
}

usec canary_due(const struct daemon *d)
{
    const struct canary *c = &d->canary;

    /* Whatever ends these waits has a turn of its own. */
    if (!c->on_duty || c->asking || canary_on_its_way(d))
        return USEC_NEVER;
    return c->beat && !c->back && c->next_look < c->next_beat ? c->next_look : c->next_beat;
}

usec canary_age(const struct daemon *d, usec now)
{
    return d->canary.on_duty ? now - d->canary.since : 0;
}

void canary_stop(struct daemon *d)
{
    ddb_cancel(take_ptr(d->canary.asking));
}
