/* Bytes of a client on the control socket, whole server included: whatever comes, the server
 * answers or hangs up, never crashes, and a call is answered once. The first byte decides how the
 * bytes are cut into writes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "control.c"
#include "control_call.c"
#include "control_clients.c"
#include "control_socket.c"

struct fuzz {
    uv_loop_t loop;
    struct control *control;
    char dir[64], path[128];
};

static void on_get(void *arg, struct control_call *call)
{
    struct buf b = {0};
    const char *v;

    (void)arg;
    for (unsigned i = 0; (v = control_query_nth(call, "id", i)); i++)
        json_append_string(&b, v, strlen(v));
    control_reply(call, 200, "text/plain", &b);
}

/* Never answered: the client's leaving ends it. */
static void on_wait(void *arg, struct control_call *call)
{
    (void)arg;
    (void)call;
}

static const struct control_route routes[] = {{"GET", "/v1/status", on_get, false},
                                              {"POST", "/v1/wait", on_wait, false},
                                              {"POST", "/v1/dead-letters/retry", on_get, true},
                                              {NULL, NULL, NULL, false}};

static struct fuzz *fuzz_start(void)
{
    const struct control_groups groups = {.socket = "", .operators = ""};
    struct fuzz *f = calloc(1, sizeof *f);
    struct err err;

    if (!f)
        abort();
    snprintf(f->dir, sizeof f->dir, "/tmp/fuzz-control-XXXXXX");
    if (!mkdtemp(f->dir))
        abort();
    snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    uv_loop_init(&f->loop);
    if (control_start(&f->loop, f->path, &groups, routes, NULL, &f->control, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return f;
}

static void fuzz_stop(struct fuzz *f)
{
    control_stop(f->control, NULL, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    uv_loop_close(&f->loop);
    rmdir(f->dir);
    free(f);
}

static struct fuzz *the_server;

static void stop_at_exit(void)
{
    fuzz_stop(the_server);
}

static void drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!the_server) { /* kept over all inputs, so that what one leaves behind meets the next */
        the_server = fuzz_start();
        atexit(stop_at_exit);
    }
    struct fuzz *f = the_server;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t piece = n ? (size_t)data[0] * 8 + 1 : 1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(addr.sun_path, f->path, strlen(f->path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0)
        abort();
    for (size_t at = 1; at < n; at += piece) {
        size_t k = n - at < piece ? n - at : piece;
        if (send(fd, data + at, k, MSG_NOSIGNAL) < 0)
            break;
        uv_run(&f->loop, UV_RUN_NOWAIT);
        drain(fd);
    }
    uv_run(&f->loop, UV_RUN_NOWAIT);
    close(fd);
    for (int i = 0; i < 1000 && !list_empty(&f->control->clients); i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    if (!list_empty(&f->control->clients) || f->control->call_count || f->control->pending_count)
        abort();
    return 0;
}
