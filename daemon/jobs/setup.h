/* What a database needs to be mirrored by the service: a configuration, and a drop-in for the unit
 * that lets the daemon run as the database's owner and write beside it. Rendered here as text and
 * installed as files; nothing is started. */
#ifndef SYNCD_DAEMON_JOBS_SETUP_H
#define SYNCD_DAEMON_JOBS_SETUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* NULL where not given. */
struct setup_request {
    const char *name;        /* of the configuration and the unit's instance */
    const char *database;    /* absolute, or relative to where we are */
    const char *application; /* unit that writes to the database */
    const char *user;        /* owner of a database that is not there yet */
    const char *credentials; /* shared credentials file that systemd is to hand to the daemon */
    const char *region, *endpoint_url, *profile;
    const char *root; /* write below this directory instead of / */
    bool force;       /* replace what is there */
};

struct setup {
    struct buf unit;        /* syncd@app.service */
    struct buf application; /* app.service, or empty */
    struct buf database;    /* as the configuration says it */
    struct buf directory;   /* where it really is, without symbolic links */
    struct buf user, group; /* names, numbers where there is no name */
    struct buf home;        /* of the user, "" when there is none */
    uid_t uid;
    struct buf config_path, config;
    struct buf drop_in_path, drop_in;
};

/* Look at the database, and write both texts. 0 or a negative errno with a sentence; -EINVAL for
 * what was asked wrongly. setup_free() what it has made, also after a failure. */
int setup_plan(const struct setup_request *req, struct setup *out, struct err *err);
void setup_free(struct setup *s);

/* Both files or none of them; -EEXIST names the one that is in the way. */
int setup_install(const struct setup *s, bool force, struct err *err);

/* "syncd.service" for the configuration syncd.conf, else "syncd@NAME.service". */
void setup_unit_name(struct buf *out, const char *name);
/* Does the unit's ProtectHome= or PrivateTmp= take this path away? */
bool setup_hides(const char *path);

#endif
