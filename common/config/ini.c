#include "config/ini.h"

#include <errno.h>

#include "base/text.h"
#include "config/shown.h"

#define BLANKS " \t"

/* Text being read, with what ${NAME} means in it. */
struct reader {
    const char *p, *end;
    ini_lookup_fn *lookup; /* NULL: no expansion */
    void *arg;
};

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool variable_name(const char *s, size_t n)
{
    if (!n || !name_start(s[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!name_start(s[i]) && !(s[i] >= '0' && s[i] <= '9'))
            return false;
    return true;
}

static bool control_character(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool clean_text(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (control_character((unsigned char)s[i]))
            return false;
    return utf8_valid(s, n);
}

/* At "${": append the variable's value. */
static int take_reference(struct reader *r, struct buf *out, struct err *err)
{
    _cleanup_buf_ struct buf name = {0};
    const char *start = r->p + 2;
    const char *close = memchr(start, '}', (size_t)(r->end - start));
    const char *value = NULL;
    struct shown text;

    if (!close)
        return err_set(err, -EINVAL, "\"${\" has no closing brace (write $${ for a plain ${)");
    buf_append(&name, start, (size_t)(close - start));
    if (!buf_ok(&name))
        return no_memory(err);
    if (!variable_name(start, (size_t)(close - start)))
        return err_set(err, -EINVAL,
                       "\"${%s}\" names no environment variable (letters, digits and _; write $${ "
                       "for a plain ${)",
                       shown(&text, name.data));
    int rc = r->lookup(r->arg, name.data, &value, err);
    if (rc < 0)
        return rc;
    if (!clean_text(value, strlen(value)))
        return err_set(err, -EINVAL, "${%s} holds a control character or is not UTF-8",
                       shown(&text, name.data));
    buf_puts(out, value);
    r->p = close + 1;
    return 0;
}

/* One character, or one reference. */
static int take_one(struct reader *r, struct buf *out, struct err *err)
{
    if (r->lookup && r->p[0] == '$') {
        if (left(r) >= 3 && r->p[1] == '$' && r->p[2] == '{') {
            buf_lit(out, "${");
            r->p += 3;
            return 0;
        }
        if (left(r) >= 2 && r->p[1] == '{')
            return take_reference(r, out, err);
    }
    buf_putc(out, *r->p++);
    return 0;
}

/* From an opening quote past the closing one. */
static int take_quoted(struct reader *r, struct buf *out, struct err *err)
{
    r->p++;
    while (left(r) && *r->p != '"') {
        if (*r->p == '\\') {
            if (left(r) < 2 || (r->p[1] != '"' && r->p[1] != '\\'))
                return err_set(err, -EINVAL,
                               "a backslash in quotes stands before \" or \\ only; write \\\\ for "
                               "a backslash");
            buf_putc(out, r->p[1]);
            r->p += 2;
            continue;
        }
        int rc = take_one(r, out, err);
        if (rc < 0)
            return rc;
    }
    if (!left(r))
        return err_set(err, -EINVAL, "the quote is not closed");
    r->p++;
    return 0;
}

static int take_all(struct reader *r, struct buf *out, struct err *err)
{
    while (left(r)) {
        int rc = take_one(r, out, err);
        if (rc < 0)
            return rc;
    }
    return buf_ok(out) ? 0 : no_memory(err);
}

static void skip_blanks(struct reader *r)
{
    while (left(r) && (*r->p == ' ' || *r->p == '\t'))
        r->p++;
}

int ini_value(const char *raw, ini_lookup_fn *lookup, void *arg, struct buf *out, struct err *err)
{
    struct reader r = {raw, raw + strlen(raw), lookup, arg};

    if (*raw != '"')
        return take_all(&r, out, err);
    int rc = take_quoted(&r, out, err);
    if (rc < 0)
        return rc;
    if (left(&r))
        return err_set(err, -EINVAL, "text follows the closing quote; write \\\" for a quote");
    return buf_ok(out) ? 0 : no_memory(err);
}

static char *trim(char *s)
{
    s += strspn(s, BLANKS);
    size_t n = strlen(s);
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
        s[--n] = '\0';
    return s;
}

/* Divide expanded text at its commas. */
static int each_part(char *text, ini_element_fn *fn, void *fn_arg, struct err *err)
{
    for (char *part; (part = strsep(&text, ","));) {
        part = trim(part);
        int rc = *part ? fn(fn_arg, part, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

int ini_list(const char *raw, ini_lookup_fn *lookup, void *arg, ini_element_fn *fn, void *fn_arg,
             struct err *err)
{
    struct reader r = {raw, raw + strlen(raw), lookup, arg};

    for (;;) {
        _cleanup_buf_ struct buf text = {0};
        skip_blanks(&r);
        if (!left(&r))
            return 0;
        bool quoted = *r.p == '"';
        int rc;
        if (quoted) {
            rc = take_quoted(&r, &text, err);
            skip_blanks(&r);
            if (rc == 0 && left(&r) && *r.p != ',')
                rc = err_set(err, -EINVAL, "text follows the closing quote; put a comma between");
        } else {
            struct reader part = r;
            part.end = r.p + strcspn(r.p, ",");
            rc = take_all(&part, &text, err);
            r.p = part.p;
        }
        if (rc == 0 && !buf_ok(&text))
            rc = no_memory(err);
        if (rc == 0 && text.len)
            rc = quoted ? fn(fn_arg, text.data, err) : each_part(text.data, fn, fn_arg, err);
        if (rc < 0)
            return rc;
        if (left(&r))
            r.p++; /* the comma */
    }
}

struct parser {
    ini_entry_fn *fn;
    void *arg;
    struct buf section, argument;
    bool in_section, has_argument;
    unsigned line;
};

static int parse_header(struct parser *p, const char *s, struct err *err)
{
    struct reader r = {s + 1, s + strlen(s), NULL, NULL};

    buf_clear(&p->section);
    buf_clear(&p->argument);
    skip_blanks(&r);
    size_t n = strcspn(r.p, BLANKS "\"]");
    buf_append(&p->section, r.p, n);
    r.p += n;
    skip_blanks(&r);
    p->has_argument = left(&r) && *r.p == '"';
    if (p->has_argument) {
        buf_append(&p->argument, "", 0);
        int rc = take_quoted(&r, &p->argument, err);
        if (rc < 0)
            return rc;
        skip_blanks(&r);
    }
    if (!left(&r) || *r.p != ']' || !p->section.len)
        return err_set(err, -EINVAL,
                       "a section's line is [name] or [name \"argument\"], with quotes");
    r.p++;
    skip_blanks(&r);
    if (left(&r))
        return err_set(err, -EINVAL, "text follows the section's closing bracket");
    if (!buf_ok(&p->section) || !buf_ok(&p->argument))
        return no_memory(err);
    p->in_section = true;

    struct ini_entry e = {.section = p->section.data,
                          .argument = p->has_argument ? p->argument.data : NULL,
                          .line = p->line};
    return p->fn(p->arg, &e, err);
}

/* Split "key[.subkey] = value" in place. The subkey goes to `subkey`, which `e` then points into.
 */
static int split_assignment(char *s, struct ini_entry *e, struct buf *subkey, struct err *err)
{
    struct shown text;
    char *key_end = s + strcspn(s, "=."), *equals = key_end;

    if (*key_end == '.') {
        struct reader r = {key_end + 1, s + strlen(s), NULL, NULL};
        bool quoted = *r.p == '"';
        if (quoted) {
            int rc = take_quoted(&r, subkey, err);
            if (rc < 0)
                return rc;
            skip_blanks(&r);
        } else {
            size_t n = strcspn(r.p, "=");
            buf_append(subkey, r.p, n);
            r.p += n;
        }
        buf_append(subkey, "", 0);
        if (!buf_ok(subkey))
            return no_memory(err);
        e->subkey = quoted ? subkey->data : trim(subkey->data);
        equals += r.p - equals;
    }
    if (*equals != '=')
        return err_set(err, -EINVAL, "\"%s\" is neither [section] nor key = value",
                       shown(&text, s));
    *key_end = '\0';
    *equals = '\0';
    e->key = trim(s);
    e->raw = trim(equals + 1);
    if (!*e->key)
        return err_set(err, -EINVAL, "no key stands before the =");
    return 0;
}

static int parse_assignment(struct parser *p, char *s, struct err *err)
{
    _cleanup_buf_ struct buf subkey = {0};
    struct ini_entry e = {.line = p->line};
    struct shown text;
    int rc = split_assignment(s, &e, &subkey, err);

    if (rc < 0)
        return rc;
    if (!p->in_section)
        return err_set(err, -EINVAL, "%s stands before any [section]", shown(&text, e.key));
    e.section = p->section.data;
    e.argument = p->has_argument ? p->argument.data : NULL;
    return p->fn(p->arg, &e, err);
}

static int parse_line(struct parser *p, const char *bytes, size_t n, struct err *err)
{
    _cleanup_buf_ struct buf text = {0};

    if (n && bytes[n - 1] == '\r')
        n--;
    if (!utf8_valid(bytes, n))
        return err_set(err, -EINVAL, "this line is not UTF-8");
    for (size_t i = 0; i < n; i++)
        if (control_character((unsigned char)bytes[i]))
            return err_set(err, -EINVAL, "this line holds a control character (0x%02x)",
                           (unsigned)(unsigned char)bytes[i]);
    buf_append(&text, bytes, n);
    if (!buf_ok(&text))
        return no_memory(err);
    char *s = trim(text.data);
    if (*s == '\0' || *s == '#' || *s == ';')
        return 0;
    return *s == '[' ? parse_header(p, s, err) : parse_assignment(p, s, err);
}

int ini_parse(const char *file, const void *bytes, size_t n, ini_entry_fn *fn, void *arg,
              struct err *err)
{
    struct parser p = {.fn = fn, .arg = arg};
    const char *s = bytes, *end = s + n;
    int rc = 0;

    if (n > INI_MAX_BYTES)
        return err_set(err, -EFBIG, "%s: the file is larger than 1 MiB; is it a configuration?",
                       file);
    if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
        s += 3;
    while (rc == 0 && s < end) {
        const char *eol = memchr(s, '\n', (size_t)(end - s));
        if (!eol)
            eol = end;
        p.line++;
        rc = parse_line(&p, s, (size_t)(eol - s), err);
        s = eol < end ? eol + 1 : end;
    }
    buf_free(&p.section);
    buf_free(&p.argument);
    return rc < 0 ? err_prefix(err, rc, "%s:%u", file, p.line) : 0;
}

static void append_escaped(struct buf *out, const char *text, bool references)
{
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_putc(out, '\\');
        if (references && p[0] == '$' && p[1] == '{')
            buf_putc(out, '$');
        buf_putc(out, *p);
    }
}

static void append_quoted(struct buf *out, const char *text, bool references)
{
    buf_putc(out, '"');
    append_escaped(out, text, references);
    buf_putc(out, '"');
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool needs_quotes(const char *text, const char *special)
{
    size_t n = strlen(text);

    return n && (*text == '"' || blank(text[0]) || blank(text[n - 1]) || strpbrk(text, special));
}

static void append_plain(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (p[0] == '$' && p[1] == '{')
            buf_putc(out, '$');
        buf_putc(out, *p);
    }
}

void ini_append_value(struct buf *out, const char *text)
{
    if (needs_quotes(text, ""))
        append_quoted(out, text, true);
    else
        append_plain(out, text);
}

void ini_append_element(struct buf *out, const char *text)
{
    if (needs_quotes(text, ","))
        append_quoted(out, text, true);
    else
        append_plain(out, text);
}

void ini_append_argument(struct buf *out, const char *text)
{
    append_quoted(out, text, false);
}

void ini_append_subkey(struct buf *out, const char *text)
{
    if (needs_quotes(text, "="))
        append_quoted(out, text, false);
    else
        buf_puts(out, text);
}
