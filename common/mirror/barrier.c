/* The barrier: nothing that was read from the database is sent, and no outcome of reading is kept,
 * before the commit it was read from cannot be taken back by a power failure any more.
 *
 * A slice is read, its transaction ends, the edge makes the database's -wal durable, the engine may
 * send. Nothing more is read meanwhile: all commits that come then share the next slice and its
 * sync, and a key that changes all the time still has a moment in which it may go. Where nobody has
 * committed since the last sync, as in a load, there is none.
 *
 * A commit that comes alone does not wait for being read first: its sync begins when data_version
 * tells of it, and it is read meanwhile. The sync covers what was read if data_version is the same
 * afterwards; else what was read has a sync of its own. */
#include <errno.h>

#include "base/plant.h"
#include "mirror/internal.h"

void barrier_read(struct mirror *m)
{
    m->barrier.read = true;
}

bool barrier_open(const struct mirror *m)
{
    return !m->barrier.read && !m->barrier.syncing;
}

bool barrier_waits(const struct mirror *m)
{
    return m->barrier.syncing || (m->barrier.read && m->barrier.ahead);
}

void barrier_reopened(struct mirror *m)
{
    m->barrier.known = m->barrier.known_next = false;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t barrier_watermark(const struct mirror *m)
{
    return least(m->barrier.watermark, m->watermark);
}

int64_t barrier_acked(const struct mirror *m)
{
    return least(m->barrier.acked, m->acked);
}

/* The state that was read, or a later one. In rollback mode even asking would be in a writer's way,
 * and a sync is rare. */
static bool state_read(struct mirror *m, int64_t *version)
{
    if (m->source)
        m->barrier.wal = m->source->wal;
    return m->source && m->source->wal && source_data_version(m->source, version) == SQLITE_OK;
}

/* What could not be written the kernel gives up, and says so once: later syncs succeed, and yet
 * SQLite reads a -wal after a power failure only up to there. It is the application's, in which
 * nothing can be mended. So how far was read is on disk before any of it is sent: a journal that
 * ends before that is found to be an older one, and every table is compared. */
static int keep_seen(struct mirror *m)
{
    struct barrier *b = &m->barrier;
    int64_t seen = barrier_watermark(m);

    if (!b->gap || !m->attached || seen == b->seen)
        return 0;
    int rc = ack_remember_seen(m);
    rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    if (rc == 0)
        b->seen = seen;
    return rc;
}

static void pass(struct mirror *m, usec now, uint64_t serial)
{
    if (keep_seen(m) == 0) {
        mirror_act(m, now, &(struct event){.kind = EVENT_DURABLE, .serial = serial});
        return;
    }
    m->barrier.read = true;
    m->barrier.retry = now + STORE_RETRY;
}

static void begin(struct mirror *m, bool known, int64_t version)
{
    struct barrier *b = &m->barrier;

    b->known_next = known;
    b->version_next = version;
    b->watermark_next = m->watermark;
    b->acked_next = m->acked;
    m->edge.sync_source(m->edge.arg, ++b->sync, b->wal);
}

/* Commits of tables that are not mirrored have nothing to send, and would be synced for nothing:
 * so after one that had none, not before another had. Nor in a stream, whose commits share a slice
 * that is read later; nor on a new connection, which cannot tell of a commit yet. */
void barrier_ahead(struct mirror *m)
{
    struct barrier *b = &m->barrier;
    int64_t version;

    if (!b->worth || !barrier_open(m) || b->ahead || b->failed || m->pace.until || !b->known ||
        !state_read(m, &version) || version == b->version)
        return;
    b->ahead = true;
    begin(m, true, version);
}

void barrier_step(struct mirror *m, usec now)
{
    struct barrier *b = &m->barrier;
    int64_t version = 0;

    if (!b->read || b->syncing || now < b->retry)
        return;
    bool known = state_read(m, &version);
    bool covered = known && b->known && version == b->version;
    bool covers = b->ahead && known && b->known_next &&
                  (version == b->version_next || PLANTED(SYNC_TOO_EARLY));
    if (b->ahead && !covered && !covers)
        return; /* one sync at a time */
    b->read = false;
    b->worth = true;
    if (covered) {
        b->watermark = m->watermark;
        pass(m, now, engine_serial(m->engine));
        return;
    }
    b->syncing = true;
    b->serial = engine_serial(m->engine);
    if (!covers)
        begin(m, known, version);
    b->ahead = false;
    b->watermark_next = m->watermark;
}

static void failed(struct mirror *m, usec now, int rc)
{
    struct barrier *b = &m->barrier;

    b->read = b->gap = true;
    b->retry = now + STORE_RETRY;
    err_set(&b->error, rc,
            "what the application wrote to database %s cannot be made durable: %s; nothing more is "
            "sent until it can",
            m->config->database, strerror(-rc));
    if (!b->failed)
        mirror_note(m, LOG_EV_ERROR, "source_unsynced", "%s", b->error.text);
    b->failed = true;
    b->known = false;
}

void mirror_source_synced(struct mirror *m, usec now, uint64_t sync, int rc)
{
    struct barrier *b = &m->barrier;
    bool ahead = b->ahead;

    m->now = now;
    if (!(b->syncing || ahead) || sync != b->sync)
        return;
    b->syncing = b->ahead = false;
    b->worth &= !ahead || b->read;
    if (rc < 0) {
        failed(m, now, rc);
        return;
    }
    if (b->failed)
        mirror_note(m, LOG_EV_INFO, "source_synced", "database %s can be made durable again",
                    m->config->database);
    b->failed = false;
    b->retry = 0;
    b->known = b->known_next;
    b->version = b->version_next;
    b->watermark = b->watermark_next;
    b->acked = b->acked_next;
    if (ahead)
        barrier_step(m, now);
    else
        pass(m, now, b->serial);
}

int barrier_sync_now(struct mirror *m)
{
    struct durable d = DURABLE_INIT;
    bool wal = m->source ? m->source->wal : m->barrier.wal;
    int rc = durable_sync(&d, m->config->database, wal);

    durable_close(&d);
    if (rc == 0) {
        m->barrier.watermark = m->watermark;
        m->barrier.acked = m->acked;
    }
    return rc;
}
