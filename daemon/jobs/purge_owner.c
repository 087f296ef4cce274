#include "jobs/purge_owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "dynamodb/marker.h"
#include "jobs/call.h"
#include "mirror/owned_state.h"
#include "mirror/place.h"

struct asker {
    struct store *store;
    uint32_t target;
};

static bool knows(void *arg, const char *generation)
{
    const struct asker *a = arg;
    bool any;

    return owned_generation(a->store, a->target, generation, &any);
}

struct self {
    char database[2 * CAPTURE_ID_SIZE + 1], host[2 * CAPTURE_ID_SIZE + 1];
};

static void digits(const uint8_t bytes[CAPTURE_ID_SIZE], char out[2 * CAPTURE_ID_SIZE + 1])
{
    for (size_t i = 0; i < CAPTURE_ID_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* Which database this is: what its triggers say, or the state file where they are taken out. */
static void find_self(const struct config *c, struct store *s, struct self *out)
{
    _cleanup_buf_ struct buf kept = {0};
    struct capture_state *st = NULL;
    struct source *source = NULL;
    struct place here = {0};
    struct err ignored;

    *out = (struct self){0};
    if (store_get(s, "database_id", &kept) == 0 && kept.len == CAPTURE_ID_SIZE)
        digits((const uint8_t *)kept.data, out->database);
    if (source_open(c->database, &source, &ignored) == SOURCE_OK &&
        capture_look(source, &st) == SQLITE_OK && st->id_valid)
        digits(st->id, out->database);
    capture_state_free(st);
    source_close(source);
    if (place_find(c->database, &here) == 0)
        digits(here.host, out->host);
    place_clear(&here);
}

static int read_markers(struct connection *x, const struct config *c, const char *table,
                        struct marker *found, size_t *count, struct err *err)
{
    json_auto_t *reply = NULL;
    struct buf body = {0};

    marker_query_body(&body, c->meta_table, table);
    int rc = job_call(x, "Query", &body, &reply, err);
    if (rc == -ENOENT || rc == -EACCES || rc == -EINVAL)
        return 0;
    if (rc < 0)
        return rc;
    _cleanup_free_ char *text = json_dumps(reply, JSON_COMPACT);
    if (!text)
        return err_set(err, -ENOMEM, "out of memory");
    if (marker_read(text, strlen(text), found, count) < 0)
        return err_set(err, -EIO, "the markers of DynamoDB table %s in %s cannot be read", table,
                       c->meta_table);
    return 0;
}

static int handed_over(const char *table, struct err *err)
{
    return err_set(err, -EPERM,
                   "DynamoDB table %s was handed over: others write there, and nothing of it is "
                   "removed; `syncctl handover --undo` takes it back",
                   table);
}

int purge_owner(struct connection *x, const struct config *c, struct store *s, const char *table,
                const char *identity, bool *alone, struct err *err)
{
    _cleanup_free_ struct marker *found = calloc(MARKER_MAX, sizeof *found);
    struct asker a = {.store = s};
    struct owned owned;
    size_t count = 0;

    if (!found)
        return err_set(err, -ENOMEM, "out of memory");
    if (store_target(s, table, &a.target) < 0 || owned_read(s, a.target, &owned) < 0)
        return err_set(err, -EIO, "state file %s cannot be read: %s", store_path(s),
                       store_error(s));
    if (owned.handed_over)
        return handed_over(table, err);
    int rc = read_markers(x, c, table, found, &count, err);
    if (rc < 0)
        return rc;
    struct self here;
    find_self(c, s, &here);
    struct marker_self self = {.source = c->source_id,
                               .database = here.database,
                               .host = here.host,
                               .identity = identity,
                               .arg = &a,
                               .knows = knows};
    const struct marker *which = marker_own(found, count, c->source_id);
    if (!which) /* with source_id in no key, the table is one database's all the same */
        self.source = "";
    (void)owned_generation(s, a.target, "", &self.knows_lives);
    enum marker_verdict verdict = marker_judge(found, count, &self, &which);
    if (verdict == MARKER_HANDED_OVER)
        return handed_over(table, err);
    if (verdict == MARKER_OTHER)
        return err_set(err, -EPERM,
                       "DynamoDB table %s belongs to another database: %s on host %s, since %s; "
                       "nothing of it is removed",
                       table, which->path[0] ? which->path : which->database, which->hostname,
                       which->since);
    *alone = owned.alone || (which && verdict != MARKER_NONE && which->alone);
    return 0;
}
