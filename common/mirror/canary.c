/* The canary's row (source/canary.h) is written by us, into the user's database: rarely, in a tiny
 * transaction, at a quiet moment. On the way to DynamoDB it is a row like any other. Whether it
 * arrives is the edge's to find out; what can be seen here is whether the triggers still are what
 * they were, even where the schema's version does not tell. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "mirror/internal.h"
#include "source/canary.h"

void mirror_canary_id(const struct mirror *m, char out[MIRROR_CANARY_ID])
{
    for (size_t i = 0; i < CAPTURE_ID_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", m->id[i]);
}

const char *mirror_canary_stopped(const struct mirror *m)
{
    if (m->canary == m->table_count)
        return NULL;
    const struct table_slot *t = &m->tables[m->canary];
    if (!t->plan)
        return t->refusal;
    return m->targets[t->target]->view.parked ? m->targets[t->target]->view.reason : NULL;
}

bool mirror_on_duty(const struct mirror *m)
{
    return !m->held && !m->detached && !m->uninstalled && !m->paused;
}

bool mirror_canary_sent(const struct mirror *m, int64_t seq)
{
    return m->attached && m->watermark >= seq && m->canary < m->table_count &&
           m->tables[m->canary].plan && engine_pending(m->engine, m->tables[m->canary].target) == 0;
}

/* NULL: it may be written. */
static const char *in_the_way(struct mirror *m, usec now, usec due)
{
    if (!mirror_on_duty(m) || m->unsettled)
        return "the database is not being mirrored";
    if (!m->attached || m->problem != SOURCE_OK || m->canary == m->table_count ||
        !m->tables[m->canary].plan)
        return "triggers and canary are not in the database";
    if (!m->targets[m->tables[m->canary].target]->view.open)
        return "its DynamoDB table cannot be written";
    if (m->state_broken)
        return "the state file cannot be written";
    if (now < m->last_change + ACK_QUIET && now < due + ACK_INTERVAL)
        return "the application is writing";
    if (rest_wake(m) != SOURCE_OK || !m->source)
        return "the database cannot be opened, or is locked";
    if (!m->source->wal && source_being_written(m->source))
        return "the database is locked by another process";
    return NULL;
}

/* In the transaction: are there as many triggers of ours as we left? */
static bool triggers_there(struct mirror *m)
{
    int64_t count = 0;

    return source_query_int(m->source,
                            "SELECT count(*) FROM sqlite_schema WHERE type='trigger' AND name LIKE "
                            "'\\_syncd\\_%' ESCAPE '\\'",
                            &count) != SQLITE_OK ||
           count == (int64_t)m->trigger_count;
}

static int write_row(struct mirror *m, int64_t beat, int64_t *seq, bool *captured)
{
    char id[MIRROR_CANARY_ID], at[32];
    time_t seconds = (time_t)(clock_wall() / USEC_PER_SEC);
    struct tm tm;
    bool same = false;
    int64_t before = 0;
    int rc = reader_check(m, &same);

    mirror_canary_id(m, id);
    gmtime_r(&seconds, &tm);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (rc == SQLITE_OK && !same)
        rc = SQLITE_BUSY; /* a look at it comes first */
    if (rc == SQLITE_OK)
        rc = journal_max(m->journal, &before) == SQLITE_ROW ? SQLITE_OK : SQLITE_BUSY;
    if (rc == SQLITE_OK)
        rc = canary_write(m->source, id, beat, at);
    if (rc == SQLITE_OK)
        rc = journal_max(m->journal, seq) == SQLITE_ROW ? SQLITE_OK : SQLITE_BUSY;
    *captured = *seq > before && triggers_there(m);
    return rc;
}

int mirror_canary_beat(struct mirror *m, usec now, usec due, int64_t beat, int64_t *seq,
                       const char **why)
{
    bool captured = true;
    int64_t at = 0;

    m->now = now;
    *why = in_the_way(m, now, due);
    if (*why)
        return -EAGAIN;
    int rc = source_exec(m->source, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = source_end(m->source, write_row(m, beat, &at, &captured));
    if (rc != SQLITE_OK) {
        *why = (rc & 0xff) == SQLITE_BUSY ? "the database is locked by another process"
                                          : "the database cannot be written";
        return -EAGAIN;
    }
    barrier_reopened(m); /* our own commit is none that data_version counts */
    if (!captured) {
        mirror_note(m, LOG_EV_WARNING, "triggers_missing",
                    "triggers are missing from database %s although its schema's version says that "
                    "nothing has changed; they are put back and their tables compared",
                    m->config->database);
        mirror_close_source(m); /* whose idea of the schema is the old one */
        *why = "triggers are missing";
        return -EAGAIN;
    }
    *seq = at;
    return 0;
}
