#include "dynamodb/policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const purposes[POLICY_PURPOSES] = {
    [POLICY_DAEMON] = "daemon",   [POLICY_TABLES] = "tables", [POLICY_VERIFY] = "verify",
    [POLICY_RESTORE] = "restore", [POLICY_PURGE] = "purge",   [POLICY_EXPORT] = "export",
};

static bool is_word(const char *text, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(text, word, n) == 0;
}

static unsigned purpose_of(const char *text, size_t n)
{
    for (int i = 0; i < POLICY_PURPOSES; i++)
        if (is_word(text, n, purposes[i]))
            return 1u << i;
    return is_word(text, n, "migrate") ? POLICY_MIGRATE : 0;
}

const char *policy_purposes_find(const char *words, unsigned *out)
{
    *out = 0;
    for (;;) {
        size_t n = strcspn(words, ",");
        unsigned found = purpose_of(words, n);
        if (!found)
            return words;
        *out |= found;
        if (!words[n])
            return NULL;
        words += n + 1;
    }
}

/* --- printing --------------------------------------------------------------------------------- */

static void print_arn(const struct policy_request *r, const char *table, struct buf *out)
{
    buf_printf(out, "\"arn:%s:dynamodb:%s:%s:table/%s\"", r->partition, r->region, r->account,
               table);
}

/* What a statement is about. */
enum subject { OF_TABLES, OF_META, OF_EXPORTS };

/* Does what a purpose needs go with this statement? */
static bool is_needed(const struct policy_request *r, enum operation_need need,
                      enum subject subject)
{
    bool meta = subject == OF_META;

    if (subject == OF_EXPORTS)
        return need == NEED_EXPORT;
    switch (need) {
    case NEED_TABLES:
        return true;
    case NEED_CREATE:
        return r->create_tables;
    case NEED_META:
        return meta;
    case NEED_DATA:
        return !meta;
    case NEED_TTL:
        return r->ttl && !meta;
    case NEED_TAGS:
        return r->tags;
    case NEED_RECOVERY:
        return r->recovery;
    case NEED_UPDATE:
        return (r->indexes && !meta) || r->protection;
    case NEED_CREATE_TTL:
        return r->create_tables && r->ttl && !meta;
    case NEED_CREATE_TAGS:
        return r->create_tables && r->tags;
    case NEED_CREATE_RECOVERY:
        return r->create_tables && r->recovery;
    case NEED_EXPORT:
    case NEED_NOT:
        break;
    }
    return false;
}

static bool belongs(const struct policy_request *r, const struct ddb_operation *o,
                    enum subject subject)
{
    for (int i = 0; i < POLICY_PURPOSES; i++)
        if (r->purposes & 1u << i && !(subject == OF_META && i == POLICY_VERIFY) &&
            is_needed(r, o->need[i], subject))
            return true;
    return false;
}

static void print_actions(const struct policy_request *r, enum subject subject, struct buf *out)
{
    const char *between = "";

    buf_lit(out, "      \"Action\": [");
    for (const struct ddb_operation *o = ddb_operations; o->name; o++) {
        if (!belongs(r, o, subject))
            continue;
        buf_printf(out, "%s\n        \"dynamodb:%s\"", between, o->name);
        between = ",";
    }
    buf_lit(out, "\n      ],\n");
}

static void print_statement(const struct policy_request *r, const char *sid,
                            const char *const *tables, size_t count, enum subject subject,
                            struct buf *out)
{
    buf_printf(out, "    {\n      \"Sid\": \"%s\",\n      \"Effect\": \"Allow\",\n", sid);
    print_actions(r, subject, out);
    buf_lit(out, "      \"Resource\": [");
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, i ? ",\n        " : "\n        ");
        print_arn(r, tables[i], out);
    }
    buf_lit(out, "\n      ]\n    }");
}

void policy_print(const struct policy_request *r, struct buf *out)
{
    static const char *const sids[POLICY_PURPOSES] = {
        [POLICY_DAEMON] = "SyncdTables", [POLICY_TABLES] = "SyncdCreateTables",
        [POLICY_VERIFY] = "SyncdVerify", [POLICY_RESTORE] = "SyncdRestore",
        [POLICY_PURGE] = "SyncdPurge",
    };
    unsigned mirrored = r->purposes & ~(1u << POLICY_EXPORT);
    bool tables = mirrored && r->table_count, exports = mirrored != r->purposes && r->export_count;
    bool meta = r->meta_table && mirrored & ~(1u << POLICY_VERIFY);
    const char *sid = mirrored == POLICY_MIGRATE ? "SyncdMigrate" : "Syncd";

    for (int i = 0; i < POLICY_EXPORT; i++)
        if (mirrored == 1u << i)
            sid = sids[i];

    buf_lit(out, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n");
    if (tables)
        print_statement(r, sid, r->tables, r->table_count, OF_TABLES, out);
    if (tables && meta)
        buf_lit(out, ",\n");
    if (meta)
        print_statement(r, "SyncdMeta", &r->meta_table, 1, OF_META, out);
    if ((tables || meta) && exports)
        buf_lit(out, ",\n");
    if (exports)
        print_statement(r, "SyncdExport", r->export_tables, r->export_count, OF_EXPORTS, out);
    buf_lit(out, "\n  ]\n}\n");
}

size_t policy_length(const struct buf *policy)
{
    size_t n = 0;

    for (size_t i = 0; i < policy->len; i++)
        n += !isspace((unsigned char)policy->data[i]);
    return n;
}

/* --- a refusal -------------------------------------------------------------------------------- */

/* The word behind `mark`, as far as `stop` or a blank; 0 when there is none. */
static size_t word_after(const char *message, const char *mark, const char **out)
{
    const char *p = strstr(message, mark);

    if (!p)
        return 0;
    *out = p + strlen(mark);
    return strcspn(*out, " \t\r\n");
}

/* "User: ARN is not authorized to perform: dynamodb:PutItem on resource: ARN because no …". */
/* " --for verify": what the daemon does not need stands in another purpose's policy. */
static void name_purpose(const char *action, size_t n, char out[32])
{
    const char *name = memchr(action, ':', n);

    out[0] = '\0';
    for (const struct ddb_operation *o = ddb_operations; name && o->name; o++) {
        if (strlen(o->name) != n - (size_t)(name + 1 - action) ||
            strncmp(o->name, name + 1, strlen(o->name)) != 0 || o->need[POLICY_DAEMON] != NEED_NOT)
            continue;
        for (int i = 0; i < POLICY_PURPOSES && !out[0]; i++)
            if (o->need[i] != NEED_NOT)
                snprintf(out, 32, " --for %s", purposes[i]);
    }
}

void policy_explain_denied(const char *message, char *out, size_t size)
{
    enum { MAX_ACTION = 64, MAX_ARN = 200 };
    const char *action = NULL, *arn = NULL;
    size_t action_len = word_after(message, "perform: ", &action);
    size_t arn_len = word_after(message, "on resource: ", &arn);
    const char *because = strstr(message, "because ");

    if (action_len == 0 || action_len > MAX_ACTION) {
        text_copy(out, size, message);
        return;
    }
    bool ours = strncmp(action, "dynamodb:", 9) == 0;
    char text[1024], hint[128], purpose[32];
    name_purpose(action, action_len, purpose);
    snprintf(hint, sizeof hint, "; `syncctl iam-policy%s` prints the policy that is needed",
             purpose);
    if (arn_len == 0 || arn_len > MAX_ARN)
        snprintf(text, sizeof text, "%.*s is not allowed", (int)action_len, action);
    else
        snprintf(text, sizeof text, "%.*s is not allowed on %.*s", (int)action_len, action,
                 (int)arn_len, arn);
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, "%s%s%.300s",
             ours ? hint : "; the table's key or another service asks for it: allow it by hand",
             because ? " (DynamoDB: " : "", because ? because : "");
    n = strlen(text);
    snprintf(text + n, sizeof text - n, "%s", because ? ")" : "");
    text_copy(out, size, text);
}
