#include "config/envfile.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "config/lists.h"

struct reader {
    const char *p, *end;
    unsigned line;
};

static int peek(const struct reader *r)
{
    return r->p < r->end ? (unsigned char)*r->p : -1;
}

static int take(struct reader *r)
{
    int c = peek(r);

    if (c >= 0)
        r->p++;
    if (c == '\n')
        r->line++;
    return c;
}

static bool blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool name_character(int c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* A comment may be continued by a backslash, as in systemd. */
static void skip_comment(struct reader *r)
{
    for (int c = take(r); c >= 0 && c != '\n'; c = take(r))
        if (c == '\\')
            take(r);
}

static int take_name(struct reader *r, struct buf *name, struct err *err)
{
    while (name_character(peek(r), name->len == 0))
        buf_putc(name, (char)take(r));
    while (blank(peek(r)))
        take(r);
    if (!buf_ok(name))
        return err_set(err, -ENOMEM, "out of memory");
    if (!name->len || peek(r) != '=')
        return err_set(err, -EINVAL, "this line is not NAME=value");
    take(r);
    return 0;
}

static int take_single_quoted(struct reader *r, struct buf *value)
{
    for (int c = take(r); c >= 0; c = take(r)) {
        if (c == '\'')
            return 0;
        buf_putc(value, (char)c);
    }
    return -EINVAL;
}

static int take_double_quoted(struct reader *r, struct buf *value)
{
    for (int c = take(r); c >= 0; c = take(r)) {
        if (c == '"')
            return 0;
        if (c != '\\') {
            buf_putc(value, (char)c);
            continue;
        }
        c = take(r);
        if (c < 0)
            break;
        if (!strchr("\"\\$`\n", c))
            buf_putc(value, '\\');
        if (c != '\n')
            buf_putc(value, (char)c);
    }
    return -EINVAL;
}

/* Bare text up to the end of the line, without the blanks that end it. */
static void take_bare(struct reader *r, struct buf *value)
{
    size_t keep = value->len;

    for (int c = take(r); c >= 0 && c != '\n'; c = take(r)) {
        if (c == '\\') {
            c = take(r);
            if (c < 0)
                break;
            if (c == '\n')
                continue;
            buf_putc(value, (char)c);
            keep = value->len;
            continue;
        }
        buf_putc(value, (char)c);
        if (!blank(c))
            keep = value->len;
    }
    if (buf_ok(value) && value->data) {
        value->len = keep;
        value->data[keep] = '\0';
    }
}

/* Quoted pieces may follow one another; what is not quoted runs to the end of the line. */
static int take_value(struct reader *r, struct buf *value, struct err *err)
{
    buf_append(value, "", 0);
    for (;;) {
        while (blank(peek(r)))
            take(r);
        int c = peek(r), rc = 0;
        if (c == '\'' || c == '"') {
            take(r);
            rc = c == '"' ? take_double_quoted(r, value) : take_single_quoted(r, value);
            if (rc < 0)
                return err_set(err, rc, "a quote that begins before here is not closed");
            continue;
        }
        take_bare(r, value);
        break;
    }
    if (!buf_ok(value))
        return err_set(err, -ENOMEM, "out of memory");
    if (!utf8_valid(value->data, value->len) || memchr(value->data, '\0', value->len))
        return err_set(err, -EINVAL, "the value before here holds NUL or is not UTF-8");
    return 0;
}

static int take_line(struct reader *r, struct pairlist *out, struct err *err)
{
    _cleanup_buf_ struct buf name = {0};
    struct buf value = {0};

    while (blank(peek(r)) || peek(r) == '\n')
        take(r);
    if (peek(r) < 0)
        return 0;
    if (peek(r) == '#' || peek(r) == ';') {
        skip_comment(r);
        return 0;
    }
    int rc = take_name(r, &name, err);
    if (rc == 0)
        rc = take_value(r, &value, err);
    if (rc == 0 && pairlist_set(out, name.data, value.data, same_text) < 0)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (value.data)
        explicit_bzero(value.data, value.cap);
    buf_free(&value);
    return rc;
}

int envfile_parse(const char *file, const char *bytes, size_t n, struct pairlist *out,
                  struct err *err)
{
    struct reader r = {bytes, bytes + n, 1};

    while (r.p < r.end) {
        int rc = take_line(&r, out, err);
        if (rc < 0)
            return err_prefix(err, rc, "%s:%u", file, r.line);
    }
    return 0;
}
