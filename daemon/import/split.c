#include "import/split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 * 1024 };

void split_init(struct split *s, enum split_form form, size_t longest, split_read_fn *read,
                split_passed_fn *passed, void *arg)
{
    *s = (struct split){.form = form,
                        .longest = longest,
                        .read = read,
                        .passed = passed,
                        .arg = arg,
                        .first = true,
                        .line = 1};
}

void split_free(struct split *s)
{
    free(s->data);
    buf_free(&s->key);
    s->data = NULL;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static size_t there(const struct split *s)
{
    return s->len - s->start;
}

static const char *at(const struct split *s)
{
    return s->data + s->start;
}

/* `n` bytes are done with. */
static void pass(struct split *s, size_t n)
{
    if (!n)
        return;
    const char *from = at(s), *end = from + n;
    if (s->passed)
        s->passed(s->arg, from, n);
    for (const char *p = from; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        s->line++;
    s->start += n;
    s->offset += (int64_t)n;
}

static int make_room(struct split *s)
{
    if (s->start) { /* what was passed by makes room first */
        memmove(s->data, at(s), there(s));
        s->len = there(s);
        s->start = 0;
    }
    if (s->cap - s->len >= CHUNK)
        return 0;
    size_t cap = s->cap ? s->cap * 2 : (size_t)2 * CHUNK;
    char *more = realloc(s->data, cap);
    if (!more)
        return -ENOMEM;
    s->data = more;
    s->cap = cap;
    return 0;
}

/* More bytes behind those that are there. 1; 0: the end; negative with a sentence. */
static int refill(struct split *s, struct err *err)
{
    if (s->end)
        return 0;
    if (make_room(s) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    ssize_t n = s->read(s->arg, s->data + s->len, CHUNK, err);
    if (n < 0)
        return (int)n;
    s->end = n == 0;
    s->len += (size_t)n;
    return n > 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next byte that is no space, not passed by; 0 at the end, negative with a sentence. */
static int peek(struct split *s, struct err *err)
{
    for (;;) {
        size_t n = 0;
        while (n < there(s) && is_space(at(s)[n]))
            n++;
        pass(s, n);
        if (there(s))
            return *at(s) ? (unsigned char)*at(s) : ' ';
        int rc = refill(s, err);
        if (rc <= 0)
            return rc;
    }
}

/* --- one value -------------------------------------------------------------------------------- */

/* Within a string: bytes up to its end, or all. */
static size_t scan_string(struct split_scan *scan, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (scan->escaped)
            scan->escaped = false;
        else if (bytes[i] == '\\')
            scan->escaped = true;
        else if (bytes[i] == '"') {
            scan->string = false;
            return i + 1;
        }
    }
    return n;
}

static bool ends_bare(char c)
{
    return is_space(c) || strchr(",]}:{[\"", c) != NULL;
}

/* A byte outside of strings; true: the value ended with it. */
static bool scan_byte(struct split_scan *scan, char c)
{
    scan->begun = true;
    if (c == '"') {
        scan->string = true;
    } else if (c == '{' || c == '[') {
        scan->depth++;
    } else if (c == '}' || c == ']') {
        scan->depth -= scan->depth > 0;
        return scan->depth == 0;
    } else if (scan->depth == 0) {
        scan->bare = true;
    }
    return false;
}

bool split_scan(struct split_scan *scan, const char *bytes, size_t n, size_t *used)
{
    for (size_t i = 0; i < n;) {
        if (scan->string) {
            i += scan_string(scan, bytes + i, n - i);
            if (!scan->string && scan->depth == 0) {
                *used = i;
                return true;
            }
            continue;
        }
        if (scan->bare && ends_bare(bytes[i])) {
            *used = i;
            return true;
        }
        if (scan_byte(scan, bytes[i++])) {
            *used = i;
            return true;
        }
    }
    *used = n;
    return false;
}

static enum split_result failed(int rc)
{
    return rc == -EINVAL ? SPLIT_BROKEN : SPLIT_FAILED;
}

/* The value that begins at the next byte: *n bytes, still there; or passed by, when they are too
 * many. */
static enum split_result take_value(struct split *s, size_t *n, struct err *err)
{
    struct split_scan scan = {0};
    int64_t line = s->line;
    size_t seen = 0, used;
    bool dropped = false;

    for (;;) {
        bool whole = split_scan(&scan, s->data + s->start + seen, there(s) - seen, &used);
        seen += used;
        if (dropped || seen > s->longest) {
            pass(s, seen);
            seen = 0;
            dropped = true;
        }
        if (whole)
            break;
        int rc = refill(s, err);
        if (rc < 0)
            return failed(rc);
        if (rc == 0 && scan.bare)
            break;
        if (rc == 0) {
            err_set(err, -EINVAL,
                    "it ends in the middle of a value that begins at line %lld (is it cut off?)",
                    (long long)line);
            return SPLIT_BROKEN;
        }
    }
    *n = seen;
    return dropped ? SPLIT_TOO_LONG : SPLIT_RECORD;
}

/* --- records ---------------------------------------------------------------------------------- */

static enum split_result broken(const struct split *s, struct err *err, const char *what)
{
    err_set(err, -EINVAL, "at line %lld %s", (long long)s->line, what);
    return SPLIT_BROKEN;
}

/* A record that is a line: up to its end, which is passed by with it. */
static enum split_result next_line(struct split *s, struct split_record *out, struct err *err)
{
    size_t seen = 0;
    bool dropped = false;
    int c = peek(s, err);

    if (c <= 0)
        return c < 0 ? failed(c) : SPLIT_END;
    out->line = s->line;
    for (;;) {
        const char *newline = memchr(at(s) + seen, '\n', there(s) - seen);
        seen = newline ? (size_t)(newline - at(s)) : there(s);
        if (dropped || seen > s->longest) {
            pass(s, seen);
            seen = 0;
            dropped = true;
        }
        int rc = newline ? 0 : refill(s, err);
        if (rc < 0)
            return failed(rc);
        if (rc == 0)
            break;
    }
    out->text = at(s);
    out->len = seen;
    return dropped ? SPLIT_TOO_LONG : SPLIT_RECORD;
}

/* The opening bracket, or the comma between two records. SPLIT_RECORD: one follows. */
static enum split_result between(struct split *s, char open, char close, struct err *err)
{
    int c = peek(s, err);

    if (c < 0)
        return failed(c);
    if (!s->begun) {
        if (c != open)
            return broken(s, err, open == '[' ? "there is no array" : "there is no object");
        s->begun = true;
        pass(s, 1);
        c = peek(s, err);
    } else if (!s->first && c == ',') {
        pass(s, 1);
        c = peek(s, err);
        if (c == close)
            return broken(s, err, "a value is missing behind a comma");
    } else if (!s->first && c != close && c > 0) {
        return broken(s, err, "a comma is missing between two records");
    }
    if (c < 0)
        return failed(c);
    if (c == 0)
        return broken(s, err, "it ends before its closing bracket (is it cut off?)");
    if (c != close)
        return SPLIT_RECORD;
    pass(s, 1);
    c = peek(s, err);
    if (c < 0)
        return failed(c);
    return c == 0 ? SPLIT_END : broken(s, err, "something stands behind the closing bracket");
}

static enum split_result take_key(struct split *s, struct split_record *out, struct err *err)
{
    size_t n;

    if (peek(s, err) != '"')
        return broken(s, err, "a record lacks its key");
    enum split_result r = take_value(s, &n, err);
    if (r == SPLIT_TOO_LONG)
        return broken(s, err, "a key is longer than any record may be");
    if (r != SPLIT_RECORD)
        return r;
    buf_clear(&s->key);
    buf_append(&s->key, at(s), n);
    pass(s, n);
    int c = peek(s, err);
    if (c < 0)
        return failed(c);
    if (c != ':')
        return broken(s, err, "a key lacks its colon");
    pass(s, 1);
    if (!buf_ok(&s->key)) {
        err_set(err, -ENOMEM, "out of memory");
        return SPLIT_FAILED;
    }
    out->key = s->key.data;
    out->key_len = s->key.len;
    return SPLIT_RECORD;
}

/* What no value begins with would never be passed by. */
static bool begins_value(int c)
{
    return c > 0 && c != ',' && c != ']' && c != '}' && c != ':';
}

static enum split_result next_value(struct split *s, struct split_record *out, struct err *err)
{
    int c = peek(s, err);

    if (c < 0)
        return failed(c);
    if (c == 0 && s->form == SPLIT_DOCUMENTS)
        return SPLIT_END;
    if (!begins_value(c))
        return broken(s, err, "a record is missing");
    out->line = s->line;
    enum split_result r = take_value(s, &out->len, err);
    out->text = at(s);
    return r;
}

enum split_result split_next(struct split *s, struct split_record *out, struct err *err)
{
    enum split_result r = SPLIT_RECORD;
    struct split_record one = {0};

    if (s->form == SPLIT_LINES) {
        r = next_line(s, &one, err);
    } else {
        if (s->form == SPLIT_ARRAY)
            r = between(s, '[', ']', err);
        else if (s->form == SPLIT_KEYED)
            r = between(s, '{', '}', err);
        if (r == SPLIT_RECORD && s->form == SPLIT_KEYED)
            r = take_key(s, &one, err);
        if (r == SPLIT_RECORD)
            r = next_value(s, &one, err);
    }
    if (r != SPLIT_RECORD && r != SPLIT_TOO_LONG)
        return r;
    s->first = false;
    /* Passed by at once, so that `offset` is behind the record; the bytes stay until the next call.
     */
    if (r == SPLIT_RECORD)
        pass(s, one.len);
    *out = one;
    return r;
}
