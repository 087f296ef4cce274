#include "jobs/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/cleanup.h"
#include "base/text.h"

struct postgres {
    PGconn *conn;
    char *about;
    usec silence;
    char *password, *ssl_password; /* to be kept out of sentences; NULL: none */
    char state[6];
};

/* --- what may be said ------------------------------------------------------------------------- */

static void blot_out(char *text, const char *secret)
{
    size_t n = secret ? strlen(secret) : 0;

    for (char *at = text; n && (at = strstr(at, secret)) != NULL; at += n)
        memset(at, '*', n);
}

/* The server's or libpq's words on one line, without secrets. */
static void words_of(const struct postgres *p, const char *message, char *out, size_t size)
{
    text_copy(out, size, message ? message : "");
    blot_out(out, p->password);
    blot_out(out, p->ssl_password);
    size_t n = strlen(out);
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == ' '))
        out[--n] = '\0';
    for (char *c = out; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
}

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

/* A URI that is none is not shown, nor what libpq says about it, which quotes parts of it. */
static int parse(const char *uri, PQconninfoOption **out, struct err *err)
{
    const char *rest = strstr(uri, "://"), *end, *first, *last;
    char *why = NULL;

    if (!rest || (strncmp(uri, "postgresql://", 13) != 0 && strncmp(uri, "postgres://", 11) != 0))
        return err_set(err, -EINVAL,
                       "the target is no URI of PostgreSQL: postgresql://HOST/DATABASE");
    rest += 3;
    end = rest + strcspn(rest, "/?");
    first = memchr(rest, '@', (size_t)(end - rest));
    last = memrchr(rest, '@', (size_t)(end - rest));
    if (first != last)
        return err_set(err, -EINVAL,
                       "the target's URI has more than one @ before its database: write %%40 for "
                       "one in a name or password");
    *out = PQconninfoParse(uri, &why);
    if (!*out && why && !(first && memchr(rest, ':', (size_t)(first - rest))) &&
        !strstr(uri, "password")) {
        err_set(err, -EINVAL, "the target's URI is not one that libpq takes: %.*s",
                (int)strcspn(why, "\n"), why);
        PQfreemem(why);
        return -EINVAL;
    }
    PQfreemem(why);
    if (!*out)
        return err_set(err, -EINVAL,
                       "the target's URI is not one that libpq takes (it is not shown, for it may "
                       "hold a password): postgresql://USER@HOST:PORT/DATABASE, with %%XX for what "
                       "is special");
    return 0;
}

int postgres_check(const char *uri, struct err *err)
{
    PQconninfoOption *options = NULL;
    int rc = parse(uri, &options, err);

    PQconninfoFree(options);
    return rc;
}

/* --- connecting ------------------------------------------------------------------------------- */

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static char *option_of(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val ? strdup(o->val) : NULL;
    return NULL;
}

/* After connecting, libpq knows the password from wherever it came. */
static void learn_secrets(struct postgres *p)
{
    const char *password = PQpass(p->conn);

    if (password && *password) {
        free_secret(p->password);
        p->password = strdup(password);
    }
}

static void name_it(struct postgres *p)
{
    const char *host = PQhost(p->conn), *port = PQport(p->conn), *db = PQdb(p->conn);
    char text[512];

    snprintf(text, sizeof text, "%s:%s/%s", host && *host ? host : "localhost",
             port && *port ? port : "5432", db ? db : "");
    p->about = strdup(text);
}

static int connect_to(struct postgres *p, const char *uri, struct err *err)
{
    char seconds[16], why[400];
    const char *bounded = getenv("PGCONNECT_TIMEOUT") ? NULL : seconds;
    /* What comes later stands above what comes earlier; the URI is taken apart where it stands. */
    const char *const keywords[] = {"fallback_application_name", "connect_timeout", "dbname", NULL};
    const char *const values[] = {"syncctl", bounded, uri, NULL};

    snprintf(seconds, sizeof seconds, "%d", POSTGRES_CONNECT);
    p->conn = PQconnectdbParams(keywords, values, 1);
    if (!p->conn)
        return err_set(err, -ENOMEM, "out of memory");
    learn_secrets(p);
    name_it(p);
    if (PQstatus(p->conn) == CONNECTION_OK)
        return 0;
    words_of(p, PQerrorMessage(p->conn), why, sizeof why);
    return err_set(err, -ECONNREFUSED,
                   "PostgreSQL cannot be reached: %s (is it running, and are host, port, database "
                   "and user right?)",
                   why);
}

static const char session[] =
    "SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD';"
    " SET bytea_output = 'hex'; SET client_min_messages = 'warning'";

int postgres_open(const char *uri, bool read_only, usec silence, struct postgres **out,
                  struct err *err)
{
    PQconninfoOption *options = NULL;
    struct postgres *p = calloc(1, sizeof *p);
    int rc = p ? parse(uri, &options, err) : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0) {
        p->silence = silence;
        p->password = option_of(options, "password");
        p->ssl_password = option_of(options, "sslpassword");
        rc = connect_to(p, uri, err);
    }
    if (options) {
        for (PQconninfoOption *o = options; o->keyword; o++)
            if (o->val && *o->dispchar == '*')
                explicit_bzero(o->val, strlen(o->val));
        PQconninfoFree(options);
    }
    if (rc == 0 && PQsetnonblocking(p->conn, 1) < 0)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0) {
        PQsetNoticeProcessor(p->conn, ignore_notice, NULL);
        rc = postgres_run(p, session, NULL, err);
    }
    if (rc == 0 && read_only)
        rc = postgres_run(p, "SET default_transaction_read_only = on", NULL, err);
    if (rc < 0)
        postgres_close(p);
    else
        *out = p;
    return rc;
}

void postgres_close(struct postgres *p)
{
    if (!p)
        return;
    PQfinish(p->conn);
    free_secret(p->password);
    free_secret(p->ssl_password);
    free(p->about);
    free(p);
}

const char *postgres_about(const struct postgres *p)
{
    return p->about ? p->about : "PostgreSQL";
}

const char *postgres_state(const struct postgres *p)
{
    return p->state;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static int gone(struct postgres *p, struct err *err)
{
    char why[400];

    words_of(p, PQerrorMessage(p->conn), why, sizeof why);
    return err_set(err, -ECONNREFUSED, "the connection to PostgreSQL at %s was lost: %s",
                   postgres_about(p), *why ? why : "no reason is known");
}

/* Until the socket can do one of `events`. */
static int wait_for(struct postgres *p, short events, struct err *err)
{
    struct pollfd fd = {.fd = PQsocket(p->conn), .events = events};
    usec end = clock_monotonic() + p->silence;

    for (;;) {
        usec left = end - clock_monotonic();
        if (fd.fd < 0)
            return gone(p, err);
        int n = left > 0 ? poll(&fd, 1, (int)(left / USEC_PER_MSEC) + 1) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            return 0;
        return err_set(err, -ECONNREFUSED,
                       "PostgreSQL at %s has said nothing for %d s; see whether another session "
                       "holds a lock, or the network is cut (--timeout says how long it may)",
                       postgres_about(p), (int)(p->silence / USEC_PER_SEC));
    }
}

/* All that was handed to libpq is on its way. */
static int flush(struct postgres *p, struct err *err)
{
    int left;

    while ((left = PQflush(p->conn)) > 0) {
        int rc = wait_for(p, POLLIN | POLLOUT, err);
        if (rc < 0)
            return rc;
        if (!PQconsumeInput(p->conn))
            return gone(p, err);
    }
    return left < 0 ? gone(p, err) : 0;
}

/* The next result, NULL at the end of them. */
static int next_result(struct postgres *p, PGresult **out, struct err *err)
{
    while (PQisBusy(p->conn)) {
        int rc = wait_for(p, POLLIN, err);
        if (rc < 0)
            return rc;
        if (!PQconsumeInput(p->conn))
            return gone(p, err);
    }
    *out = PQgetResult(p->conn);
    return 0;
}

/* --- what was refused ------------------------------------------------------------------------- */

static int class_of(const char *state)
{
    static const char *const of_record[] = {"22", "23", "44", "54", "P0"};
    static const char *const of_server[] = {"08", "53", "57", "58", "XX"};

    if (strncmp(state, "40", 2) == 0)
        return -EAGAIN;
    for (size_t i = 0; i < sizeof of_record / sizeof *of_record; i++)
        if (strncmp(state, of_record[i], 2) == 0)
            return -EINVAL;
    for (size_t i = 0; i < sizeof of_server / sizeof *of_server; i++)
        if (strncmp(state, of_server[i], 2) == 0)
            return -ECONNREFUSED;
    return -EPERM;
}

/* Details quote the record, but for those of keys, which are what one looks for. */
static int refused(struct postgres *p, const PGresult *r, struct err *err)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
    char why[400], more[200] = "";

    text_copy(p->state, sizeof p->state, state ? state : "");
    if (!state && PQstatus(p->conn) != CONNECTION_OK)
        return gone(p, err);
    words_of(p, PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY), why, sizeof why);
    if (detail && (strcmp(p->state, "23503") == 0 || strcmp(p->state, "23505") == 0))
        words_of(p, detail, more, sizeof more);
    int code = class_of(p->state);
    if (code == -ECONNREFUSED)
        return err_set(err, code, "PostgreSQL at %s cannot go on: %s", postgres_about(p), why);
    return err_set(err, code, "%s%s%s", *why ? why : "no reason is known", *more ? ": " : "", more);
}

/* Every result to the last; the first refusal is what counts. */
static int drain(struct postgres *p, int64_t *rows, struct err *err)
{
    PGresult *r = NULL;
    struct err ignored;
    int rc = 0;

    for (;;) {
        int got = next_result(p, &r, rc < 0 ? &ignored : err);
        if (got < 0)
            return got;
        if (!r)
            return rc;
        ExecStatusType status = PQresultStatus(r);
        const char *changed = PQcmdTuples(r);
        if (rc == 0 && rows && strncmp(PQcmdStatus(r), "INSERT", 6) == 0)
            *rows = strtoll(changed, NULL, 10);
        if (rc == 0 && (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE))
            rc = refused(p, r, err);
        PQclear(r);
        if (rc < 0 && PQstatus(p->conn) != CONNECTION_OK)
            return rc == -ECONNREFUSED ? rc : gone(p, err);
    }
}

/* --- statements ------------------------------------------------------------------------------- */

static int send_query(struct postgres *p, const char *sql, struct err *err)
{
    p->state[0] = '\0';
    return PQsendQuery(p->conn, sql) ? flush(p, err) : gone(p, err);
}

int postgres_run(struct postgres *p, const char *sql, int64_t *rows, struct err *err)
{
    int rc = send_query(p, sql, err);

    return rc == 0 ? drain(p, rows, err) : rc;
}

int postgres_ask(struct postgres *p, const char *sql, char *text, size_t size, struct err *err)
{
    PGresult *r = NULL;
    int rc = send_query(p, sql, err);

    text[0] = '\0';
    if (rc == 0)
        rc = next_result(p, &r, err);
    if (rc < 0)
        return rc;
    if (r && PQresultStatus(r) == PGRES_TUPLES_OK) {
        if (PQntuples(r) > 0)
            text_copy(text, size, PQgetvalue(r, 0, 0));
    } else if (r) {
        rc = refused(p, r, err);
    }
    PQclear(r);
    int left = drain(p, NULL, rc < 0 ? NULL : err);
    return rc < 0 ? rc : left;
}

/* After COPY was asked for: the result that says that it goes on, or a refusal. */
static int begin_copy(struct postgres *p, const char *sql, ExecStatusType wanted, struct err *err)
{
    PGresult *r = NULL;
    int rc = send_query(p, sql, err);

    /* BEGIN may stand before it. */
    while (rc == 0 && (rc = next_result(p, &r, err)) == 0) {
        ExecStatusType status = PQresultStatus(r);
        if (!r)
            return err_set(err, -EPERM, "PostgreSQL at %s does not copy", postgres_about(p));
        if (status == PGRES_FATAL_ERROR)
            rc = refused(p, r, err);
        PQclear(r);
        if (status == wanted)
            return 0;
    }
    if (rc < 0 && rc != -ECONNREFUSED)
        drain(p, NULL, NULL);
    return rc;
}

static int put(struct postgres *p, const char *lines, size_t n, struct err *err)
{
    enum { PIECE = 1 << 16 };
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < n;) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        int taken = PQputCopyData(p->conn, lines + at, (int)piece);
        if (taken < 0)
            return gone(p, err);
        if (taken > 0)
            at += piece;
        rc = flush(p, err);
    }
    return rc;
}

int postgres_copy_in(struct postgres *p, const char *sql, const char *lines, size_t n,
                     struct err *err)
{
    int rc = begin_copy(p, sql, PGRES_COPY_IN, err), ended = 0;

    if (rc == 0)
        rc = put(p, lines, n, err);
    while (rc == 0 && (ended = PQputCopyEnd(p->conn, NULL)) == 0)
        rc = wait_for(p, POLLOUT, err);
    if (rc == 0 && ended < 0)
        rc = gone(p, err);
    if (rc == 0)
        rc = flush(p, err);
    return rc == 0 ? drain(p, NULL, err) : rc;
}

static int take_lines(struct postgres *p, postgres_line_fn *fn, void *arg, struct err *err)
{
    for (;;) {
        char *line = NULL;
        int n = PQgetCopyData(p->conn, &line, 1), rc = 0;
        if (n > 0)
            rc = fn(arg, line, line[n - 1] == '\n' ? (size_t)n - 1 : (size_t)n, err);
        PQfreemem(line);
        if (n == 0) {
            rc = wait_for(p, POLLIN, err);
            if (rc == 0 && !PQconsumeInput(p->conn))
                rc = gone(p, err);
        }
        if (rc < 0)
            return rc;
        if (n == -1)
            return 0;
        if (n < -1)
            return gone(p, err);
    }
}

int postgres_copy_out(struct postgres *p, const char *sql, postgres_line_fn *fn, void *arg,
                      struct err *err)
{
    int rc = begin_copy(p, sql, PGRES_COPY_OUT, err);

    if (rc == 0)
        rc = take_lines(p, fn, arg, err);
    return rc == 0 ? drain(p, NULL, err) : rc;
}
