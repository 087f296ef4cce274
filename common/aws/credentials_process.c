/* A profile's credential_process: a command, run without a shell, that prints credentials as JSON
 * (AWS SDKs and Tools Reference Guide, "Process credential provider"). Bounded in output and time;
 * it runs in a session of its own, which is killed as a whole. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "aws/credentials_json.h"
#include "aws/credentials_provider.h"
#include "aws/shell_words.h"
#include "base/buf.h"
#include "base/cleanup.h"

enum { MAX_OUTPUT = 64 * 1024, KEPT_ERRORS = 1024, SHOWN_ERRORS = 160 };

struct process_provider;

/* One run. It outlives the provider until its handles are closed and the process is reaped. */
struct run {
    struct process_provider *owner; /* NULL: nobody waits any more */
    uv_process_t process;
    uv_pipe_t out, errors;
    uv_timer_t timer;
    unsigned open_handles, streams_open;
    bool running, exited, too_much, too_long;
    int64_t exit_status;
    int signal;
    struct buf output;
    char error_text[KEPT_ERRORS + 1]; /* the last of what it wrote to stderr */
    size_t error_len;
    char chunk[8192];
};

struct process_provider {
    struct credentials_provider base;
    struct credentials_context *ctx;
    char *profile, *command;
    struct run *run; /* under way */
    provider_done_fn *done;
    void *arg;
};

/* --- the answer ------------------------------------------------------------------------------- */

static void fail(struct process_provider *p, const struct err *why)
{
    struct err err;

    err_set(&err, -EIO, "credential_process of profile %s %s", p->profile, why->text);
    p->done(p->arg, PROVIDER_FAILED, NULL, &err);
}

/* The last line that says something: with a traceback it is the one that tells why. */
static void last_line(const struct run *run, char out[SHOWN_ERRORS + 4])
{
    size_t to = run->error_len, from, n = 0;

    while (to && isspace((unsigned char)run->error_text[to - 1]))
        to--;
    for (from = to; from && run->error_text[from - 1] != '\n';)
        from--;
    out[0] = '\0';
    if (from == to)
        return;
    n = (size_t)sprintf(out, ": ");
    for (; from < to && n < SHOWN_ERRORS + 2; from++)
        out[n++] =
            (char)(isprint((unsigned char)run->error_text[from]) ? run->error_text[from] : ' ');
    out[n] = '\0';
}

static int judge_run(const struct run *run, usec limit, struct err *why)
{
    char line[SHOWN_ERRORS + 4];

    last_line(run, line);
    if (run->too_much)
        return err_set(why, -EIO, "wrote more than 64 KiB; it must print credentials as JSON only");
    if (run->too_long)
        return err_set(why, -EIO, "did not end within %lld s and was killed%s",
                       (long long)(limit / USEC_PER_SEC), line);
    if (run->signal)
        return err_set(why, -EIO, "was ended by signal %d%s", run->signal, line);
    if (run->exit_status)
        return err_set(why, -EIO, "ended with exit code %lld%s", (long long)run->exit_status, line);
    return 0;
}

static void answer(struct process_provider *p, const struct run *run)
{
    struct credentials c = {0};
    char where[96];
    struct err why;

    snprintf(where, sizeof where, "profile %s (credential_process)", p->profile);
    int r = judge_run(run, p->ctx->process_limit, &why);
    if (r == 0) {
        r = credentials_json(CREDENTIALS_PROCESS, run->output.data ? run->output.data : "",
                             run->output.len, where, &c, &why);
        if (r < 0)
            err_prefix(&why, r, "printed what cannot be used");
    }
    if (r < 0) {
        fail(p, &why);
        return;
    }
    p->done(p->arg, PROVIDER_FOUND, &c, NULL);
    credentials_clear(&c);
}

/* --- a run ------------------------------------------------------------------------------------ */

static void handle_closed(uv_handle_t *h)
{
    struct run *run = h->data;

    if (--run->open_handles > 0)
        return;
    buf_wipe(&run->output);
    OPENSSL_cleanse(run, sizeof *run);
    free(run);
}

static void close_one(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, handle_closed);
}

/* Everything but a process that still has to be reaped. */
static void close_run(struct run *run)
{
    close_one((uv_handle_t *)&run->out);
    close_one((uv_handle_t *)&run->errors);
    close_one((uv_handle_t *)&run->timer);
    if (!run->running || run->exited)
        close_one((uv_handle_t *)&run->process);
}

static void kill_run(struct run *run)
{
    if (run->running && !run->exited)
        kill(-run->process.pid, SIGKILL);
}

/* The provider hears of it, and may be gone afterwards; the run ends. */
static void conclude(struct run *run)
{
    struct process_provider *p = take_ptr(run->owner);

    kill_run(run);
    close_run(run);
    if (!p)
        return;
    p->run = NULL;
    answer(p, run);
}

static void look_whether_over(struct run *run)
{
    if (run->exited && run->streams_open == 0)
        conclude(run);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal)
{
    struct run *run = process->data;

    run->exited = true;
    run->exit_status = status;
    run->signal = signal;
    if (uv_is_closing((uv_handle_t *)&run->timer)) /* concluded before: this was only reaping */
        close_one((uv_handle_t *)process);
    else
        look_whether_over(run);
}

static void on_late(uv_timer_t *t)
{
    struct run *run = t->data;

    run->too_long = true;
    conclude(run);
}

static void give_chunk(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct run *run = h->data;

    (void)suggested;
    *buf = uv_buf_init(run->chunk, sizeof run->chunk);
}

static void stream_over(struct run *run, uv_stream_t *stream)
{
    uv_read_stop(stream);
    run->streams_open--;
    look_whether_over(run);
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct run *run = stream->data;

    (void)buf;
    if (n < 0) {
        stream_over(run, stream);
        return;
    }
    if ((size_t)n > MAX_OUTPUT - run->output.len) {
        run->too_much = true;
        conclude(run);
        return;
    }
    buf_append(&run->output, run->chunk, (size_t)n);
    OPENSSL_cleanse(run->chunk, (size_t)n);
}

static void on_error_text(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct run *run = stream->data;

    (void)buf;
    if (n < 0) {
        stream_over(run, stream);
        return;
    }
    size_t add = (size_t)n > KEPT_ERRORS ? KEPT_ERRORS : (size_t)n;
    size_t keep = run->error_len + add > KEPT_ERRORS ? KEPT_ERRORS - add : run->error_len;
    memmove(run->error_text, run->error_text + run->error_len - keep, keep);
    memcpy(run->error_text + keep, run->chunk + (size_t)n - add, add);
    run->error_len = keep + add;
}

static int spawn(struct process_provider *p, struct run *run, char **words)
{
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&run->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&run->errors}};
    const uv_process_options_t options = {.exit_cb = on_process_exit,
                                          .file = words[0],
                                          .args = words,
                                          .flags = UV_PROCESS_DETACHED,
                                          .stdio_count = 3,
                                          .stdio = stdio};
    uv_loop_t *loop = p->ctx->loop;

    uv_pipe_init(loop, &run->out, 0);
    uv_pipe_init(loop, &run->errors, 0);
    uv_timer_init(loop, &run->timer);
    int r = uv_spawn(loop, &run->process, &options);
    run->process.data = run->out.data = run->errors.data = run->timer.data = run;
    run->open_handles = 4;
    run->owner = p;
    p->run = run;
    if (r < 0)
        return r;
    run->running = true;
    run->streams_open = 2;
    uv_read_start((uv_stream_t *)&run->out, give_chunk, on_output);
    uv_read_start((uv_stream_t *)&run->errors, give_chunk, on_error_text);
    uv_timer_start(&run->timer, on_late, (uint64_t)(p->ctx->process_limit / USEC_PER_MSEC), 0);
    return 0;
}

static void process_fetch(struct credentials_provider *base, provider_done_fn *done, void *arg)
{
    struct process_provider *p = (struct process_provider *)base;
    struct shell_words words = {0};
    struct run *run = NULL;
    struct err why;

    p->done = done;
    p->arg = arg;
    int r = shell_words_split(p->command, &words);
    if (r == 0 && words.count == 0)
        r = -EINVAL;
    if (r == 0 && (!(run = calloc(1, sizeof *run)) || !buf_reserve(&run->output, MAX_OUTPUT + 1)))
        r = -ENOMEM;
    if (r < 0) {
        err_set(&why, r, "%s",
                r == -ENOMEM ? "cannot be run: out of memory"
                             : "is no command line: a quotation has no end, or it is empty");
        if (run)
            buf_free(&run->output);
        free(run);
        shell_words_free(&words);
        fail(p, &why);
        return;
    }
    r = spawn(p, run, words.words);
    if (r < 0) {
        err_set(&why, r, "cannot be run: %s: %s", words.words[0], uv_strerror(r));
        p->run->owner = NULL;
        close_run(take_ptr(p->run));
    }
    shell_words_free(&words);
    if (r < 0)
        fail(p, &why);
}

static void process_free(struct credentials_provider *base)
{
    struct process_provider *p = (struct process_provider *)base;

    if (p->run) {
        p->run->owner = NULL;
        conclude(p->run);
    }
    free(p->profile);
    free(p->command);
    free(p);
}

struct credentials_provider *process_provider_new(struct credentials_context *ctx,
                                                  const char *profile, const char *command)
{
    static const struct provider_ops ops = {"credential_process", process_fetch, process_free};
    struct process_provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->base.ops = &ops;
    p->ctx = ctx;
    p->profile = strdup(profile);
    p->command = strdup(command);
    if (p->profile && p->command)
        return (struct credentials_provider *)p;
    process_free((struct credentials_provider *)p);
    return NULL;
}
