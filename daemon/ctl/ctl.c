#include "ctl/ctl.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"
#include "jobs/owner.h"

#define DEFAULT_SOCKET "/run/syncd/syncd.sock"
#define ASK_TIMEOUT    (30 * USEC_PER_SEC)

int ctl_fail(int code, const struct err *err)
{
    _cleanup_buf_ struct buf safe = {0};

    format_safe(&safe, err->text);
    fprintf(stderr, "syncctl: %s\n", safe.data ? safe.data : "");
    return code == -EINVAL ? CTL_USAGE : CTL_UNREACHABLE;
}

void ctl_say(const struct ctl *ctl, const char *fmt, ...)
{
    va_list args;

    if (ctl->quiet)
        return;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

static int no_memory(void)
{
    fputs("syncctl: no memory for the output\n", stderr);
    return CTL_UNREACHABLE;
}

int ctl_print(const struct buf *text)
{
    if (!buf_ok(text))
        return no_memory();
    if (text->len)
        fwrite(text->data, 1, text->len, stdout);
    return CTL_DONE;
}

int ctl_print_json(const struct buf *body)
{
    int r = ctl_print(body);

    if (r == CTL_DONE)
        putchar('\n');
    return r;
}

struct page ctl_page(const struct ctl *ctl)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;

    return (struct page){.colour = !ctl->no_color && !(no_color && *no_color) && !dumb &&
                                   isatty(STDOUT_FILENO)};
}

int ctl_config(struct ctl *ctl, const struct config **out, struct err *err)
{
    if (!ctl->config) {
        struct config_request request = ctl->request;
        request.file_optional = true;
        int r = config_load(&request, &ctl->config, err);
        if (r == 0)
            r = config_export_environment(ctl->config, err);
        if (r < 0)
            return -EINVAL;
    }
    *out = ctl->config;
    return 0;
}

int ctl_config_as_owner(struct ctl *ctl, const struct config **out, struct err *err)
{
    int r = ctl_config(ctl, out, err);

    return r == 0 && owner_become((*out)->database, err) < 0 ? -EIO : r;
}

/* Asking needs no more than a path: --socket, else the configuration's. Where nobody named a
 * configuration, the usual file may be missing, or be kept from a user who may well ask the daemon.
 */
static int find_socket(struct ctl *ctl, struct err *err)
{
    struct config_request request = ctl->request;
    struct config *config = NULL;
    int r;

    if (ctl->socket.len)
        return 0;
    if (request.socket) {
        buf_puts(&ctl->socket, request.socket);
    } else if ((r = config_load(&request, &config, err)) == 0) {
        buf_puts(&ctl->socket, config->socket);
    } else if (!request.file && !request.name && (r == -ENOENT || r == -EACCES)) {
        buf_puts(&ctl->socket, DEFAULT_SOCKET);
    } else {
        struct err why = *err;
        return err_set(err, -EINVAL, "%s (or say where the daemon listens: --socket PATH)",
                       why.text);
    }
    config_free(config);
    return buf_ok(&ctl->socket) ? 0 : err_set(err, -ENOMEM, "no memory");
}

int ctl_ask(struct ctl *ctl, const char *method, const char *target, usec timeout, int *status,
            struct buf *body, struct err *err)
{
    int r = find_socket(ctl, err);

    if (r < 0)
        return r;
    if (ctl->verbose)
        fprintf(stderr, "%s %s on %s\n", method, target, ctl->socket.data);
    return client_ask(ctl->socket.data, method, target, timeout, status, body, err);
}

int ctl_check_status(int status, const struct buf *body, struct err *err)
{
    struct err ignored;

    if (status >= 200 && status < 300)
        return 0;
    json_auto_t *root = ctl_parse(body, &ignored);
    const char *message = field_text(json_object_get(root, "error"), "message");
    int code = status >= 400 && status < 500 ? -EINVAL : -EIO;
    if (*message)
        return err_set(err, code, "%s", message);
    return err_set(err, code, "the daemon answered with HTTP status %d and no reason", status);
}

int ctl_call(struct ctl *ctl, const char *method, const char *target, struct buf *body)
{
    struct err err;
    int status, r = ctl_ask(ctl, method, target, ASK_TIMEOUT, &status, body, &err);

    if (r == 0)
        r = ctl_check_status(status, body, &err);
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

json_t *ctl_parse(const struct buf *body, struct err *err)
{
    json_error_t why = {.text = "it is empty"};
    json_t *root = body->data ? json_loadb(body->data, body->len, 0, &why) : NULL;

    if (json_is_object(root))
        return root;
    if (root)
        json_decref(root);
    err_set(err, -EIO, "the daemon's answer is not the JSON that was expected (%s): is it syncd?",
            root ? "not an object" : why.text);
    return NULL;
}

json_t *ctl_ask_json(struct ctl *ctl, const char *method, const char *target, usec timeout, int *rc,
                     struct err *err)
{
    _cleanup_buf_ struct buf body = {0};
    json_t *root = NULL;
    int status;

    *rc = ctl_ask(ctl, method, target, timeout, &status, &body, err);
    if (*rc == 0)
        *rc = ctl_check_status(status, &body, err);
    if (*rc == 0 && !(root = ctl_parse(&body, err)))
        *rc = -EIO;
    return root;
}

json_t *ctl_answer(struct ctl *ctl, int argc, char **argv, const char *method, const char *target,
                   int *exit_code)
{
    _cleanup_buf_ struct buf body = {0};
    struct err err;

    if (!ctl_no_operands(ctl, argc, argv, exit_code))
        return NULL;
    *exit_code = ctl_call(ctl, method, target, &body);
    if (*exit_code != CTL_DONE)
        return NULL;
    if (ctl->json) {
        *exit_code = ctl_print_json(&body);
        return NULL;
    }
    json_t *root = ctl_parse(&body, &err);
    if (!root)
        *exit_code = ctl_fail(-EIO, &err);
    return root;
}

const char *field_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s ? s : "";
}

int64_t field_count(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

double field_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

bool field_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}
