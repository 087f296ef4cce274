#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "jobs/import_internal.h"

enum { MAX_LEVELS = 16 };

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static void free_file(struct import_file *f)
{
    free(f->path);
    free(f->name);
    free(f->table);
}

void import_files_free(struct import_files *f)
{
    for (size_t i = 0; i < f->count; i++)
        free_file(&f->items[i]);
    free(f->items);
    *f = (struct import_files){0};
}

void import_files_drop(struct import_files *f, size_t i)
{
    free_file(&f->items[i]);
    memmove(f->items + i, f->items + i + 1, (f->count - i - 1) * sizeof *f->items);
    f->count--;
}

/* --- names ------------------------------------------------------------------------------------ */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static size_t without(const char *name, size_t n, const char *extension)
{
    size_t m = strlen(extension);

    return n > m && strncasecmp(name + n - m, extension, m) == 0 ? n - m : n;
}

/* Length of the name before .json and the like; 0: it has none of these extensions. */
static size_t stem_length(const char *name)
{
    static const char *const known[] = {".json", ".jsonl", ".ndjson"};
    size_t n = without(name, strlen(name), ".gz");

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (without(name, n, known[i]) != n)
            return without(name, n, known[i]);
    return 0;
}

void import_files_stem(const char *name, struct buf *out)
{
    const char *base = base_name(name);
    size_t n = stem_length(base);

    buf_append(out, base, n ? n : strcspn(base, "."));
}

static const char *next_letter(const char *s)
{
    while (*s == '_' || *s == '-' || *s == ' ')
        s++;
    return s;
}

bool import_same_name(const char *a, const char *b)
{
    for (;;) {
        a = next_letter(a);
        b = next_letter(b);
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

bool import_assignment(const char *text, const char *table, struct buf *a, const char **b)
{
    const char *equals = strchr(text, '='), *colon = strchr(text, ':');

    buf_clear(a);
    if (!equals || equals == text)
        return false;
    *b = equals + 1;
    if (colon && colon < equals) {
        size_t n = (size_t)(colon - text);
        buf_append(a, colon + 1, (size_t)(equals - colon - 1));
        return strlen(table) == n && strncasecmp(text, table, n) == 0;
    }
    buf_append(a, text, (size_t)(equals - text));
    return true;
}

/* --- finding them ----------------------------------------------------------------------------- */

/* What --table says of this file; the pattern is of its name below the directory, or alone. */
static const char *said_table(const struct import_request *q, const char *name)
{
    for (size_t i = 0; i < q->tables.count; i++) {
        const char *text = q->tables.items[i], *equals = strrchr(text, '=');
        if (!equals)
            return text;
        _cleanup_free_ char *pattern = strndup(text, (size_t)(equals - text));
        if (pattern &&
            (fnmatch(pattern, name, 0) == 0 || fnmatch(pattern, base_name(name), 0) == 0))
            return equals + 1;
    }
    return NULL;
}

static int add(const struct import_request *q, struct import_files *out, const char *path,
               const char *name, bool from_directory, int64_t size)
{
    const char *table = said_table(q, name);
    struct import_file *more = realloc(out->items, (out->count + 1) * sizeof *more);

    if (!more)
        return -ENOMEM;
    out->items = more;
    struct import_file *f = &more[out->count];
    *f = (struct import_file){.path = strdup(path),
                              .name = strdup(name),
                              .table = table ? strdup(table) : NULL,
                              .said = table != NULL,
                              .from_directory = from_directory,
                              .size = size};
    if (!f->path || !f->name || (table && !f->table)) {
        free_file(f);
        return -ENOMEM;
    }
    out->count++;
    return 0;
}

/* What DynamoDB's export to S3 writes beside its data, and names that begin with a point. */
static bool passed_over(const char *name)
{
    return name[0] == '.' || strcmp(name, "manifest-files.json") == 0 ||
           strcmp(name, "manifest-summary.json") == 0;
}

static int walk(const struct import_request *q, struct import_files *out, const char *path,
                size_t root, unsigned level, struct err *err);

static int take_entry(const struct import_request *q, struct import_files *out, const char *dir,
                      const char *name, size_t root, unsigned level, struct err *err)
{
    _cleanup_buf_ struct buf path = {0};
    struct stat st;

    if (passed_over(name))
        return 0;
    buf_printf(&path, "%s/%s", dir, name);
    if (!buf_ok(&path))
        return no_memory(err);
    if (stat(path.data, &st) < 0)
        return err_set(err, -errno, "%s cannot be read: %s", path.data, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return walk(q, out, path.data, root, level + 1, err);
    if (!S_ISREG(st.st_mode) || !stem_length(name))
        return 0;
    return add(q, out, path.data, path.data + root, true, (int64_t)st.st_size) < 0 ? no_memory(err)
                                                                                   : 0;
}

static int walk(const struct import_request *q, struct import_files *out, const char *path,
                size_t root, unsigned level, struct err *err)
{
    struct dirent **names = NULL;
    int rc = 0;

    if (level > MAX_LEVELS)
        return err_set(err, -EINVAL, "%s: directories are nested too deep (is there a loop?)",
                       path);
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0)
        return err_set(err, -errno, "%s cannot be read: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = take_entry(q, out, path, names[i]->d_name, root, level, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int find_one(const struct import_request *q, struct import_files *out, const char *given,
                    struct err *err)
{
    _cleanup_free_ char *path = strdup(given);
    struct stat st;

    if (!path)
        return no_memory(err);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    if (stat(path, &st) < 0)
        return err_set(err, -EINVAL, "%s cannot be read: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return add(q, out, path, path, false, S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0) < 0
                   ? no_memory(err)
                   : 0;
    size_t before = out->count;
    int rc = walk(q, out, path, strlen(path) + 1, 0, err);
    if (rc == 0 && out->count == before)
        rc = err_set(err, -EINVAL,
                     "directory %s holds no file named *.json, *.jsonl or *.ndjson (or these with "
                     ".gz)",
                     path);
    return rc;
}

int import_files_find(const struct import_request *q, struct import_files *out, struct err *err)
{
    struct import_files found = {0};
    int rc = 0;

    for (size_t i = 0; i < q->paths.count && rc == 0; i++)
        rc = find_one(q, &found, q->paths.items[i], err);
    if (rc < 0)
        import_files_free(&found);
    else
        *out = found;
    return rc;
}
