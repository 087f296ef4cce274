/* What is in a DynamoDB table: keys of every item, page by page, for the mirror (mirror.h). One
 * call at a time for each table; a page is small, for it is judged key by key on the loop. */
#include <errno.h>
#include <stdio.h>

#include "base/text.h"
#include "daemon.h"
#include "dynamodb/scan.h"
#include "jobs/ddb_reply.h"
#include "mapping/ours.h"

enum { PAGE_ITEMS = 1000 };
#define RETRY_FIRST (250 * USEC_PER_MSEC)
#define RETRY_MAX   (15 * USEC_PER_SEC)

static void retry(struct survey *s)
{
    usec wait = RETRY_FIRST << (s->failures < 6 ? s->failures : 6);

    s->failures++;
    s->due = clock_monotonic() + (wait < RETRY_MAX ? wait : RETRY_MAX);
}

void surveyor_stop(struct probe *p)
{
    ddb_cancel(take_ptr(p->survey.call));
    json_decref(take_ptr(p->survey.after));
    p->survey = (struct survey){0};
}

void surveyor_start(void *arg, uint32_t target)
{
    struct daemon *d = arg;
    struct probe *p = d->probes[target];

    surveyor_stop(p);
    p->survey.active = true;
    daemon_pump(d);
}

static void over(struct probe *p, const struct reply *r)
{
    struct daemon *d = p->daemon;
    char why[400];

    surveyor_stop(p);
    if (r->class == REPLY_NO_TABLE) { /* lost since: the next look says so */
        p->due = clock_monotonic();
        return;
    }
    snprintf(why, sizeof why, "what DynamoDB table %.80s holds cannot be looked at: %.60s: %.200s",
             mirror_target(d->mirror, p->target)->name, r->code, r->message);
    log_event(LOG_EV_WARNING, "survey_failed", why, "target",
              mirror_target(d->mirror, p->target)->name, "code", r->code, "request_id",
              r->request_id, NULL);
    mirror_survey_failed(d->mirror, clock_monotonic(), p->target, r->code, why);
}

static void failed(struct probe *p, const struct reply *r)
{
    if (targets_refused(p->daemon, r))
        over(p, r);
    else
        retry(&p->survey);
}

static int collect(const struct key_schema *schema, const json_t *items, struct buf *out)
{
    _cleanup_buf_ struct buf key = {0};
    const json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        buf_clear(&key);
        if (item_key_of_json(schema, item, &key) < 0)
            return -EPROTO;
        buf_append(out, &key.len, sizeof key.len);
        buf_append(out, key.data, key.len);
    }
    return buf_ok(out) ? 0 : -ENOMEM;
}

/* False: it is no page. */
static bool take_page(struct probe *p, const struct http_reply *h)
{
    struct daemon *d = p->daemon;
    struct survey *s = &p->survey;
    const struct key_schema *schema = mirror_target(d->mirror, p->target)->schema;
    json_auto_t *root = json_loadb(h->body, h->body_len, JSON_ALLOW_NUL, NULL);
    _cleanup_buf_ struct buf keys = {0};
    struct scan_page page;

    if (!root || scan_read(root, &page) < 0 || collect(schema, page.items, &keys) < 0)
        return false;
    json_decref(take_ptr(s->after));
    s->after = page.last_key ? json_deep_copy(page.last_key) : NULL;
    if (page.last_key && !s->after)
        return false;
    s->failures = 0;
    s->due = 0;
    bool last = !page.last_key;
    if (last)
        surveyor_stop(p);
    if (!mirror_survey_page(d->mirror, clock_monotonic(), p->target, &keys, last) && !last)
        surveyor_stop(p);
    return true;
}

static void scanned(void *arg, const struct http_reply *h)
{
    struct probe *p = arg;
    struct reply r;

    p->survey.call = NULL;
    ddb_reply_read(h, &r);
    daemon_note_reply(p->daemon, &r);
    if (r.class != REPLY_OK)
        failed(p, &r);
    else if (!take_page(p, h))
        retry(&p->survey);
    daemon_pump(p->daemon);
}

static void ask(struct probe *p)
{
    struct daemon *d = p->daemon;
    const struct mirror_target *t = mirror_target(d->mirror, p->target);
    _cleanup_buf_ struct buf names = {0};
    struct buf body = {0};
    struct err err = {0};

    buf_lit(&names, "{");
    for (size_t i = 0; i < t->schema->count; i++) {
        buf_printf(&names, "%s\"#%zu\":", i ? "," : "", i);
        json_append_string_lossy(&names, t->schema->parts[i].name,
                                 strlen(t->schema->parts[i].name));
    }
    buf_lit(&names, "}");
    const struct scan_request r = {.table = t->name,
                                   .consistent = true,
                                   .projection = t->schema->count > 1 ? "#0,#1" : "#0",
                                   .names = names.data,
                                   .limit = PAGE_ITEMS,
                                   .start = p->survey.after};
    scan_body(&body, &r);
    if (!buf_ok(&names) ||
        ddb_start(d->ddb, "Scan", &body, scanned, p, &p->survey.call, &err) < 0) {
        p->survey.call = NULL;
        buf_free(&body);
        retry(&p->survey);
    }
}

void surveyor_turn(struct daemon *d, usec now)
{
    for (uint32_t i = 0; i < d->probe_count; i++) {
        struct survey *s = &d->probes[i]->survey;
        if (s->active && !s->call && s->due <= now)
            ask(d->probes[i]);
    }
}

usec surveyor_due(const struct daemon *d)
{
    usec due = USEC_NEVER;

    for (uint32_t i = 0; i < d->probe_count; i++) {
        const struct survey *s = &d->probes[i]->survey;
        if (s->active && !s->call && s->due < due)
            due = s->due;
    }
    return due;
}
