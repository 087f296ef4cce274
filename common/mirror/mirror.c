#include "mirror/mirror.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include <openssl/rand.h>

#include "base/lockfile.h"
#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/orphans.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

/* --- small things ----------------------------------------------------------------------------- */

void mirror_note(struct mirror *m, enum log_level level, const char *code, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    m->edge.note(m->edge.arg, level, code, text);
}

/* What SQLite said about the user's database. A lock is no state: the next look may find it gone.
 */
void mirror_fail(struct mirror *m, int rc, const char *doing)
{
    m->problem = source_problem_of(m->source, rc, doing, &m->problem_text);
    if (m->problem != SOURCE_OK && m->problem != SOURCE_LOCKED)
        m->attached = false;
}

struct table_slot *mirror_table_by_id(struct mirror *m, uint32_t id)
{
    /* Changes come in runs of one table, of which there may be a thousand. */
    if (m->found < m->table_count && m->tables[m->found].id == id && m->tables[m->found].plan)
        return &m->tables[m->found];
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].id == id && m->tables[i].plan)
            return &m->tables[m->found = i];
    return NULL;
}

struct table_slot *mirror_table_named(struct mirror *m, const char *name)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (strcasecmp(m->tables[i].name, name) == 0)
            return &m->tables[i];
    return NULL;
}

int64_t mirror_low(const struct mirror *m)
{
    uint64_t low = m->track.low;

    if (PLANTED(ACK_BEFORE_REPLY))
        return m->watermark;
    for (size_t i = 0; i < m->table_count; i++) {
        const struct table_slot *t = &m->tables[i];
        if (t->lag_tracked && t->lag_track.low < low)
            low = t->lag_track.low;
        else if (t->skipped && !t->lag_tracked && !t->let_go && (uint64_t)t->lag_seq < low)
            low = (uint64_t)t->lag_seq;
    }
    return (int64_t)low;
}

/* --- work ------------------------------------------------------------------------------------- */

/* What is read for a table that is not open falls behind, and is read twice: where that is a matter
 * of moments, as at a start, it is worth waiting for. Until when; 0: it is open, or will not be. */
static usec opening_until(const struct target_slot *t)
{
    return t->view.surveying || t->marking ? t->looked_at + OPENING_PATIENCE : 0;
}

static bool targets_looked_at(const struct mirror *m, usec now)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        if (!m->targets[i]->view.looked || now < opening_until(m->targets[i]))
            return false;
    return true;
}

/* When reading begins all the same. */
static usec opening_deadline(const struct mirror *m)
{
    usec due = USEC_NEVER;

    for (uint32_t i = 0; i < m->target_count; i++) {
        usec until = opening_until(m->targets[i]);
        due = until > m->now && until < due ? until : due;
    }
    return due;
}

void mirror_tick(struct mirror *m)
{
    struct err err = {0};
    struct stamp s;

    survey_turn(m);
    if (m->source ? source_check_file(m->source, &err) == SOURCE_OK : !m->attached) {
        /* The application may have changed it; a lock is no news, and asking would be in the way of
         * writers that reading gives way to. */
        if (m->source && !m->postponed)
            source_refresh_mode(m->source);
        return;
    }
    if (!m->source) {
        stamp_take(m->config->database, NULL, &s);
        if (!stamp_replaced(&s, &m->stamp))
            return;
        err_set(&err, -EIO, "database %s is gone or was replaced by another file",
                m->config->database);
    }
    mirror_close_source(m);
    m->problem = SOURCE_MISSING;
    m->problem_text = err;
    identity_doubt(m, "the database file was replaced");
    struct stat st;
    bool another = stat(m->config->database, &st) == 0;
    mirror_note(m, another ? LOG_EV_WARNING : LOG_EV_ERROR,
                another ? "database_replaced" : "source_unavailable", "%s", err.text);
}

bool mirror_changed(struct mirror *m)
{
    unsigned version = 0;

    if (m->held)
        return identity_held_changed(m);
    if (barrier_waits(m))
        return false; /* nothing is read before that is over; then there is a look */
    if (suspects_call(m))
        return true;
    if (m->attached && !m->source)
        return rest_calls(m);
    if (!m->source || m->problem != SOURCE_OK || m->adopt_at <= clock_monotonic() || m->postponed ||
        m->schema_restless)
        return true;
    if (!m->source->wal) {
        /* Even asking SQLite would keep a writer from committing. */
        uint32_t counter;
        if (source_being_written(m->source) || !source_change_counter(m->source, &counter))
            return true;
        bool same = m->counter_known && counter == m->change_counter;
        m->change_counter = counter;
        m->counter_known = true;
        return !same;
    }
    m->counter_known = false;
    int64_t now = 0;
    if (source_data_version(m->source, &now) != SQLITE_OK)
        return true;
    version = (unsigned)now;
    if (version == m->data_version)
        return false;
    m->data_version = version;
    return true;
}

bool mirror_syncing(const struct mirror *m)
{
    return barrier_waits(m);
}

bool mirror_gives_way(const struct mirror *m)
{
    return m->postponed != 0;
}

/* A tool that changes the schema in several transactions reads before it writes: triggers put back
 * in between would make its next write fail. So they go back when the schema has been left alone
 * for a moment, and at the latest after SCHEMA_LATEST; at once where a journal is missing, because
 * then every write of the application fails. */
static bool schema_restless(struct mirror *m, usec now)
{
    int64_t version, journal = 0;

    if (!m->ever_attached || !m->source || source_schema_version(m->source, &version) != SQLITE_OK)
        return false;
    if (version != m->schema_noticed) {
        m->schema_noticed = version;
        m->schema_moved = now;
        if (!m->schema_restless)
            m->schema_began = now;
        m->schema_restless = true;
    }
    if (!m->schema_restless)
        return false;
    m->schema_restless =
        now - m->schema_moved < SCHEMA_QUIET && now - m->schema_began < SCHEMA_LATEST &&
        source_query_int(m->source, "SELECT 1 FROM sqlite_schema WHERE name='_syncd_journal'",
                         &journal) == SQLITE_OK &&
        journal == 1;
    return m->schema_restless;
}

static unsigned work(struct mirror *m, usec now)
{
    unsigned bits = 0;

    if (m->detached || m->uninstalled)
        return 0;
    if (m->adopt_at <= now)
        m->attached = false;
    if (m->attached && !m->source) {
        if (!rest_calls(m)) {
            mirror_act(m, now, &(struct event){.kind = EVENT_TIMER});
            return 0;
        }
        if (rest_wake(m) == SOURCE_LOCKED)
            return MIRROR_BUSY;
    }
    if (!m->attached && schema_restless(m, now))
        return MIRROR_BUSY;
    if (!m->attached && mirror_attach(m, now) != SOURCE_OK)
        return m->problem == SOURCE_LOCKED ? MIRROR_BUSY : 0;
    if (!m->attached || !targets_looked_at(m, now) || !barrier_open(m))
        return 0;
    targets_open_fresh(m, now);
    if (!m->sentinel)
        mirror_ack(m, now, true);
    bits = reader_slice(m, now);
    if (m->attached && !m->sentinel)
        return bits | MIRROR_BUSY;
    if (PLANTED(LATE_LOAD) && m->late) {
        struct event ev = {.kind = EVENT_OFFER, .payload = m->late};
        m->late = NULL;
        engine_step(m->engine, now, &ev, &m->actions);
    }
    if (!m->attached) /* the schema moved */
        return bits | (m->problem == SOURCE_OK ? MIRROR_MORE : 0);
    bits |= reread_slice(m, now, bits);
    if (!(bits & MIRROR_BUSY)) {
        m->woken = false;
        m->problem = m->problem == SOURCE_LOCKED ? SOURCE_OK : m->problem;
        bool unread = suspects_unread(m);
        bits |= unread ? 0 : loader_slice(m, now);
        bits |= unread || bits & MIRROR_LATER || !m->attached ? 0 : orphans_slice(m, now);
        bits |= !unread && dropped_slice(m, now) ? MIRROR_MORE : 0;
        bits |= bits & MIRROR_LATER || !m->attached ? 0 : suspects_slice(m, now);
    } else {
        err_set(&m->problem_text, 0,
                "database %s is locked by another process; if this lasts, look for "
                "locking_mode=EXCLUSIVE or a transaction left open",
                m->config->database);
        m->problem = SOURCE_LOCKED;
    }
    barrier_step(m, now);
    mirror_act(m, now, &(struct event){.kind = EVENT_TIMER});
    return bits;
}

unsigned mirror_work(struct mirror *m, usec now)
{
    m->now = now;
    split_turn(m, now);
    barrier_step(m, now); /* of a slice that came to nothing, or a sync that failed */
    bool open = barrier_open(m);
    m->reread = false;
    unsigned bits = work(m, now);
    if (m->json.cap > READ_BYTES / 4) /* of a row that was too large for an item */
        buf_free(&m->json);
    if (open && !m->reread) /* nothing can be read now */
        reread_slice(m, now, MIRROR_BUSY);
    if (engine_asks(m->engine) && barrier_open(m) && !(bits & MIRROR_LATER))
        bits |= MIRROR_MORE;
    /* There is no more to do before the sync is over. */
    return barrier_waits(m) ? bits & ~(unsigned)MIRROR_MORE : bits;
}

usec mirror_deadline(const struct mirror *m)
{
    usec due = engine_deadline(m->engine), retry = m->barrier.retry, aside = orphans_deadline(m);

    if (engine_asks(m->engine) && barrier_open(m) && !m->postponed)
        return m->now; /* mirror_work() answers it */
    due = aside < due ? aside : due;
    usec opens = opening_deadline(m), reads = mirror_read_due(m);
    due = opens < due ? opens : due;
    due = reads && reads < due ? reads : due;
    if (!m->barrier.read || barrier_waits(m))
        return due;
    retry = retry > m->now ? retry : m->now;
    return retry < due ? retry : due;
}

enum source_problem mirror_problem(const struct mirror *m, const char **text)
{
    if (m->problem == SOURCE_OK && m->barrier.failed) {
        *text = m->barrier.error.text;
        return SOURCE_FULL;
    }
    *text = m->problem_text.text;
    return m->problem;
}

/* --- life ------------------------------------------------------------------------------------- */

/* Two daemons with a state file each would take the journal from one another. A directory that is
 * not there yet is no fault: there is no database either, and it is tried again when it is opened.
 */
int mirror_lock_database(struct mirror *m, struct err *err)
{
    _cleanup_free_ char *real = realpath(m->config->database, NULL);
    _cleanup_free_ char *path = NULL;

    struct stat st;
    if (m->database_lock >= 0 || !real || stat(real, &st) < 0)
        return 0;
    if (geteuid() != 0 && geteuid() != st.st_uid)
        return 0; /* refused when it is opened; leave no trace */
    const char *slash = strrchr(real, '/');
    if (asprintf(&path, "%.*s/.%s-syncd.lock", (int)(slash - real), real, slash + 1) < 0) {
        path = NULL;
        return err_set(err, -ENOMEM, "out of memory");
    }
    int rc = lockfile_take(path, m->config->database, &m->database_lock, err);
    if (rc == 0 && geteuid() == 0 && fchown(m->database_lock, st.st_uid, st.st_gid) < 0)
        return err_set(err, -errno, "%s cannot be given to the database's owner", path);
    /* A directory that cannot be written is told with the database's own words when it is opened.
     */
    return rc == -EBUSY || rc == -ENOMEM ? rc : 0;
}

void mirror_abandon(struct mirror *m)
{
    engine_left_open(m->engine, 0, NULL, suspects_left_open, m);
}

/* DynamoDB is known to hold this item: its digest is the one last acknowledged. */
static bool holds(void *arg, struct payload *p)
{
    struct mirror *m = arg;

    if (m->state_broken ||
        (!PLANTED(SPARED_IN_DOUBT) &&
         store_suspect_has(m->store, m->targets[p->target]->store_id, p->key, p->key_len)))
        return false;
    enum digest_match match =
        store_digest_match(m->store, m->targets[p->target]->store_id, p->key, p->key_len, p->digest,
                           p->table, records_owner(m, p), p->row_key_len);
    p->recorded = match == DIGEST_SAME;
    return match != DIGEST_OTHER;
}

static struct engine_config engine_settings(const struct config *c)
{
    return (struct engine_config){
        .max_in_flight = (unsigned)c->max_requests_in_flight,
        .batch_items = (unsigned)c->batch_size,
        .max_items = ENGINE_ITEMS,
        .max_bytes = ENGINE_BYTES,
        .linger = c->linger,
        .backoff_base = c->backoff_base,
        .backoff_max = c->backoff_max,
        .throttle_base = USEC_PER_SEC,
        .write_units_per_second = c->write_units_per_second,
        .reread = true,
        .barrier = true,
    };
}

int mirror_new(const struct config *c, const struct mirror_edge *edge, uint64_t seed,
               struct mirror **out, struct err *err)
{
    struct mirror *m = calloc(1, sizeof *m);
    struct engine_config ec = engine_settings(c);
    int64_t discarded = 0, clean = 0;
    int rc;

    if (!m)
        return err_set(err, -ENOMEM, "out of memory");
    m->config = c;
    m->edge = *edge;
    m->database_lock = -1;
    actions_begin(m);
    payload_blocks_init(&m->payloads);
    records_begin(m);
    reader_begin(m);
    m->ack_locks =
        (struct histogram){.bounds = mirror_ack_bounds, .bound_count = MIRROR_ACK_BOUNDS};
    m->adopt_at = m->first_record = m->idle_since = USEC_NEVER;
    m->seen_kept = -1;
    m->suspects.after.until = INT64_MIN;
    m->problem = SOURCE_MISSING;
    list_init(&m->splits);
    track_init(&m->track, 0);
    ec.seed = seed;
    ec.arg = m;
    ec.holds = holds;
    m->engine = engine_new(&ec, 0);
    if (!m->engine || RAND_bytes(m->nonce, sizeof m->nonce) != 1)
        rc = err_set(err, -ENOMEM, "out of memory");
    else if ((rc = mirror_lock_database(m, err)) == 0)
        rc = store_open(c->state_path, &m->store, err);
    if (rc < 0) {
        mirror_free(m);
        return rc;
    }
    store_get_int(m->store, "discarded", &discarded);
    m->unclean = store_get_int(m->store, "clean", &clean) == 0 && clean == 0;
    if (suspects_recall(m) < 0 ||
        store_put_int(m->store, "discarded", discarded) < 0 || /* can it be written? */
        (rc = store_sync(m->store, err)) < 0) {
        rc = err_set(err, -EIO, "state file %s cannot be written: %s", c->state_path,
                     store_error(m->store));
        mirror_free(m);
        return rc;
    }
    m->discarded = (uint64_t)discarded;
    identity_recall_stranger(m);
    if (store_get_int(m->store, "paused_until", &m->paused_until) == 0 && m->paused_until) {
        m->paused = true;
        mirror_act(m, 0, &(struct event){.kind = EVENT_PAUSE});
    }
    *out = m;
    return 0;
}

void mirror_close_source(struct mirror *m)
{
    m->attached = m->resting = false;
    if (m->source)
        rest_close(m);
}

void mirror_free(struct mirror *m)
{
    if (!m)
        return;
    /* What is still out was not settled: nothing may count it as such when its payload goes. */
    track_clear(&m->track);
    for (size_t i = 0; i < m->table_count; i++) {
        track_clear(&m->tables[i].load_track);
        track_clear(&m->tables[i].lag_track);
    }
    mirror_close_source(m);
    split_free_all(m);
    engine_free(m->engine);
    records_free(m);
    payload_free(m->late);
    for (size_t i = 0; i < m->actions.count; i++)
        if (m->actions.items[i].kind == ACTION_WRITTEN)
            payload_free(m->actions.items[i].payload);
    mirror_free_tables(m);
    for (size_t i = 0; i < m->dropped_count; i++)
        dropped_clear(&m->dropped[i]);
    free(m->dropped);
    store_close(m->store);
    for (uint32_t i = 0; i < m->target_count; i++) {
        free(m->targets[i]->name);
        free(m->targets[i]->schema.parts[0].name);
        free(m->targets[i]->schema.parts[1].name);
        free(m->targets[i]);
    }
    if (m->database_lock >= 0)
        close(m->database_lock);
    free(m->targets);
    for (size_t i = 0; i < m->seen_count; i++)
        free(m->seen[i].name);
    free(m->seen);
    free(m->wal_path);
    actions_free(&m->actions);
    payload_blocks_clear(&m->payloads);
    blocks_clear(&m->idle_records);
    map_free(&m->met);
    blocks_clear(&m->idle_met);
    free(m->doubted);
    buf_free(&m->key);
    buf_free(&m->row_key);
    buf_free(&m->entry);
    buf_free(&m->json);
    buf_free(&m->found_key);
    buf_free(&m->found_row);
    buf_free(&m->suspects.after_key);
    buf_free(&m->orphans.after);
    buf_free(&m->judged.key);
    buf_free(&m->judged.row_key);
    free(m);
}

void mirror_configure(struct mirror *m, const struct config *c)
{
    struct engine_config ec = engine_settings(c);
    bool limit_changed = m->config->journal_limit != c->journal_limit;

    m->config = c;
    engine_configure(m->engine, &ec);
    if (limit_changed)
        m->attached = false; /* the trigger that bounds the journal is made anew */
}

void mirror_release_memory(struct mirror *m)
{
    if (m->source)
        sqlite3_db_release_memory(m->source->db);
    store_release_memory(m->store);
}

struct store *mirror_store(const struct mirror *m)
{
    return m->store;
}
