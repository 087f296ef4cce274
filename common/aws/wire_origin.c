#include <stdlib.h>
#include <string.h>

#include "aws/wire_internal.h"

/* libcurl heeds them for https, and knows whom no_proxy excepts: http_easy.c. */
static bool proxy_configured(void)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

void wire_origin_free(struct wire_origin *o)
{
    if (o->lookup)
        wire_lookup_cancel(o->lookup);
    list_remove(&o->node);
    o->wire->origin_count--;
    wire_session_forget(&o->session);
    free(o->text);
    free(o);
}

/* The one unused for the longest, if there are many. */
static void make_room(struct wire *w)
{
    struct list *last = w->origins.prev;

    for (; w->origin_count >= WIRE_ORIGINS && last != &w->origins; last = last->prev) {
        struct wire_origin *o = container_of(last, struct wire_origin, node);
        if (!o->users) {
            wire_origin_free(o);
            return;
        }
    }
}

static struct wire_origin *origin_new(struct wire *w, const char *url)
{
    struct wire_url parsed;

    if (!wire_url_parse(url, &parsed))
        return NULL;
    make_room(w);
    struct wire_origin *o = calloc(1, sizeof *o);
    if (!o || !(o->text = strndup(url, parsed.authority_end))) {
        free(o);
        return NULL;
    }
    o->wire = w;
    o->url = parsed;
    o->proxied = parsed.tls && proxy_configured();
    o->literal = wire_lookup_literal(parsed.host, parsed.port, &o->addresses);
    list_init(&o->asking);
    list_push_front(&w->origins, &o->node);
    w->origin_count++;
    return o;
}

static bool leads_to(const char *url, const struct wire_origin *o)
{
    size_t n = o->url.authority_end;

    return strncmp(url, o->text, n) == 0 && (url[n] == '/' || url[n] == '\0');
}

struct wire_origin *wire_origin_of(struct wire *w, const char *url)
{
    list_for_each(pos, after, &w->origins)
    {
        struct wire_origin *o = container_of(pos, struct wire_origin, node);
        if (!leads_to(url, o))
            continue;
        if (w->origins.next != pos) {
            list_remove(pos);
            list_push_front(&w->origins, pos);
        }
        return o;
    }
    return origin_new(w, url);
}

void wire_origin_use(struct wire_origin *o)
{
    o->users++;
}

void wire_origin_leave(struct wire_origin *o)
{
    o->users--;
}

static void found(void *arg, int code, const struct wire_addresses *addresses)
{
    struct wire_origin *o = arg;
    struct wire *w = o->wire;

    o->lookup = NULL;
    if (code == 0) {
        o->addresses = *addresses;
        o->looked_up = clock_monotonic();
    }
    while (!list_empty(&o->asking)) {
        struct wire_connection *x = list_first(&o->asking, struct wire_connection, asking);
        list_remove(&x->asking);
        wire_connection_dial(x, code == 0 ? NULL : gai_strerror(code));
    }
    wire_settle(w);
}

void wire_origin_ask(struct wire_origin *o, struct wire_connection *x)
{
    usec now = clock_monotonic();

    if (o->literal || (o->looked_up && now - o->looked_up < WIRE_ADDRESSES_LAST)) {
        wire_connection_dial(x, NULL);
        return;
    }
    /* A name server that was away may be back long before the system gives up asking it. */
    if (o->lookup && now - o->asked >= WIRE_LOOKUP_PATIENCE)
        wire_lookup_cancel(take_ptr(o->lookup));
    if (!o->lookup) {
        o->asked = now;
        o->lookup = wire_lookup_start(o->wire->setup.loop, o->url.host, o->url.port, found, o,
                                      wire_handle_closed, o->wire);
        if (!o->lookup) {
            wire_connection_dial(x, "out of memory");
            return;
        }
        o->wire->handles++;
    }
    list_push_back(&o->asking, &x->asking);
}

void wire_origin_distrust(struct wire_origin *o)
{
    o->looked_up = 0;
}
