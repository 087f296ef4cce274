#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aws/http_libcurl.h"

static void handle_closed(struct libcurl_client *c)
{
    if (--c->open_handles == 0 && c->closing)
        libcurl_free(c);
}

static void socket_handle_closed(uv_handle_t *handle)
{
    struct libcurl_socket *s = handle->data;
    struct libcurl_client *c = s->client;

    free(s);
    handle_closed(c);
}

static void own_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static struct libcurl_socket *find_socket(const struct libcurl_client *c, curl_socket_t fd)
{
    return fd >= 0 && (size_t)fd < c->socket_slots ? c->sockets[fd] : NULL;
}

/* The poll ends here; its memory goes when libuv is done with it. The descriptor may be closed
 * next. */
static void end_socket(struct libcurl_socket *s)
{
    s->client->sockets[s->fd] = NULL;
    list_remove(&s->dirty);
    uv_close((uv_handle_t *)&s->poll, socket_handle_closed);
}

static void apply_wishes(uv_prepare_t *prepare);

static void mark_dirty(struct libcurl_socket *s)
{
    struct libcurl_client *c = s->client;

    if (!list_empty(&s->dirty))
        return;
    list_push_back(&c->dirty, &s->dirty);
    uv_prepare_start(&c->prepare, apply_wishes);
}

static void socket_ready(uv_poll_t *poll, int status, int events)
{
    struct libcurl_socket *s = poll->data;
    struct libcurl_client *c = s->client;
    int happened = 0, running;

    /* libuv has stopped the poll. libcurl is told nothing (0) and looks for itself: told of an
     * error it would end the transfer without reading a reply that came before the reset. */
    if (status < 0) {
        s->applied = 0;
        mark_dirty(s);
    }
    if (events & UV_READABLE)
        happened |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        happened |= CURL_CSELECT_OUT;
    libcurl_settle(c, libcurl.multi_socket_action(c->multi, s->fd, happened, &running));
}

static void apply_wish(struct libcurl_socket *s)
{
    if (s->want == s->applied)
        return;
    s->applied = s->want;
    if (!s->want)
        uv_poll_stop(&s->poll);
    else if (uv_poll_start(&s->poll, s->want, socket_ready) < 0)
        s->applied = 0; /* the call's timeout ends it */
}

static void apply_wishes(uv_prepare_t *prepare)
{
    struct libcurl_client *c = prepare->data;

    while (!list_empty(&c->dirty)) {
        struct libcurl_socket *s = list_first(&c->dirty, struct libcurl_socket, dirty);
        list_remove(&s->dirty);
        apply_wish(s);
    }
    uv_prepare_stop(prepare);
}

static bool room_for(struct libcurl_client *c, curl_socket_t fd)
{
    size_t want = c->socket_slots ? c->socket_slots : 64;

    if (fd < 0)
        return false;
    while (want <= (size_t)fd)
        want *= 2;
    if (want == c->socket_slots)
        return true;
    struct libcurl_socket **more = realloc(c->sockets, want * sizeof(struct libcurl_socket *));
    if (!more)
        return false;
    memset(more + c->socket_slots, 0, (want - c->socket_slots) * sizeof(struct libcurl_socket *));
    c->sockets = more;
    c->socket_slots = want;
    return true;
}

static struct libcurl_socket *adopt_socket(struct libcurl_client *c, curl_socket_t fd, bool foreign)
{
    struct libcurl_socket *s = room_for(c, fd) ? calloc(1, sizeof *s) : NULL;

    if (!s)
        return NULL;
    if (c->sockets[fd]) /* closed without a word, and its number given out again */
        end_socket(c->sockets[fd]);
    if (uv_poll_init_socket(c->setup.loop, &s->poll, fd) < 0) {
        free(s);
        return NULL;
    }
    s->poll.data = s;
    s->client = c;
    s->fd = fd;
    s->foreign = foreign;
    list_init(&s->dirty);
    c->sockets[fd] = s;
    c->open_handles++;
    return s;
}

curl_socket_t libcurl_loop_open_socket(void *client, curlsocktype purpose,
                                       struct curl_sockaddr *addr)
{
    (void)purpose;
    int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);

    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (adopt_socket(client, fd, false))
        return fd;
    close(fd);
    return CURL_SOCKET_BAD;
}

int libcurl_loop_close_socket(void *client, curl_socket_t fd)
{
    struct libcurl_socket *s = find_socket(client, fd);

    if (s)
        end_socket(s);
    return close(fd);
}

static int port_of(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;

    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    if (a.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

static bool socket_stale(struct libcurl_socket *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};

    if (s->used)
        return poll(&p, 1, 0) > 0;
    s->used = true;
    return false;
}

/* libcurl does look itself before it uses a kept connection, but 7.88 takes a reset one for alive,
 * and one whose TLS end was announced, and later versions look once a second at most. */
bool libcurl_loop_stale(struct libcurl_client *c, int local_port)
{
    for (size_t i = 0; local_port && i < c->socket_slots; i++) {
        struct libcurl_socket *s = c->sockets[i];
        if (!s || s->foreign)
            continue;
        if (!s->local_port)
            s->local_port = port_of(s->fd);
        if (s->local_port == local_port)
            return socket_stale(s);
    }
    return false;
}

/* libcurl's wish for one socket. Never answers -1, which would make the multi handle unusable; a
 * socket that cannot be polled runs into its call's timeout. */
static int socket_wish(CURL *easy, curl_socket_t fd, int what, void *client, void *unused)
{
    struct libcurl_client *c = client;
    struct libcurl_socket *s = find_socket(c, fd);

    (void)easy;
    (void)unused;
    if (what == CURL_POLL_REMOVE && s && s->foreign) {
        end_socket(s);
        return 0;
    }
    if (!s && what != CURL_POLL_REMOVE)
        s = adopt_socket(c, fd, true);
    if (!s)
        return 0;
    s->want = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? UV_READABLE : 0) |
              (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? UV_WRITABLE : 0);
    if (s->want != s->applied)
        mark_dirty(s);
    return 0;
}

static void timer_due(uv_timer_t *timer)
{
    struct libcurl_client *c = timer->data;
    int running;

    libcurl_settle(c, libcurl.multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running));
}

/* A timeout of 0 means "soon", never from within this call. */
static int timer_wish(CURLM *multi, long timeout_ms, void *client)
{
    struct libcurl_client *c = client;

    (void)multi;
    if (c->closing)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, timer_due, (uint64_t)timeout_ms, 0);
    return 0;
}

int libcurl_loop_init(struct libcurl_client *c)
{
    list_init(&c->dirty);
    if (libcurl.multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, socket_wish) != CURLM_OK ||
        libcurl.multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
        libcurl.multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, timer_wish) != CURLM_OK ||
        libcurl.multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK)
        return -ENOMEM;
    uv_timer_init(c->setup.loop, &c->timer);
    uv_prepare_init(c->setup.loop, &c->prepare);
    c->timer.data = c->prepare.data = c;
    c->open_handles = 2;
    return 0;
}

void libcurl_loop_close(struct libcurl_client *c)
{
    for (size_t i = 0; i < c->socket_slots; i++)
        if (c->sockets[i])
            end_socket(c->sockets[i]);
    uv_close((uv_handle_t *)&c->timer, own_handle_closed);
    uv_close((uv_handle_t *)&c->prepare, own_handle_closed);
}
