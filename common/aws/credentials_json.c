#include "aws/credentials_json.h"

#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "aws/credentials_provider.h"
#include "base/cleanup.h"

/* 9999-12-31T23:59:59Z: the last moment that four digits of a year can name. */
#define LAST_SECOND INT64_C(253402300799)

DEFINE_CLEANUP(json_t *, json_decref)

static void wipe_and_free(void *p)
{
    if (p)
        OPENSSL_cleanse(p, malloc_usable_size(p));
    free(p);
}

void credentials_json_wipe(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}

static int parse_zone(const char *text, int64_t *seconds)
{
    int hours, minutes, used = 0;

    *seconds = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return 0;
    if ((*text != '+' && *text != '-') ||
        sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 ||
        text[6] != '\0' || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return -EINVAL;
    *seconds = (*text == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 0;
}

int credentials_parse_time(const char *text, int64_t *out)
{
    struct tm tm = {0};
    int64_t zone, at;
    const char *rest =
        isdigit((unsigned char)*text) ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

    if (!rest)
        return -EINVAL;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (parse_zone(rest, &zone) < 0)
        return -EINVAL;
    at = timegm(&tm) - zone;
    if (at <= 0 || at > LAST_SECOND)
        return -EINVAL;
    *out = at;
    return 0;
}

void credentials_format_time(int64_t unix_seconds, char out[21])
{
    time_t t = (time_t)unix_seconds;
    struct tm tm;

    if (unix_seconds < 0 || unix_seconds > LAST_SECOND || !gmtime_r(&t, &tm) ||
        strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 21, "at no known time");
}

/* STS gives a number, the others a text. */
static int read_expiry(const json_t *value, int64_t *out)
{
    if (json_is_string(value))
        return credentials_parse_time(json_string_value(value), out);
    double seconds = json_is_number(value) ? json_number_value(value) : 0;
    if (!(seconds >= 1 && seconds <= (double)LAST_SECOND))
        return -EINVAL;
    *out = (int64_t)seconds;
    return 0;
}

/* {"AssumeRoleResponse":{"AssumeRoleResult":{"Credentials":{...}}}}, whatever the action. */
static const json_t *sts_credentials(const json_t *root)
{
    static const char *const actions[] = {"AssumeRole", "AssumeRoleWithWebIdentity"};
    char name[64];

    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        snprintf(name, sizeof name, "%sResponse", actions[i]);
        const json_t *result = json_object_get(root, name);
        snprintf(name, sizeof name, "%sResult", actions[i]);
        const json_t *found = json_object_get(json_object_get(result, name), "Credentials");
        if (found)
            return found;
    }
    return NULL;
}

struct members {
    const char *id, *secret, *token;
    int64_t expires;
};

static int take_text(const json_t *o, const char *name, bool required, const char **out,
                     struct err *err)
{
    const json_t *value = json_object_get(o, name);

    *out = NULL;
    if (!value || json_is_null(value))
        return required ? err_set(err, -EINVAL, "%s is missing", name) : 0;
    if (!json_is_string(value) || (required && json_string_length(value) == 0))
        return err_set(err, -EINVAL, "%s is not a text", name);
    *out = json_string_value(value);
    return 0;
}

static int take_members(enum credentials_form form, const json_t *o, struct members *m,
                        struct err *err)
{
    bool process = form == CREDENTIALS_PROCESS, container = form == CREDENTIALS_CONTAINER;
    const json_t *expiry = json_object_get(o, "Expiration");
    int r = take_text(o, "AccessKeyId", true, &m->id, err);

    if (r == 0)
        r = take_text(o, "SecretAccessKey", true, &m->secret, err);
    if (r == 0)
        r = take_text(o, form == CREDENTIALS_IMDS || container ? "Token" : "SessionToken", !process,
                      &m->token, err);
    if (r < 0)
        return r;
    if (!expiry || json_is_null(expiry))
        return process || container ? 0 : err_set(err, -EINVAL, "Expiration is missing");
    if (read_expiry(expiry, &m->expires) < 0)
        return err_set(err, -EINVAL, "Expiration is not a time such as 2026-01-01T00:00:00Z");
    return 0;
}

/* Whatever must be true of the reply beside the members. NULL with a phrase. */
static const json_t *find_object(enum credentials_form form, const json_t *root, struct err *err)
{
    if (!json_is_object(root)) {
        err_set(err, -EINVAL, "it is not JSON, or no JSON object");
        return NULL;
    }
    if (form == CREDENTIALS_PROCESS) {
        const json_t *version = json_object_get(root, "Version");
        if (json_is_integer(version) && json_integer_value(version) == 1)
            return root;
        err_set(err, -EINVAL, "Version is not 1");
        return NULL;
    }
    if (form == CREDENTIALS_IMDS) {
        const json_t *code = json_object_get(root, "Code");
        if (!code || (json_is_string(code) && strcmp(json_string_value(code), "Success") == 0))
            return root;
        err_set(err, -EINVAL, "its Code is not Success");
        return NULL;
    }
    const json_t *found = form == CREDENTIALS_STS ? sts_credentials(root) : root;
    if (!json_is_object(found)) {
        err_set(err, -EINVAL, "it holds no Credentials");
        return NULL;
    }
    return found;
}

int credentials_json(enum credentials_form form, const char *body, size_t n, const char *where,
                     struct credentials *out, struct err *err)
{
    _cleanup_(json_decref_cleanup) json_t *root = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *found = find_object(form, root, err);
    struct members m = {0};

    if (!found)
        return -EINVAL;
    int r = take_members(form, found, &m, err);
    if (r == 0)
        r = credentials_fill(out, where, m.id, m.secret, m.token, err);
    if (r == 0)
        out->expires = m.expires;
    return r;
}

/* For one line of a log. */
static void copy_printable(char *out, size_t room, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t n = 0;

    for (; text && *text && n + 1 < room; text++)
        out[n++] = (char)(isprint((unsigned char)*text) ? *text : ' ');
    out[n] = '\0';
}

static const json_t *either(const json_t *o, const char *one, const char *other)
{
    const json_t *found = json_object_get(o, one);

    return found ? found : json_object_get(o, other);
}

void credentials_json_complaint(const char *body, size_t n, struct credentials_complaint *out)
{
    _cleanup_(json_decref_cleanup) json_t *root = json_loadb(body, n, 0, NULL);
    const json_t *inner = json_object_get(root, "Error");
    const json_t *o = json_is_object(inner) ? inner : root;

    copy_printable(out->code, sizeof out->code, either(o, "Code", "code"));
    copy_printable(out->message, sizeof out->message, either(o, "Message", "message"));
}
