/* Which database this is, and where: what tells the database that we mirror from a copy of it, and
 * from another one put in its place.
 *
 * A database carries an id, given when capture is first installed, and the place where that was: a
 * digest of the host's identity and of the file's real path. Both stand in the text of the trigger
 * _syncd_cap, the id in the journal's sentinel too; the state file has them as well. */
#ifndef SYNCD_MIRROR_PLACE_H
#define SYNCD_MIRROR_PLACE_H

#include "source/capture.h"
#include "state/store.h"

struct place {
    uint8_t host[CAPTURE_ID_SIZE]; /* digest of /etc/machine-id, or of the host's name */
    uint8_t hash[CAPTURE_ID_SIZE]; /* of host and path */
    char *path;                    /* real path; owned */
};

/* 0, -ENOENT when there is no such file, -ENOMEM. place_clear() after. */
int place_find(const char *database, struct place *out);
void place_clear(struct place *p);

/* What is known when a database is judged. */
struct identity_facts {
    const char *database, *state; /* paths, for sentences */
    struct place here;
    /* what the database says */
    bool captured; /* some of our objects are in it */
    bool has_id, has_place, nonce_known;
    uint8_t id[CAPTURE_ID_SIZE], place[CAPTURE_ID_SIZE];
    /* what the state file says */
    bool mirrored; /* capture was in the database once, and attached to */
    bool own_id_known, own_place_known;
    uint8_t own_id[CAPTURE_ID_SIZE];
    struct place own; /* host and path only */
};

/* 0; -ENOENT: there is no such file; -EIO: the state file cannot be read; -ENOMEM. */
int identity_facts_gather(struct store *s, const char *database, const struct capture_state *st,
                          struct identity_facts *out);
void identity_facts_clear(struct identity_facts *f);

/* The database that we know, where it was or where it was moved to; a new one; or one whose state
 * file was lost. Others are held: the operator says what they are. */
enum identity_verdict {
    IDENTITY_OURS,
    IDENTITY_NEW,
    IDENTITY_MOVED,
    IDENTITY_STATE_LOST,
    IDENTITY_HELD
};
/* `why`: one sentence when it is held. */
enum identity_verdict identity_judge(const struct identity_facts *f, struct err *why);

/* Remember the database: its id and place, to be made durable by the caller. */
int identity_keep(struct store *s, const uint8_t id[CAPTURE_ID_SIZE], const struct place *p);

/* Digest of what was held, which an approval is for: another file needs another one. */
void identity_fingerprint(const struct identity_facts *f, uint8_t out[CAPTURE_ID_SIZE]);

#endif
