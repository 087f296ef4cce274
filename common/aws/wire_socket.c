#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aws/wire_internal.h"

static void socket_closed(uv_handle_t *handle)
{
    struct wire_socket *s = handle->data;
    struct wire *w = s->wire;

    free(s);
    wire_handle_closed(w);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct wire_socket *s = poll->data;

    (void)events;
    if (status < 0)
        s->events = 0; /* libuv has stopped the poll; reading tells what is wrong */
    s->ready(s->arg);
}

void wire_socket_want(struct wire_socket *s, int events)
{
    if (s->events == events)
        return;
    /* A descriptor that cannot be polled runs into its call's timeout. */
    s->events = uv_poll_start(&s->poll, events, on_event) == 0 ? events : 0;
}

/* A descriptor that is not blocking and connects. */
static int start_connecting(const struct wire_address *to)
{
    const int on = 1;
    int fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&to->at, to->len) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

struct wire_socket *wire_socket_connect(struct wire *w, const struct wire_address *to,
                                        void (*ready)(void *arg), void *arg)
{
    struct wire_socket *s = calloc(1, sizeof *s);
    int fd = s ? start_connecting(to) : -1;

    if (fd < 0 || uv_poll_init_socket(w->setup.loop, &s->poll, fd) < 0) {
        int error = s ? errno : ENOMEM;
        if (fd >= 0)
            close(fd);
        free(s);
        errno = error;
        return NULL;
    }
    uv_unref((uv_handle_t *)&s->poll); /* calls keep the loop alive, not connections */
    s->poll.data = s;
    s->wire = w;
    s->fd = fd;
    s->ready = ready;
    s->arg = arg;
    w->handles++;
    wire_socket_want(s, UV_WRITABLE);
    return s;
}

void wire_socket_close(struct wire_socket *s)
{
    if (!s)
        return;
    int fd = s->fd;
    uv_close((uv_handle_t *)&s->poll, socket_closed);
    close(fd);
}
