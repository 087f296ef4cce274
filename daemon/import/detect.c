#include "import/detect.h"

#include <errno.h>
#include <string.h>

#include "import/record.h"

static const char *const names[] = {"array", "keyed", "lines", "mongo", "dynamodb"};

const char *detect_known_name(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return names[i];
    return NULL;
}

size_t detect_mark(const char *bytes, size_t n)
{
    return n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* Files that are no JSON at all, by how they begin. */
static int refuse_others(const char *b, size_t n, struct err *err)
{
    bool low = n >= 4 && b[0] && !b[1] && b[2] && !b[3], high = n >= 4 && !b[0] && b[1] && !b[2];

    if (low || high || (n >= 2 && (memcmp(b, "\xff\xfe", 2) == 0 || memcmp(b, "\xfe\xff", 2) == 0)))
        return err_set(err, -EINVAL,
                       "it is UTF-16: convert it, such as by iconv -f UTF-16 -t UTF-8");
    if (n >= 4 && memcmp(b, "\xe0\x01\x00\xea", 4) == 0)
        return err_set(err, -EINVAL, "it is Amazon Ion: export as DynamoDB JSON");
    if (n >= 10 && memcmp(b, "$ion_1_0", 8) == 0)
        return err_set(err, -EINVAL, "it is Amazon Ion text: export as DynamoDB JSON");
    if (n >= 2 && memcmp(b, "PK", 2) == 0)
        return err_set(err, -EINVAL, "it is a zip archive: unpack it first");
    if (n >= 5 && b[3] == '\0' && b[0] != '\0')
        return err_set(err, -EINVAL, "it is no text; of BSON make JSON by bsondump or mongoexport");
    if (n && b[0] != '{' && b[0] != '[')
        return err_set(err, -EINVAL, "it begins with neither { nor [, so it is no JSON of records");
    return 0;
}

/* The text between two places, with the space before it left out. */
struct span {
    const char *at, *end;
};

static void skip_space(struct span *s)
{
    while (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at)
        s->at++;
}

/* The value at the beginning; false: it does not end here. */
static bool take_value(struct span *s, struct span *value)
{
    struct split_scan scan = {0};
    size_t used;

    skip_space(s);
    if (s->at == s->end || !split_scan(&scan, s->at, (size_t)(s->end - s->at), &used))
        return false;
    *value = (struct span){s->at, s->at + used};
    s->at += used;
    return true;
}

static size_t length(const struct span *s)
{
    return (size_t)(s->end - s->at);
}

/* Objects in an object, none of which has a type: records by their ids? */
static bool is_keyed(const struct span *object)
{
    struct span at = {object->at + 1, object->end}, key, value;
    size_t count = 0;

    if (datum_is_typed(object->at, length(object)))
        return false;
    for (;;) {
        struct json_text t = {.at = at.at, .end = at.end};
        if (json_take_char(&t, '}'))
            return count > 0;
        at.at = t.at;
        if (!take_value(&at, &key) || *key.at != '"' || length(&key) < 2 || key.at[1] == '$' ||
            (length(&key) == 6 && memcmp(key.at, "\"Item\"", 6) == 0))
            return false;
        t.at = at.at;
        if (!json_take_char(&t, ':'))
            return false;
        at.at = t.at;
        if (!take_value(&at, &value) || *value.at != '{')
            return false;
        /* {"_id": {"$oid": …}} is a record, and not one of many. */
        struct json_text inner = {.at = value.at + 1, .end = value.end};
        if (json_take_char(&inner, '"') && inner.at < inner.end && *inner.at == '$')
            return false;
        count++;
        t.at = at.at;
        json_take_char(&t, ',');
        at.at = t.at;
    }
}

/* The first record, if all of it is there. */
static bool first_record(enum split_form form, struct span all, struct span *out)
{
    struct span key;

    skip_space(&all);
    if (form == SPLIT_ARRAY || form == SPLIT_KEYED)
        all.at++;
    if (form == SPLIT_KEYED) {
        struct json_text t;
        if (!take_value(&all, &key))
            return false;
        t = (struct json_text){.at = all.at, .end = all.end};
        if (!json_take_char(&t, ':'))
            return false;
        all.at = t.at;
    }
    return take_value(&all, out) && out->at < out->end && *out->at == '{';
}

static bool several_lines(const struct span *s)
{
    return memchr(s->at, '\n', length(s)) != NULL;
}

/* Of an object that ends within what was looked at: is there another behind it? */
static enum split_form whole_form(const struct span *first, struct span rest)
{
    skip_space(&rest);
    if (rest.at == rest.end && is_keyed(first))
        return SPLIT_KEYED;
    return several_lines(first) ? SPLIT_DOCUMENTS : SPLIT_LINES;
}

/* Is the member that begins at `t` an object that stands for a record? `name`: its name. */
static bool is_record(const struct span *name, struct json_text t)
{
    struct span rest = {t.at, t.end}, value;
    static const char item[] = "\"Item\"";

    if (rest.at == rest.end || *rest.at != '{')
        return false;
    if (length(name) == sizeof item - 1 && memcmp(name->at, item, sizeof item - 1) == 0)
        return false;
    return !take_value(&rest, &value) || length(&value) < 3 || value.at[1] != '"' ||
           value.at[2] != '$';
}

/* Of an object that goes on behind what was looked at (or is cut off): one record, or many by their
 * ids, as its first member tells. */
static enum split_form cut_form(struct span object)
{
    struct span rest = {object.at + 1, object.end}, name;
    enum split_form record = several_lines(&object) ? SPLIT_DOCUMENTS : SPLIT_LINES;

    if (!take_value(&rest, &name))
        return record;
    struct json_text t = {.at = rest.at, .end = rest.end};
    if (!json_take_char(&t, ':'))
        return record;
    json_skip_space(&t);
    return is_record(&name, t) ? SPLIT_KEYED : record;
}

static enum split_form form_of(struct span all)
{
    struct span first, rest;

    skip_space(&all);
    rest = all;
    if (all.at == all.end)
        return SPLIT_LINES; /* nothing but space as far as was looked */
    if (*all.at == '[')
        return SPLIT_ARRAY;
    return take_value(&rest, &first) ? whole_form(&first, rest) : cut_form(all);
}

static void dialect_of(struct format *f, struct span record)
{
    struct json_text t = {.at = record.at, .end = record.end};
    const char *from;

    if (json_take_char(&t, '{') && json_take_char(&t, '"') && t.end - t.at > 5 &&
        memcmp(t.at, "Item\"", 5) == 0) {
        t.at += 5;
        if (json_take_char(&t, ':') && json_skip_value(&t, RECORD_MAX_DEPTH, &from) == 0 &&
            datum_is_typed(from, (size_t)(t.at - from)) && json_take_char(&t, '}')) {
            f->dialect = DIALECT_DYNAMODB;
            f->item = true;
            return;
        }
    }
    f->dialect = datum_is_typed(record.at, length(&record)) ? DIALECT_DYNAMODB : DIALECT_EXTENDED;
}

/* {"Item": {"id": {"S": … of a first record that goes on behind what was looked at. */
static bool begins_item(enum split_form form, struct span all)
{
    static const char item[] = "Item\"";
    struct json_text t = {.at = all.at, .end = all.end};

    if ((form == SPLIT_ARRAY && !json_take_char(&t, '[')) || !json_take_char(&t, '{') ||
        !json_take_char(&t, '"') || (size_t)(t.end - t.at) < sizeof item - 1 ||
        memcmp(t.at, item, sizeof item - 1) != 0)
        return false;
    t.at += sizeof item - 1;
    return json_take_char(&t, ':') && datum_begins_typed(t.at, (size_t)(t.end - t.at));
}

static bool is_marked(const struct span *all)
{
    static const char *const marks[] = {"\"$oid\"", "\"$date\"", "\"$number", "\"$binary\""};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (memmem(all->at, length(all), marks[i], strlen(marks[i])))
            return true;
    return false;
}

static int insist(const char *name, struct format *f, struct err *err)
{
    if (strcmp(name, "array") == 0 && f->form != SPLIT_ARRAY)
        return err_set(err, -EINVAL, "it is no array, as --format array says: it lacks its [");
    if (strcmp(name, "keyed") == 0 && f->form == SPLIT_ARRAY)
        return err_set(err, -EINVAL, "it is an array, and not keyed by id, as --format says");
    if (strcmp(name, "dynamodb") == 0 && f->dialect != DIALECT_DYNAMODB)
        return err_set(err, -EINVAL,
                       "it is not of DynamoDB's items, as --format says: its first record is not "
                       "{\"Item\": …} with typed attributes");
    if (strcmp(name, "keyed") == 0)
        f->form = SPLIT_KEYED;
    if (strcmp(name, "lines") == 0 && f->form != SPLIT_DOCUMENTS)
        f->form = SPLIT_LINES;
    if (strcmp(name, "mongo") == 0 && f->form == SPLIT_KEYED)
        f->form = SPLIT_DOCUMENTS;
    if (strcmp(name, "dynamodb") != 0) {
        f->dialect = strcmp(name, "mongo") == 0 ? DIALECT_EXTENDED : DIALECT_PLAIN;
        f->item = false;
    }
    return 0;
}

int detect_format(const char *name, const char *bytes, size_t n, bool whole, struct format *out,
                  struct err *err)
{
    struct span all = {bytes, bytes + n}, at = all, record;
    struct format f = {.form = SPLIT_LINES, .dialect = DIALECT_EXTENDED};

    skip_space(&at);
    f.empty = at.at == at.end && whole;
    if (f.empty) {
        *out = f;
        return 0;
    }
    int rc = refuse_others(at.at, length(&at), err);
    if (rc < 0)
        return rc;
    f.form = form_of(all);
    if (name && strcmp(name, "keyed") == 0 && f.form != SPLIT_ARRAY)
        f.form = SPLIT_KEYED;
    if (first_record(f.form, all, &record))
        dialect_of(&f, record);
    else if (f.form != SPLIT_KEYED && begins_item(f.form, all)) {
        f.dialect = DIALECT_DYNAMODB;
        f.item = true;
    }
    f.marked = is_marked(&all);
    rc = name ? insist(name, &f, err) : 0;
    if (rc == 0)
        *out = f;
    return rc;
}

const char *detect_describe(const struct format *f)
{
    static const char *const texts[][3] = {
        [SPLIT_LINES] = {"JSON Lines", "JSON Lines, Extended JSON", "DynamoDB's items, lines"},
        [SPLIT_DOCUMENTS] = {"JSON documents", "JSON documents, Extended JSON", "DynamoDB's items"},
        [SPLIT_ARRAY] = {"a JSON array", "a JSON array, Extended JSON",
                         "an array of DynamoDB's items"},
        [SPLIT_KEYED] = {"a JSON object keyed by id", "a JSON object keyed by id, Extended JSON",
                         "DynamoDB's items, keyed by id"},
    };

    bool plain = f->dialect == DIALECT_EXTENDED && !f->marked;
    return f->empty ? "empty" : texts[f->form][plain ? DIALECT_PLAIN : f->dialect];
}
