#include "aws/profile_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/cleanup.h"

/* A stretch of the file's text. */
struct span {
    const char *at;
    size_t len;
};

struct parser {
    struct profile_file *file;
    struct err *err;
    bool is_config;
    unsigned line;
    bool in_section;
    bool have_key;     /* a key = value line was read in this section ... */
    size_t key_indent; /* ... with this indentation; deeper lines belong to it */
    bool nesting;      /* its value is empty, so deeper lines are key = value themselves */
    char *nest_key;    /* owned; the key they are nested under */
};

void profile_file_clear(struct profile_file *file)
{
    for (size_t i = 0; i < file->section_count; i++)
        free(file->sections[i].name);
    for (size_t i = 0; i < file->entry_count; i++) {
        struct profile_entry *e = &file->entries[i];
        free(e->key);
        free(e->sub);
        OPENSSL_cleanse(e->value, strlen(e->value));
        free(e->value);
    }
    free(file->sections);
    free(file->entries);
    free(file->path);
    *file = (struct profile_file){0};
}

static int refuse(const struct parser *p, const char *why)
{
    return err_set(p->err, -EINVAL, "%s:%u: %s", p->file->path ? p->file->path : "shared AWS file",
                   p->line, why);
}

static int no_memory(const struct parser *p)
{
    return err_set(p->err, -ENOMEM, "out of memory while reading %s",
                   p->file->path ? p->file->path : "the shared AWS files");
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len && blank(*s.at)) {
        s.at++;
        s.len--;
    }
    while (s.len && blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

static char *copy(struct span s)
{
    return strndup(s.at, s.len);
}

static char *copy_lower(struct span s)
{
    char *text = copy(s);

    for (char *c = text; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return text;
}

/* Make room for one more element; the doubling keeps long files linear. */
static void *grown(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    size_t want = *cap ? *cap * 2 : 16;
    void *more = want > SIZE_MAX / size ? NULL : realloc(items, want * size);
    if (more)
        *cap = want;
    return more;
}

static int add_section(struct parser *p, enum profile_section_kind kind, struct span name)
{
    struct profile_file *f = p->file;
    struct profile_section *more =
        grown(f->sections, f->section_count, &f->section_cap, sizeof *more);

    if (!more)
        return no_memory(p);
    f->sections = more;
    char *text = copy(name);
    if (!text)
        return no_memory(p);
    f->sections[f->section_count++] = (struct profile_section){.kind = kind, .name = text};
    p->in_section = true;
    p->have_key = p->nesting = false;
    return 0;
}

/* `key` is NULL when the line has none of its own: then `sub` is nested under nest_key. */
static int add_entry(struct parser *p, struct span key, const struct span *sub, struct span value)
{
    struct profile_file *f = p->file;
    struct profile_entry *more = grown(f->entries, f->entry_count, &f->entry_cap, sizeof *more);

    if (!more)
        return no_memory(p);
    f->entries = more;
    _cleanup_free_ char *k = sub ? strdup(p->nest_key) : copy_lower(key);
    _cleanup_free_ char *s = sub ? copy_lower(*sub) : NULL;
    _cleanup_free_ char *v = copy(value);
    if (!k || !v || (sub && !s))
        return no_memory(p);
    f->entries[f->entry_count++] = (struct profile_entry){
        .section = f->section_count - 1,
        .key = take_ptr(k),
        .sub = take_ptr(s),
        .value = take_ptr(v),
    };
    return 0;
}

/* A name may stand in single or double quotes. */
static struct span unquote(struct span s)
{
    if (s.len >= 2 && (*s.at == '"' || *s.at == '\'') && s.at[s.len - 1] == *s.at)
        return (struct span){s.at + 1, s.len - 2};
    return s;
}

static bool span_is(struct span s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

static int add_config_section(struct parser *p, struct span inside)
{
    struct span word = inside;

    word.len = 0;
    while (word.len < inside.len && !blank(word.at[word.len]))
        word.len++;
    struct span name = unquote(trim((struct span){inside.at + word.len, inside.len - word.len}));
    if (!name.len)
        return span_is(unquote(word), "default")
                   ? add_section(p, PROFILE_SECTION_DEFAULT, unquote(word))
                   : add_section(p, PROFILE_SECTION_OTHER, word);
    if (span_is(word, "profile"))
        return add_section(p, PROFILE_SECTION_PROFILE, name);
    if (span_is(word, "services"))
        return add_section(p, PROFILE_SECTION_SERVICES, name);
    return add_section(p, PROFILE_SECTION_OTHER, name);
}

static int parse_section(struct parser *p, struct span line)
{
    const char *end = memchr(line.at, ']', line.len);

    if (!end)
        return refuse(p, "a section's name lacks its closing bracket; write [name]");
    struct span rest = trim((struct span){end + 1, line.len - (size_t)(end + 1 - line.at)});
    if (rest.len && *rest.at != '#' && *rest.at != ';')
        return refuse(p, "only a comment may follow a section's closing bracket");
    struct span inside = trim((struct span){line.at + 1, (size_t)(end - line.at) - 1});
    if (!inside.len)
        return refuse(p, "a section's name is empty; write [default] or [name]");
    return p->is_config ? add_config_section(p, inside)
                        : add_section(p, PROFILE_SECTION_PROFILE, unquote(inside));
}

/* A comment within a value begins with a blank and '#' or ';'. */
static struct span without_comment(struct span value)
{
    for (size_t i = 1; i < value.len; i++)
        if ((value.at[i] == '#' || value.at[i] == ';') && blank(value.at[i - 1]))
            return (struct span){value.at, i};
    return value;
}

static int split_pair(const struct parser *p, struct span line, struct span *key,
                      struct span *value)
{
    const char *equals = memchr(line.at, '=', line.len);

    if (!equals)
        return refuse(p, "expected \"key = value\", a [section] or a comment");
    *key = trim((struct span){line.at, (size_t)(equals - line.at)});
    struct span rest = {equals + 1, line.len - (size_t)(equals + 1 - line.at)};
    *value = trim(without_comment(rest));
    return key->len ? 0 : refuse(p, "a key's name is missing before \"=\"");
}

static int parse_key(struct parser *p, struct span line, size_t indent)
{
    struct span key, value;
    int r = split_pair(p, line, &key, &value);

    if (r < 0)
        return r;
    r = add_entry(p, key, NULL, value);
    if (r < 0)
        return r;
    p->have_key = true;
    p->key_indent = indent;
    p->nesting = value.len == 0;
    free(p->nest_key);
    p->nest_key = copy_lower(key);
    return p->nest_key ? 0 : no_memory(p);
}

/* A line indented deeper than the key before it: nested under it, or more of its value. No value
 * that is read here spans lines, so the latter is checked by nobody and left alone. */
static int parse_deeper(struct parser *p, struct span line)
{
    struct span key, value;

    if (!p->nesting)
        return 0;
    int r = split_pair(p, line, &key, &value);
    return r < 0 ? r : add_entry(p, key, &key, value);
}

static int parse_line(struct parser *p, struct span line)
{
    size_t indent = 0;

    while (indent < line.len && blank(line.at[indent]))
        indent++;
    struct span text = trim(line);
    if (!text.len || *text.at == '#' || *text.at == ';')
        return 0;
    if (memchr(text.at, '\0', text.len))
        return refuse(p, "the line holds a NUL byte; the file must be plain text");
    if (p->have_key && indent > p->key_indent)
        return parse_deeper(p, text);
    if (*text.at == '[')
        return parse_section(p, text);
    if (!p->in_section)
        return refuse(p, "a line stands before the first section; write [default] above it");
    return parse_key(p, text, indent);
}

int profile_parse(struct profile_file *file, const char *text, size_t n, bool is_config,
                  struct err *err)
{
    struct parser p = {.file = file, .err = err, .is_config = is_config};
    static const char bom[] = "\xef\xbb\xbf";
    int r = 0;

    if (n >= 3 && memcmp(text, bom, 3) == 0) {
        text += 3;
        n -= 3;
    }
    while (n && r == 0) {
        const char *end = memchr(text, '\n', n);
        size_t len = end ? (size_t)(end - text) : n;
        size_t next = end ? len + 1 : len;
        p.line++;
        r = parse_line(&p, (struct span){text, len && text[len - 1] == '\r' ? len - 1 : len});
        text += next;
        n -= next;
    }
    free(p.nest_key);
    return r;
}
