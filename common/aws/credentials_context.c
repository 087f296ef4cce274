#include "aws/credentials_context.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "base/buf.h"

enum { MAX_CONNECTIONS = 4, MAX_TOKEN = 64 * 1024 };
#define MAX_REPLY   ((size_t)64 * 1024)
#define TIMEOUT     (10 * USEC_PER_SEC)
#define CONNECT_FOR (5 * USEC_PER_SEC)
/* One that asks a person or hangs must not hold up the daemon for ever. */
#define PROCESS_LIMIT (60 * USEC_PER_SEC)

static bool copy_text(char **to, const char *text)
{
    *to = strdup(text ? text : "");
    return *to != NULL;
}

struct credentials_context *credentials_context_new(const struct credentials_request *req)
{
    struct credentials_context *ctx = calloc(1, sizeof *ctx);

    if (!ctx)
        return NULL;
    ctx->loop = req->loop;
    ctx->allow_plain_http = req->allow_plain_http;
    ctx->process_limit = PROCESS_LIMIT;
    if (copy_text(&ctx->region, req->region) && copy_text(&ctx->profile, req->profile) &&
        copy_text(&ctx->credentials_file, req->credentials_file) &&
        copy_text(&ctx->ca_file, req->ca_file))
        return ctx;
    credentials_context_free(ctx);
    return NULL;
}

void credentials_wipe_text(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void credentials_context_free(struct credentials_context *ctx)
{
    if (!ctx)
        return;
    if (ctx->http)
        http_client_close(ctx->http, NULL, NULL);
    credentials_wipe_text(ctx->imds_token);
    free(ctx->region);
    free(ctx->profile);
    free(ctx->credentials_file);
    free(ctx->ca_file);
    free(ctx);
}

struct http_client *credentials_context_http(struct credentials_context *ctx, struct err *err)
{
    const struct http_options o = {.own = true,
                                   .ca_file = ctx->ca_file,
                                   .max_connections = MAX_CONNECTIONS,
                                   .timeout = TIMEOUT,
                                   .connect_timeout = CONNECT_FOR,
                                   .max_reply = MAX_REPLY};

    if (!ctx->http && http_client_new(ctx->loop, &o, &ctx->http, err) < 0)
        return NULL;
    return ctx->http;
}

const char *credentials_environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

bool credentials_environment_true(const char *name)
{
    const char *value = credentials_environment(name);

    return value && strcasecmp(value, "true") == 0;
}

static int read_small(int fd, const char *path, const char *what, struct buf *text, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "cannot read %s (%s): %s", path, what, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s (%s) is not a plain file", path, what);
    /* Reserved whole, so that growing leaves no copy of a secret behind. */
    if (!buf_reserve(text, MAX_TOKEN + 1))
        return err_set(err, -ENOMEM, "out of memory while reading %s", path);
    while (text->len <= MAX_TOKEN) {
        ssize_t n = read(fd, text->data + text->len, MAX_TOKEN + 1 - text->len);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_set(err, -errno, "cannot read %s (%s): %s", path, what, strerror(errno));
        text->len += n < 0 ? 0 : (size_t)n;
    }
    return err_set(err, -EINVAL, "%s (%s) is longer than 64 KiB", path, what);
}

/* The bytes between the blanks around them: a token in a header must be one line of ASCII. */
static int take_line(const struct buf *text, const char *path, const char *what, char **out,
                     struct err *err)
{
    size_t from = 0, to = text->len;

    while (to && isspace((unsigned char)text->data[to - 1]))
        to--;
    while (from < to && isspace((unsigned char)text->data[from]))
        from++;
    if (from == to)
        return err_set(err, -EINVAL, "%s (%s) is empty", path, what);
    for (size_t i = from; i < to; i++)
        if (!isprint((unsigned char)text->data[i]))
            return err_set(err, -EINVAL, "%s (%s) holds more than one line of plain text", path,
                           what);
    *out = strndup(text->data + from, to - from);
    return *out ? 0 : err_set(err, -ENOMEM, "out of memory while reading %s", path);
}

int credentials_read_token(const char *path, const char *what, char **out, struct err *err)
{
    _cleanup_(buf_wipe) struct buf text = {0};
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set(err, -errno, "cannot read %s (%s): %s", path, what, strerror(errno));
    int r = read_small(fd, path, what, &text, err);
    return r < 0 ? r : take_line(&text, path, what, out, err);
}
