/* The daemon: a mirror driven by a libuv loop. Shared by the daemon's files only:
 *
 *     main.c      arguments, loop, exit code
 *     daemon.c    start, turns of work, stop; reload.c a changed configuration
 *     watcher.c   notices changes of the database
 *     source_sync.c  what was read is made durable before it is sent; state_sync.c what is known of
 *                 it before it is forgotten; disk_worker.c a thread for each
 *     drain.c     before a stop: what is committed is sent, if that gets on
 *     sender.c    requests of the engine on their way to DynamoDB and back
 *     access.c    region, endpoint, credentials
 *     targets.c   are the DynamoDB tables there
 *     ownership.c whose they are: markers in meta_table; surveyor.c what is in them
 *     health.c    is all well, and if not, why; stall.c judges whether things move
 *     canary.c    a row of our own goes all the way and is read back
 *     schema_keeper.c  the schema is kept beside the items
 *     heartbeat.c tells somebody elsewhere that all is well
 *     loop_stall.c  how long the loop is busy without looking up
 *     api.c       the control socket's answers; status.c and metrics.c write two of them
 *     watchdog.c  systemd's watchdog, and when it is not fed; progress.c decides
 *     pause.c     holding back for a while
 *     alarms.c    what lasts is told when it begins and ends; emf.c numbers for CloudWatch
 *     notify.c    systemd: readiness, watchdog, journal */
#ifndef SYNCD_DAEMON_DAEMON_H
#define SYNCD_DAEMON_DAEMON_H

#include <jansson.h>
#include <uv.h>

#include "aws/credentials_cache.h"
#include "aws/ddb.h"
#include "base/blocks.h"
#include "base/growth.h"
#include "base/histogram.h"
#include "base/list.h"
#include "canary.h"
#include "config/config.h"
#include "control.h"
#include "disk_worker.h"
#include "dynamodb/marker.h"
#include "heartbeat.h"
#include "jobs/table_check.h"
#include "loop_stall.h"
#include "mirror/mirror.h"
#include "progress.h"
#include "schema_keeper.h"
#include "source/durable.h"
#include "stall.h"
#include "watcher.h"

enum daemon_state { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_STOPPING };
enum health { HEALTH_OK, HEALTH_WARNING, HEALTH_CRITICAL };

/* Whose a table is: its marker is read before it is opened, and written before it is first written;
 * in between its items may have to be looked at. */
enum ownership_step { OWN_IDLE, OWN_LOOK, OWN_MARK, OWN_HAND_OVER };
struct ownership {
    enum ownership_step step;
    struct ddb_call *call;
    usec due;
    unsigned failures;
    bool created;      /* the table was, just now */
    bool asked;        /* its marker was, since this start */
    char identity[80]; /* of the table */
    struct marker own; /* as it is there; generation "": it is not */
    struct marker put; /* as it is being written: there once that is answered well */
};

struct survey {
    bool active;
    struct ddb_call *call;
    json_t *after; /* last key of the page before */
    usec due;
    unsigned failures;
};

/* Does meta_table take markers? */
struct meta_table {
    struct table_check *check;
    bool looked, there;
    usec due, look_again;
    unsigned failures;
    char why[400]; /* not there */
};

/* A look at one DynamoDB table: at the start, and now and then while it is parked. */
struct probe {
    struct daemon *daemon;
    uint32_t target;
    usec since;                /* monotonic, when it became known, and DynamoDB began to answer */
    struct table_check *check; /* under way */
    usec due;                  /* USEC_NEVER: the table is open */
    unsigned failures;
    bool again;                /* a changed order while a check is under way */
    struct table_check *watch; /* of one that is open, now and then: is it still the same? */
    usec watch_due;
    struct ownership own;
    struct survey survey;
};

/* What was read is being made durable: source_sync.c. While the worker is busy it has the rest for
 * itself. */
struct source_sync {
    struct disk_worker worker;
    struct durable files;
    char *database; /* its path: the configuration may be replaced meanwhile */
    uint64_t sync;  /* the mirror's number for it */
    bool wal;
    int rc;
};

/* The state file is being made durable: state_sync.c. */
struct state_sync {
    struct disk_worker worker;
    int fd, rc;
};

/* The last sending before a stop: drain.c. */
struct drain {
    bool active;
    int64_t seq; /* the journal's end when the stop was asked for */
    usec by, look, moved;
    uint64_t settled;
};

enum { ALARMS = 4 };

/* What the last line of embedded metrics told: emf.c. */
struct emf_counts {
    double put, deleted, requests, retries, throttled, write_units, bytes;
};

struct daemon {
    uv_loop_t loop;
    struct config_request request; /* to load the configuration again */
    struct config *config;
    struct mirror *mirror;
    struct watcher *watcher;
    struct control *control, *listener; /* `listener`: over TCP, or NULL */
    enum daemon_state state;
    usec started;        /* monotonic */
    usec paused_until;   /* monotonic; USEC_NEVER: until resumed */
    bool pause_recalled; /* ordered before this start, until a time of the wall clock */

    /* turns */
    uv_idle_t pump;   /* a slice of work in each turn of the loop while there is more */
    uv_timer_t timer; /* the next thing that is due */
    uv_signal_t on_term, on_int, on_hup;
    struct source_sync source_sync;
    struct state_sync state_sync;
    bool pumping, closing;
    unsigned replies; /* that took their time, since the last turn */
    usec look_owed;   /* when something happened while no look could be taken; 0: nothing did */
    usec stop_by;
    struct drain drain;

    /* DynamoDB */
    struct endpoint endpoint;
    struct http_client *http;
    struct ddb *ddb;
    struct credentials_cache *credentials; /* NULL while the region is not known */
    struct imds_region *locating;          /* the instance is being asked for it */
    usec region_retry;
    unsigned region_failures;
    struct err region_error, refusal; /* "": none */
    struct list flying;               /* requests under way */
    struct list unsent;               /* requests that could not even be started */
    struct blocks idle_sendings;      /* memory of requests */
    struct probe **probes;
    uint32_t probe_count;
    unsigned checks_running;
    unsigned watches_running; /* of these, of tables that are open */
    struct meta_table meta;
    struct control_call *handing_over; /* waits for the markers */
    char handover_failed[400];
    bool engine_wants_credentials, credentials_warning;
    char provider_name[96];
    int64_t credentials_expire; /* Unix seconds, 0: never or unknown */
    char credentials_code[32];  /* "" when they work; a warning only if credentials_warning */
    struct err credentials_error;

    /* what has been seen of the service */
    usec last_success_wall, last_error_wall;
    usec failing_since; /* monotonic, 0: the last request went well */
    usec failed_last;   /* monotonic */
    char last_error_code[64], last_error_message[400], last_error_request[80];
    uint64_t sent_bytes;
    struct histogram request_times;
    uint64_t trimmed_at; /* requests sent when memory was last given back */
    usec reported_at;

    struct canary canary;
    struct schema_keeper schema;
    struct stall_watch stall;
    usec detached_since; /* monotonic, since when the database is not taken up; 0: it is */
    struct heartbeat *heartbeat;
    struct loop_stall *loop_stall;
    struct progress progress;
    bool stalled; /* nothing moves that should: the watchdog is not fed */
    /* alarms.c: monotonic, 0: not so now */
    struct growth journal_growth;
    uint64_t throttled_seen;
    usec throttled_since, throttled_last;
    usec alarm_since[ALARMS];
    struct emf_counts emf_counts;
    usec emf_at;        /* monotonic, of the last line */
    usec locked_since;  /* monotonic, 0: the database is not locked */
    enum health health; /* as logged last */
    struct list waiters;
};

/* daemon.c */
int daemon_run(struct daemon *d, struct err *err);
/* A slice of work now, and then whatever is due. */
void daemon_turn(struct daemon *d);
/* Work in the next turns of the loop until there is none. */
void daemon_pump(struct daemon *d);
void daemon_stop(struct daemon *d, const char *why);

/* reload.c */
/* Take the configuration anew; with `apply` also one by which items change. 0 or a negative errno
 * with a sentence; `changed` may be NULL. */
int daemon_reload(struct daemon *d, bool apply, struct buf *changed, struct err *err);
void daemon_on_hup(uv_signal_t *h, int signum);

/* drain.c */
/* false: nothing to wait for. */
bool drain_begin(struct daemon *d, usec now);
/* To be asked again at drain.look. */
bool drain_over(struct daemon *d, usec now);

/* pause.c */
/* For so many seconds; 0: until resumed. False: it does not outlive the process, because the state
 * file cannot be written. */
bool daemon_pause(struct daemon *d, int64_t seconds);
bool daemon_resume(struct daemon *d, const char *why);
/* At the start: a pause that was ordered before it. */
void daemon_recall_pause(struct daemon *d);
/* End it when its time is over. */
void daemon_pause_turn(struct daemon *d, usec now);

/* source_sync.c, state_sync.c */
int source_sync_init(struct daemon *d, struct err *err);
void source_sync_stop(struct daemon *d);
int state_sync_init(struct daemon *d, struct err *err);
/* Commits what there is to keep, if it is time to, and has it made durable. */
void state_sync_flush(struct daemon *d, usec now);
void source_sync_start(void *arg, uint64_t sync, bool wal);

/* sender.c */
void sender_start(struct daemon *d);
void sender_send(void *arg, const struct request *r);
/* Answer the requests that could not be started. */
void sender_turn(struct daemon *d);
/* Forget all requests; their replies do not come any more. */
void sender_stop(struct daemon *d);
void daemon_note_success(struct daemon *d);
/* Either, by what the reply is. */
void daemon_note_reply(struct daemon *d, const struct reply *r);
void daemon_note_failure(struct daemon *d, const char *code, const char *message,
                         const char *request_id);

/* access.c */
int access_start(struct daemon *d, struct err *err);
void access_turn(struct daemon *d, usec now);
usec access_due(const struct daemon *d);
/* The service took, or refused, what was signed with them. `clock`: for its time. */
void access_worked(struct daemon *d);
void access_refused(struct daemon *d, bool clock, const char *code, const char *message);
/* Look for credentials, or the region, now. */
void access_retry_now(struct daemon *d);
void access_stop(struct daemon *d);

/* targets.c */
int targets_start(struct daemon *d, struct err *err);
void targets_turn(struct daemon *d, usec now);
/* When targets_turn() has something to do. */
usec targets_due(const struct daemon *d);
void targets_changed(void *arg);
void targets_parked(void *arg, uint32_t target, const struct reply *why);
void targets_unlooked(void *arg, uint32_t target);
void targets_want_credentials(void *arg, const struct reply *why);
/* Of a call that did not succeed: is that the last word, as things are? Else it is to be tried
 * again; other credentials are asked for where these were the cause. */
bool targets_refused(struct daemon *d, const struct reply *r);
/* There are credentials: tables that nobody has looked at yet are looked at now. */
void targets_credentials(struct daemon *d);
/* Is each table that is open still the same? Asked every five minutes, and now. */
void targets_watch_now(struct daemon *d);
/* Look at parked tables and at credentials now. */
void targets_retry_now(struct daemon *d);
/* A changed configuration. */
void targets_configure(struct daemon *d, const struct config *fresh);
/* Is this DynamoDB table being looked at? What is said of it may be about to change. */
bool targets_being_looked_at(const struct daemon *d, const char *name);
void targets_stop(struct daemon *d);

/* ownership.c */
/* The table is there: open it, unless it is somebody else's. */
void ownership_look(struct probe *p, const char *identity, bool created);
void ownership_mark(void *arg, uint32_t target);
void ownership_turn(struct daemon *d, usec now);
usec ownership_due(const struct daemon *d);
void ownership_retry_now(struct daemon *d);
void ownership_stop(struct daemon *d, struct probe *p);
/* Why markers cannot be written; NULL: they can, or nobody has looked yet. */
const char *ownership_unprotected(const struct daemon *d);
/* Is it known what stands in the markers of all tables that are mirrored into? */
bool ownership_known(const struct daemon *d);
/* Mark every table as handed over, and answer the call when that is done, or cannot be. */
void ownership_hand_over(struct daemon *d, struct control_call *call);
bool ownership_handing_over(const struct daemon *d);

/* surveyor.c */
void surveyor_start(void *arg, uint32_t target);
void surveyor_turn(struct daemon *d, usec now);
usec surveyor_due(const struct daemon *d);
void surveyor_stop(struct probe *p);

/* health.c */
struct reason {
    const char *code;
    enum health level;
    char message[480];
};
enum { MAX_REASONS = 24 };
struct health_report {
    enum health level;
    struct reason reasons[MAX_REASONS];
    unsigned count;
};
void health_look(struct daemon *d, const struct mirror_view *v, struct health_report *out);
const char *health_name(enum health h);
double health_number(enum health h); /* 1, 0.5, 0 */

/* alarms.c */
/* Once a second or so: what alarms and reasons that last are judged by. */
void alarms_note(struct daemon *d, const struct mirror_view *v, usec now);
/* Tell what has begun and what is over since the last look. */
void alarms_look(struct daemon *d, const struct health_report *r, usec now);

/* emf.c */
void emf_look(struct daemon *d, const struct mirror_view *v, const struct health_report *r,
              usec now);

/* api.c */
extern const struct control_route api_routes[], api_public_routes[];
/* api_mend.c */
void api_get_items(void *arg, struct control_call *call);
void api_post_repair(void *arg, struct control_call *call);
void api_post_verified(void *arg, struct control_call *call);
/* Answer those that wait and need not any more. */
void api_turn(struct daemon *d, usec now);

/* status.c, metrics.c */
void status_json(struct daemon *d, struct buf *out);
void health_json(struct daemon *d, struct buf *out, enum health *level);
void tables_json(struct daemon *d, struct buf *out);
void mapping_json(struct daemon *d, struct buf *out);
void dead_letters_json(struct daemon *d, struct buf *out);
void metrics_text(struct daemon *d, struct buf *out);

/* watchdog.c */
/* Each second: does the work move? */
void watchdog_look(struct daemon *d, const struct mirror_view *v, usec now);
/* Feed it, unless nothing moves that should. */
void watchdog_feed(const struct daemon *d);

/* notify.c */
void notify_setup(void);
void notify_ready(void);
void notify_reloading(void);
void notify_status(const char *text);
void notify_stopping(void);
/* Feed systemd's watchdog, if it has one. */
void notify_watchdog(void);

#endif
