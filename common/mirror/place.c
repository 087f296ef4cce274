#include "mirror/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/cleanup.h"

/* --- where ------------------------------------------------------------------------------------ */

static void digest(const struct buf *b, uint8_t out[CAPTURE_ID_SIZE])
{
    unsigned char full[EVP_MAX_MD_SIZE] = {0};

    EVP_Digest(b->data, b->len, full, NULL, EVP_sha256(), NULL);
    memcpy(out, full, CAPTURE_ID_SIZE);
}

/* A machine's id outlives its name; images that are still to be booted have none. */
static void host_name(char *out, size_t size)
{
    FILE *f = fopen("/etc/machine-id", "re");

    out[0] = '\0';
    if (f && !fgets(out, (int)size, f))
        out[0] = '\0';
    if (f)
        fclose(f);
    out[strcspn(out, "\n")] = '\0';
    if (strlen(out) < 32 && gethostname(out, size - 1) < 0)
        out[0] = '\0';
    out[size - 1] = '\0';
}

int place_find(const char *database, struct place *out)
{
    _cleanup_buf_ struct buf b = {0};
    char host[256];
    char *path = realpath(database, NULL);

    if (!path)
        return errno == ENOMEM ? -ENOMEM : -ENOENT;
    host_name(host, sizeof host);
    buf_append(&b, host, strlen(host) + 1);
    struct place p = {.path = path};
    if (buf_ok(&b))
        digest(&b, p.host);
    buf_append(&b, path, strlen(path));
    if (!buf_ok(&b)) {
        free(path);
        return -ENOMEM;
    }
    digest(&b, p.hash);
    *out = p;
    return 0;
}

void place_clear(struct place *p)
{
    free(take_ptr(p->path));
}

/* --- what is known ---------------------------------------------------------------------------- */

/* *known: it is there, and in `out`. 0 or what store_get() says. */
static int get_id(struct store *s, const char *name, uint8_t out[CAPTURE_ID_SIZE], bool *known)
{
    _cleanup_buf_ struct buf b = {0};
    int rc = store_get(s, name, &b);

    *known = rc == 0 && b.len == CAPTURE_ID_SIZE;
    if (*known)
        memcpy(out, b.data, CAPTURE_ID_SIZE);
    return rc == -ENOENT ? 0 : rc;
}

static int get_nonces(struct store *s, const struct capture_state *st, struct identity_facts *f)
{
    uint8_t now[CAPTURE_NONCE_SIZE], old[CAPTURE_NONCE_SIZE];
    bool has_old;
    int rc = get_id(s, "nonce", now, &f->mirrored);

    if (rc == 0)
        rc = get_id(s, "nonce_old", old, &has_old);
    if (rc == 0 && st->nonce_valid)
        f->nonce_known = (f->mirrored && memcmp(now, st->nonce, sizeof now) == 0) ||
                         (has_old && memcmp(old, st->nonce, sizeof old) == 0);
    return rc;
}

static int get_place(struct store *s, struct identity_facts *f)
{
    _cleanup_buf_ struct buf path = {0};
    int rc = get_id(s, "host", f->own.host, &f->own_place_known);

    if (rc < 0 || !f->own_place_known)
        return rc;
    rc = store_get(s, "path", &path);
    f->own_place_known = rc == 0;
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    buf_append(&path, "", 1);
    f->own.path = buf_ok(&path) ? strdup(path.data) : NULL;
    return f->own.path ? 0 : -ENOMEM;
}

int identity_facts_gather(struct store *s, const char *database, const struct capture_state *st,
                          struct identity_facts *out)
{
    struct identity_facts f = {.database = database, .state = store_path(s)};
    int rc = place_find(database, &f.here);

    if (rc < 0)
        return rc;
    f.captured = st->journal || st->count > 0;
    f.has_id = st->id_valid;
    f.has_place = st->place_valid;
    memcpy(f.id, st->id, sizeof f.id);
    memcpy(f.place, st->place, sizeof f.place);
    rc = get_nonces(s, st, &f);
    if (rc == 0)
        rc = get_id(s, "database_id", f.own_id, &f.own_id_known);
    if (rc == 0)
        rc = get_place(s, &f);
    if (rc == 0)
        *out = f;
    else
        identity_facts_clear(&f);
    return rc;
}

void identity_facts_clear(struct identity_facts *f)
{
    place_clear(&f->here);
    place_clear(&f->own);
}

int identity_keep(struct store *s, const uint8_t id[CAPTURE_ID_SIZE], const struct place *p)
{
    int rc = store_put(s, "database_id", id, CAPTURE_ID_SIZE);

    if (rc == 0)
        rc = store_put(s, "host", p->host, CAPTURE_ID_SIZE);
    if (rc == 0)
        rc = store_put(s, "path", p->path, strlen(p->path));
    if (rc == 0)
        rc = store_put(s, "approved", "", 0);
    return rc;
}

void identity_fingerprint(const struct identity_facts *f, uint8_t out[CAPTURE_ID_SIZE])
{
    _cleanup_buf_ struct buf b = {0};
    uint8_t flags = (uint8_t)(f->captured | f->has_id << 1 | f->has_place << 2);

    memset(out, 0, CAPTURE_ID_SIZE);
    buf_append(&b, &flags, 1);
    buf_append(&b, f->id, sizeof f->id);
    buf_append(&b, f->place, sizeof f->place);
    buf_append(&b, f->here.hash, sizeof f->here.hash);
    if (buf_ok(&b))
        digest(&b, out);
}

/* --- judging ---------------------------------------------------------------------------------- */

/* Does the file still hold our triggers with that id? Read as it stands on disk, without locks or
 * files beside it; what cannot be known counts as yes. The descriptors that SQLite closes are of no
 * database that is open here. */
static bool holds_id(const char *path, const uint8_t id[CAPTURE_ID_SIZE])
{
    _cleanup_free_ char *wal = NULL;
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    struct stat st;
    bool yes = true;

    if (stat(path, &st) < 0)
        return errno != ENOENT && errno != ENOTDIR;
    if (asprintf(&wal, "%s-wal", path) < 0) {
        wal = NULL;
        return true;
    }
    if (!S_ISREG(st.st_mode) || st.st_size <= 1)
        return false;
    bool pending = stat(wal, &st) == 0 && st.st_size > 0;
    char *uri = sqlite3_mprintf("file:%s?immutable=1", path);
    if (uri && !strpbrk(path, "?#%") &&
        sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) == SQLITE_OK) {
        int rc = sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema WHERE name='_syncd_cap'", -1,
                                    &stmt, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(stmt);
        uint8_t found[CAPTURE_ID_SIZE], place[CAPTURE_ID_SIZE];
        if (rc == SQLITE_NOTADB || rc == SQLITE_DONE)
            yes = pending;
        else if (rc == SQLITE_ROW &&
                 capture_parse_identity((const char *)sqlite3_column_text(stmt, 0), found, place))
            yes = pending || memcmp(found, id, sizeof found) == 0;
    }
    sqlite3_finalize(stmt);
    sqlite3_close_v2(db);
    sqlite3_free(uri);
    return yes;
}

static bool same_inode(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

#define WHAT_TO_DO                                                                                 \
    "nothing is read or sent until `syncctl approve` (it is the one to mirror from now on) or "    \
    "`syncctl attach --adopt` (the same, as a database of its own)"

static enum identity_verdict judge_unknown(const struct identity_facts *f, struct err *why)
{
    if (!f->captured || (!f->has_id && !f->has_place))
        return f->captured ? IDENTITY_STATE_LOST : IDENTITY_NEW;
    if (f->has_place && memcmp(f->place, f->here.hash, sizeof f->place) == 0)
        return IDENTITY_STATE_LOST;
    err_set(why, -EPERM,
            "database %s was mirrored at another path or on another host, and state file %s knows "
            "nothing of it: a copy, it seems; " WHAT_TO_DO,
            f->database, f->state);
    return IDENTITY_HELD;
}

static enum identity_verdict judge_place(const struct identity_facts *f, struct err *why)
{
    if (!f->own_place_known)
        return IDENTITY_OURS;
    if (memcmp(f->own.host, f->here.host, sizeof f->own.host) != 0) {
        err_set(
            why, -EPERM,
            "database %s and state file %s come from another host: a copy, it seems; " WHAT_TO_DO,
            f->database, f->state);
        return IDENTITY_HELD;
    }
    if (strcmp(f->own.path, f->here.path) == 0 || same_inode(f->own.path, f->here.path))
        return IDENTITY_OURS;
    if (!f->own_id_known || !holds_id(f->own.path, f->own_id))
        return IDENTITY_MOVED;
    err_set(why, -EPERM,
            "database %s is a copy of the one that is mirrored, which is still at %s; " WHAT_TO_DO,
            f->database, f->own.path);
    return IDENTITY_HELD;
}

enum identity_verdict identity_judge(const struct identity_facts *f, struct err *why)
{
    bool at_home = f->own_place_known && strcmp(f->own.path, f->here.path) == 0 &&
                   memcmp(f->own.host, f->here.host, sizeof f->own.host) == 0;

    /* An id without more is of an attempt to install that came to nothing. */
    if (!f->mirrored && (!f->own_id_known || !f->captured))
        return judge_unknown(f, why);
    if (!f->captured) {
        err_set(why, -EPERM,
                "database %s has neither journal nor triggers, though it was mirrored: another or "
                "emptied file, or a backup from before syncd was installed; " WHAT_TO_DO,
                f->database);
        return IDENTITY_HELD;
    }
    if (f->own_id_known && f->has_id && memcmp(f->own_id, f->id, sizeof f->id) != 0) {
        err_set(why, -EPERM,
                "database %s is another than the one that was mirrored here; " WHAT_TO_DO,
                f->database);
        return IDENTITY_HELD;
    }
    if (!f->has_id && !f->nonce_known && f->own_place_known && !at_home) {
        err_set(why, -EPERM, "database %s cannot be told from a copy of another one; " WHAT_TO_DO,
                f->database);
        return IDENTITY_HELD;
    }
    return judge_place(f, why);
}
