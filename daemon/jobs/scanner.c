#include "jobs/scanner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dynamodb/scan.h"
#include "jobs/call.h"

/* Items of two segments' first pages that are compared to see whether segments are ignored. */
enum { PROBE_ITEMS = 16 };

struct segment {
    struct scanner *scanner;
    struct job_call *call;
    json_t *start;  /* where its next page begins; NULL: at the beginning, or see `ended` */
    json_t *reply;  /* a page that waits to be handed over */
    double units;   /* of that page */
    double charged; /* against the budget when it was asked for */
    bool ended;
};

struct scanner {
    struct connection *x;
    char *table, *projection, *names;
    unsigned count; /* segments that are scanned */
    bool consistent;
    bool probing; /* whether segments are ignored is not known yet */
    bool held, handing, cancelled;
    unsigned page_items;
    usec patience;
    /* The cap: a bucket that may be overdrawn by the pages under way. */
    double rate, budget, units_per_item;
    usec filled;
    unsigned next; /* segment whose page is handed over next */
    uv_timer_t timer;
    scanner_page_fn *page;
    scanner_done_fn *done;
    void *arg;
    struct segment segments[];
};

static void pump(struct scanner *s);

static void timer_closed(uv_handle_t *h)
{
    struct scanner *s = h->data;

    free(s->table);
    free(s->projection);
    free(s->names);
    free(s);
}

static void let_go(struct scanner *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        job_call_cancel(take_ptr(s->segments[i].call));
        json_decref(take_ptr(s->segments[i].start));
        json_decref(take_ptr(s->segments[i].reply));
    }
    uv_close((uv_handle_t *)&s->timer, timer_closed);
}

/* While a page is handed over the scanner is still needed; pump() lets go of it then. */
void scanner_cancel(struct scanner *s)
{
    if (!s || s->cancelled)
        return;
    s->cancelled = true;
    if (!s->handing)
        let_go(s);
}

static void finish(struct scanner *s, int rc, const struct err *err)
{
    scanner_done_fn *done = s->done;
    void *arg = s->arg;
    struct err copy = *err;

    s->cancelled = true;
    let_go(s);
    done(arg, rc, &copy);
}

/* --- the cap on read units -------------------------------------------------------------------- */

static void fill(struct scanner *s)
{
    usec now = clock_monotonic();
    double burst = s->rate > 1 ? s->rate : 1;

    s->budget += s->rate * (double)(now - s->filled) / USEC_PER_SEC;
    if (s->budget > burst)
        s->budget = burst;
    s->filled = now;
}

/* With a cap, a page costs a quarter of a second's units at most, as far as is known. */
static unsigned page_limit(const struct scanner *s)
{
    double items = s->units_per_item > 0 ? s->rate / 4 / s->units_per_item : s->rate;

    if (s->rate <= 0)
        return s->page_items;
    return items < 1 ? 1 : items > s->page_items ? s->page_items : (unsigned)items;
}

static void wake(uv_timer_t *t)
{
    pump(t->data);
}

/* May another page be asked for? If not, the timer is set for when. */
static bool affordable(struct scanner *s, struct segment *g)
{
    if (s->rate <= 0)
        return true;
    fill(s);
    if (s->budget < 0) {
        double wait_ms = -s->budget / s->rate * 1000;
        uv_timer_start(&s->timer, wake, wait_ms < 1 ? 1 : (uint64_t)wait_ms + 1, 0);
        return false;
    }
    g->charged = s->units_per_item > 0 ? s->units_per_item * page_limit(s) : s->rate / 4;
    s->budget -= g->charged;
    return true;
}

/* What the page cost, which is put right against what was charged. */
static void settle(struct scanner *s, struct segment *g, const struct scan_page *p, size_t bytes)
{
    size_t n = json_array_size(p->items);

    /* Where the service tells nothing: 4 KB a unit (half of it, if it may be stale). */
    size_t blocks = bytes / 4096 + 1;
    g->units = p->units >= 0 ? p->units : (double)blocks * (s->consistent ? 1 : 0.5);
    if (s->rate <= 0)
        return;
    s->budget += g->charged - g->units;
    g->charged = 0;
    if (n)
        s->units_per_item = g->units / (double)n;
}

/* --- segments --------------------------------------------------------------------------------- */

static void fail(struct scanner *s, int rc, const char *why)
{
    struct err err;

    err_set(&err, rc, "Scan of table %s: %s", s->table, why);
    finish(s, rc, &err);
}

static void replied(void *arg, const struct reply *r, json_t *body, size_t bytes)
{
    struct segment *g = arg;
    struct scanner *s = g->scanner;
    struct scan_page page;
    struct err err;

    g->call = NULL;
    if (r->class != REPLY_OK) {
        int rc = job_call_error(r, "Scan", s->table, &err);
        finish(s, rc, &err);
        return;
    }
    if (scan_read(body, &page) < 0) {
        fail(s, -EIO, "the reply is not what Scan answers");
        return;
    }
    settle(s, g, &page, bytes);
    g->reply = json_incref(body);
    pump(s);
}

static bool ask(struct scanner *s, struct segment *g)
{
    struct buf body = {0};
    const struct scan_request r = {.table = s->table,
                                   .segment = (unsigned)(g - s->segments),
                                   .segments = s->count,
                                   .consistent = s->consistent,
                                   .projection = s->projection,
                                   .names = s->names,
                                   .limit = page_limit(s),
                                   .start = g->start};

    if (!affordable(s, g))
        return true;
    scan_body(&body, &r);
    g->call = job_call_start(s->x, "Scan", &body, s->patience, replied, g);
    return g->call;
}

static bool share_an_item(const json_t *a, const json_t *b)
{
    size_t m = json_array_size(a), n = json_array_size(b);

    for (size_t i = 0; i < m && i < PROBE_ITEMS; i++)
        for (size_t j = 0; j < n && j < PROBE_ITEMS; j++)
            if (json_equal(json_array_get(a, i), json_array_get(b, j)))
                return true;
    return false;
}

/* Once every segment's first page is there: segments that are segments have no item in common. */
static bool probed(struct scanner *s)
{
    const json_t *first = NULL;

    for (unsigned i = 0; s->probing && i < s->count; i++)
        if (!s->segments[i].reply)
            return false;
    for (unsigned i = 0; s->probing && i < s->count; i++) {
        const json_t *items = json_object_get(s->segments[i].reply, "Items");
        if (first && share_an_item(first, items)) {
            for (unsigned k = 1; k < s->count; k++)
                json_decref(take_ptr(s->segments[k].reply));
            s->count = 1;
            break;
        }
        if (!first && json_array_size(items))
            first = items;
    }
    s->probing = false;
    return true;
}

/* Hand over one page; the segment goes on behind it. False: no memory for its place. */
static bool hand_over(struct scanner *s, struct segment *g)
{
    json_t *reply = take_ptr(g->reply);
    struct scan_page page = {0};

    scan_read(reply, &page);
    json_decref(g->start);
    g->start = page.last_key ? json_deep_copy(page.last_key) : NULL;
    g->ended = !page.last_key;
    if (page.last_key && !g->start) {
        json_decref(reply);
        return false;
    }
    s->handing = true;
    s->page(s->arg, (unsigned)(g - s->segments), page.items, page.last_key, g->units);
    s->handing = false;
    json_decref(reply);
    return true;
}

static struct segment *page_at_hand(struct scanner *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct segment *g = &s->segments[(s->next + i) % s->count];
        if (g->reply) {
            s->next = (s->next + i + 1) % s->count;
            return g;
        }
    }
    return NULL;
}

static bool all_ended(const struct scanner *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!s->segments[i].ended)
            return false;
    return true;
}

/* Ask for what may be asked for, then hand over what is there, until neither does anything. */
static void pump(struct scanner *s)
{
    struct segment *g;

    if (s->handing || s->cancelled)
        return;
    for (;;) {
        for (unsigned i = 0; i < s->count; i++) {
            g = &s->segments[i];
            if (!g->ended && !g->call && !g->reply && !ask(s, g)) {
                fail(s, -ENOMEM, "out of memory");
                return;
            }
        }
        if (s->held || !probed(s) || !(g = page_at_hand(s)))
            break;
        if (!hand_over(s, g)) {
            fail(s, -ENOMEM, "out of memory");
            return;
        }
        if (s->cancelled) {
            let_go(s);
            return;
        }
    }
    if (!s->held && all_ended(s))
        finish(s, 0, &(struct err){0});
}

static void begin(uv_timer_t *t)
{
    pump(t->data);
}

static bool take_options(struct scanner *s, const struct scanner_options *o)
{
    s->consistent = o->consistent;
    s->rate = o->read_units_per_second;
    s->page_items = o->page_items ? o->page_items : SCANNER_PAGE_ITEMS;
    s->patience = o->patience;
    s->probing = s->count > 1 && !o->starts;
    for (unsigned i = 0; i < s->count; i++) {
        struct segment *g = &s->segments[i];
        g->scanner = s;
        g->ended = o->starts && o->starts[i].done;
        if (o->starts && o->starts[i].key && !(g->start = json_deep_copy(o->starts[i].key)))
            return false;
    }
    return (s->table = strdup(o->table)) &&
           (!o->projection || (s->projection = strdup(o->projection))) &&
           (!o->names || (s->names = strdup(o->names)));
}

struct scanner *scanner_start(struct connection *x, const struct scanner_options *o,
                              scanner_page_fn *page, scanner_done_fn *done, void *arg)
{
    unsigned n = o->segments < 1                      ? 1
                 : o->segments > SCANNER_MAX_SEGMENTS ? SCANNER_MAX_SEGMENTS
                                                      : o->segments;
    struct scanner *s = calloc(1, sizeof *s + n * sizeof s->segments[0]);

    if (!s)
        return NULL;
    s->x = x;
    s->count = n;
    s->page = page;
    s->done = done;
    s->arg = arg;
    s->filled = clock_monotonic();
    uv_timer_init(&x->loop, &s->timer);
    s->timer.data = s;
    if (!take_options(s, o)) {
        let_go(s);
        return NULL;
    }
    uv_timer_start(&s->timer, begin, 0, 0);
    return s;
}

void scanner_hold(struct scanner *s)
{
    s->held = true;
}

void scanner_go_on(struct scanner *s)
{
    s->held = false;
    pump(s);
}

unsigned scanner_segments(const struct scanner *s)
{
    return s->count;
}
