#include "jobs/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "jobs/connect.h"
#include "jobs/table_check.h"

/* Signatures follow DynamoDB's time; a clock that is a minute off is set by nobody, though. */
enum { SKEW_SECONDS = 60 };

/* --- endpoint and clock ----------------------------------------------------------------------- */

struct ping {
    uv_loop_t loop;
    enum http_outcome outcome;
    char error[256], date[40];
    usec asked;
};

static void pinged(void *arg, const struct http_reply *r)
{
    struct ping *p = arg;

    p->outcome = r->outcome;
    snprintf(p->error, sizeof p->error, "%s", r->error);
    snprintf(p->date, sizeof p->date, "%s", r->date);
    uv_stop(&p->loop);
}

/* Any reply will do: it need not be signed to show that somebody is there, and what time it is. */
static int ping(struct ping *p, const struct config *c, const struct endpoint *e, struct err *err)
{
    const struct http_options ho = {.ca_file = c->ca_file,
                                    .max_connections = 1,
                                    .timeout = c->request_timeout,
                                    .own = c->http_client == HTTP_CLIENT_OWN,
                                    .max_reply = 1024 * 1024};
    const struct http_request req = {.method = "GET", .url = e->url};
    struct http_client *http = NULL;
    struct http_call *call;

    if (uv_loop_init(&p->loop) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = http_client_new(&p->loop, &ho, &http, err);
    p->asked = clock_wall();
    if (rc == 0)
        rc = http_start(http, &req, pinged, p, &call, err);
    if (rc == 0)
        uv_run(&p->loop, UV_RUN_DEFAULT);
    if (http)
        http_client_close(http, NULL, NULL);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_loop_close(&p->loop);
    return rc;
}

static void look_at_clock(struct doctor *d, const struct ping *p)
{
    struct tm tm = {0};

    if (!p->date[0] || !strptime(p->date, "%a, %d %b %Y %H:%M:%S GMT", &tm)) {
        doctor_add(d, "clock", DOCTOR_WARNING, "the endpoint's replies tell no time");
        return;
    }
    /* Its second may have begun before we asked, or ended after the answer. */
    int64_t theirs = timegm(&tm), first = p->asked / USEC_PER_SEC,
            last = clock_wall() / USEC_PER_SEC;
    int64_t off = theirs < first ? theirs - first : theirs > last ? theirs - last : 0;
    if (off > SKEW_SECONDS || off < -SKEW_SECONDS)
        doctor_add(d, "clock", DOCTOR_WARNING,
                   "this machine's clock is %lld s %s the service's: set up time synchronisation "
                   "(chrony)",
                   (long long)(off < 0 ? -off : off), off < 0 ? "ahead of" : "behind");
    else
        doctor_add(d, "clock", DOCTOR_OK, "within %lld s of the service's",
                   (long long)(off < 0 ? -off : off) + 1);
}

enum endpoint_state { ENDPOINT_UNKNOWN, ENDPOINT_SILENT, ENDPOINT_ANSWERS };

static enum endpoint_state look_at_endpoint(struct doctor *d)
{
    struct endpoint e;
    struct ping p = {0};
    struct err err = {0};
    int rc = connection_endpoint(d->config, &e, &err);

    if (rc == 0)
        rc = ping(&p, d->config, &e, &err);
    if (rc < 0) {
        doctor_add(d, "endpoint", DOCTOR_FAILED, "%s", err.text);
        return ENDPOINT_UNKNOWN;
    }
    if (p.outcome != HTTP_REPLIED) {
        doctor_add(d, "endpoint", DOCTOR_FAILED,
                   "%s (region %s) cannot be reached: %s; look at route, security group, proxy and "
                   "name resolution",
                   e.url, e.region, p.error);
        return ENDPOINT_SILENT;
    }
    doctor_add(d, "endpoint", DOCTOR_OK, "%s answers, region %s", e.url, e.region);
    look_at_clock(d, &p);
    return ENDPOINT_ANSWERS;
}

/* --- credentials and tables ------------------------------------------------------------------- */

/* What cannot be found here the daemon may have nevertheless. */
static void no_credentials(struct doctor *d, const struct err *why)
{
    if (d->daemon_credentials[0])
        doctor_add(
            d, "credentials", DOCTOR_OK,
            "the daemon has them: %s (syncctl itself has none, so the tables are not looked at; "
            "see \"syncctl tables\")",
            d->daemon_credentials);
    else if (d->unit_credentials)
        doctor_add(
            d, "credentials", DOCTOR_WARNING,
            "the unit brings them by LoadCredential=, which the daemon alone can see: start it "
            "and run doctor again");
    else
        doctor_add(d, "credentials", DOCTOR_FAILED, "%s", why->text);
}

struct table_walk {
    struct doctor *doctor;
    struct connection *connection;
    size_t next, ready, to_come;
    bool stopped;
};

static void next_table(struct table_walk *w);

static void looked(void *arg, const struct table_result *r)
{
    struct table_walk *w = arg;
    struct doctor *d = w->doctor;
    const char *target = d->plans.plans[w->next++]->target;

    w->stopped = r->verdict == VERDICT_CREDENTIALS || r->verdict == VERDICT_UNREACHABLE;
    if (r->verdict == VERDICT_READY)
        w->ready++;
    else if (strcmp(r->code, "ResourceNotFoundException") == 0 && d->config->create_tables)
        w->to_come++;
    else if (r->verdict == VERDICT_CREDENTIALS)
        doctor_add(d, "credentials", DOCTOR_FAILED,
                   "DynamoDB does not accept the credentials (%s): %s: %s",
                   w->connection->provider_name, r->code, r->reason);
    else
        doctor_add(d, "tables", DOCTOR_FAILED, "%s: %s%s%s%s", target, r->reason,
                   *r->code ? " (" : "", r->code, *r->code ? ")" : "");
    next_table(w);
}

static bool seen_before(const struct plan_list *l, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (l->plans[k] && strcmp(l->plans[k]->target, l->plans[i]->target) == 0)
            return true;
    return false;
}

static void next_table(struct table_walk *w)
{
    const struct plan_list *l = &w->doctor->plans;

    while (w->next < l->count && (!l->plans[w->next] || seen_before(l, w->next)))
        w->next++;
    if (w->stopped || w->next == l->count) {
        uv_stop(&w->connection->loop);
        return;
    }
    const struct table_plan *p = l->plans[w->next];
    if (!table_check_start(&w->connection->loop, w->connection->ddb, p->target, &p->schema, NULL,
                           looked, w)) {
        w->doctor->failed_memory = true;
        uv_stop(&w->connection->loop);
    }
}

static void look_at_tables(struct doctor *d, struct connection *x)
{
    struct table_walk w = {.doctor = d, .connection = x};

    if (!d->planned)
        return;
    next_table(&w);
    uv_run(&x->loop, UV_RUN_DEFAULT);
    if (w.to_come)
        doctor_add(d, "tables", DOCTOR_OK,
                   "there with the right keys: %zu, to be made (create_tables = yes): %zu", w.ready,
                   w.to_come);
    else if (w.ready)
        doctor_add(d, "tables", DOCTOR_OK, "there with the right keys: %zu", w.ready);
}

void doctor_dynamodb(struct doctor *d)
{
    struct connection x;
    struct err err = {0};

    enum endpoint_state endpoint = look_at_endpoint(d);
    if (endpoint == ENDPOINT_UNKNOWN)
        return;
    if (connection_open(&x, d->config, &err) < 0) {
        no_credentials(d, &err);
        return;
    }
    doctor_add(d, "credentials", DOCTOR_OK, "found: %s", x.provider_name);
    if (endpoint == ENDPOINT_ANSWERS)
        look_at_tables(d, &x);
    connection_close(&x);
}
