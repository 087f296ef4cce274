#include "jobs/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "aws/ddb.h"
#include "base/cleanup.h"
#include "jobs/table_check.h"
#include "mirror/mirror.h"
#include "mirror/plans.h"
#include "source/catalog.h"

/* --- plans, as the daemon would make them ----------------------------------------------------- */

struct plan_list {
    struct catalog *catalog;
    struct table_plan **plans; /* by table of the catalog; NULL: left out or refused */
    char **refusals;
    size_t count;
};

static void plan_list_free(struct plan_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        plan_free(l->plans[i]);
        free(l->refusals[i]);
    }
    free(l->plans);
    free(l->refusals);
    catalog_free(l->catalog);
}

static int plan_one(const struct config *c, struct plan_list *l, size_t i)
{
    struct err why = {0};
    int rc = plans_make(c, &l->catalog->tables[i], &l->plans[i], &why);

    for (size_t k = 0; rc == 0 && k < i; k++)
        if (l->plans[k] && strcmp(l->plans[k]->target, l->plans[i]->target) == 0) {
            rc = err_set(&why, -ENOTSUP,
                         "it would share DynamoDB table %s with \"%s\"; set another target",
                         l->plans[i]->target, l->catalog->tables[k].name);
            plan_free(take_ptr(l->plans[i]));
        }
    if (rc < 0)
        l->refusals[i] = strdup(why.text);
    return rc == -ENOMEM || (rc < 0 && !l->refusals[i]) ? -ENOMEM : 0;
}

static int plan_list_make(const struct config *c, struct plan_list *out, struct err *err)
{
    struct source *s = NULL;
    struct plan_list l = {0};

    if (source_open(c->database, &s, err) != SOURCE_OK)
        return -EIO;
    enum source_problem p = catalog_read(s, &l.catalog, err);
    source_close(s);
    if (p != SOURCE_OK)
        return -EIO;
    l.count = l.catalog->count;
    l.plans = calloc(l.count ? l.count : 1, sizeof *l.plans);
    l.refusals = calloc(l.count ? l.count : 1, sizeof *l.refusals);
    int rc = l.plans && l.refusals ? 0 : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < l.count; i++)
        if (plans_covers(c, &l.catalog->tables[i]))
            rc = plan_one(c, &l, i);
    if (rc < 0) {
        l.count = l.plans && l.refusals ? l.count : 0;
        plan_list_free(&l);
        return err_set(err, rc, "out of memory");
    }
    *out = l;
    return 0;
}

/* --- check ------------------------------------------------------------------------------------ */

static void print_columns(const struct table_plan *p, FILE *out)
{
    for (size_t i = 0; i < p->column_count; i++) {
        const struct plan_column *c = &p->columns[i];
        static const char *const types[] = {"N", "N", "N", "S", "B", "by value"};
        fprintf(out, "    %-24s -> %-24s %s%s\n", c->name, c->attribute, types[c->affinity],
                i < p->row_key_count ? ", key" : "");
    }
}

static void print_plans(const struct plan_list *l, FILE *out)
{
    size_t mirrored = 0, refused = 0;

    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->catalog->tables[i].name;
        if (l->plans[i]) {
            _cleanup_buf_ struct buf key = {0};
            plan_describe_key(l->plans[i], &key);
            fprintf(out, "\ntable \"%s\" -> %s: %s\n", name, l->plans[i]->target,
                    key.data ? key.data : "");
            print_columns(l->plans[i], out);
            if (l->plans[i]->capture.limits)
                fprintf(out, "    limit: %s\n", l->plans[i]->capture.limits);
            mirrored++;
        } else if (l->refusals[i]) {
            fprintf(out, "\ntable \"%s\" is not mirrored: %s\n", name, l->refusals[i]);
            refused++;
        } else {
            fprintf(out, "\ntable \"%s\" is left out by the configuration\n", name);
        }
    }
    fprintf(out, "\n%zu table%s mirrored", mirrored, mirrored == 1 ? "" : "s");
    if (refused)
        fprintf(out, ", %zu refused", refused);
    fprintf(out, "\n");
}

static json_t *plan_json(const char *name, const struct table_plan *p, const char *refusal)
{
    json_t *o = json_object();

    json_object_set_new(o, "table", json_string(name));
    json_object_set_new(o, "mirrored", json_boolean(p != NULL));
    if (!p) {
        json_object_set_new(o, "reason",
                            json_string(refusal ? refusal : "left out by the configuration"));
        return o;
    }
    json_t *keys = json_array(), *columns = json_object();
    for (size_t i = 0; i < p->schema.count; i++) {
        char type[2] = {(char)p->schema.parts[i].type, '\0'};
        json_array_append_new(
            keys, json_pack("{s:s, s:s}", "name", p->schema.parts[i].name, "type", type));
    }
    for (size_t i = 0; i < p->column_count; i++)
        json_object_set_new(columns, p->columns[i].name, json_string(p->columns[i].attribute));
    json_object_set_new(o, "target", json_string(p->target));
    json_object_set_new(o, "key", keys);
    json_object_set_new(o, "columns", columns);
    return o;
}

static void print_json(const struct plan_list *l, FILE *out)
{
    json_t *root = json_object(), *list = json_array();

    for (size_t i = 0; i < l->count; i++)
        json_array_append_new(list,
                              plan_json(l->catalog->tables[i].name, l->plans[i], l->refusals[i]));
    json_object_set_new(root, "tables", list);
    json_dumpf(root, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(root);
}

/* A table that a section of the configuration speaks of must be there and must be possible. */
static int check_sections(const struct config *c, const struct plan_list *l, struct err *err)
{
    for (size_t i = 0; i < c->table_section_count; i++) {
        const struct table_config *t = &c->table_sections[i];
        bool there = false;
        for (size_t k = 0; k < l->count; k++) {
            if (strcasecmp(l->catalog->tables[k].name, t->name) != 0)
                continue;
            there = true;
            if (l->refusals[k])
                return err_set(err, -EINVAL, "%s:%u: table \"%s\" cannot be mirrored: %s", t->file,
                               t->line, t->name, l->refusals[k]);
        }
        if (!there)
            return err_set(err, -EINVAL, "%s:%u: the database has no table \"%s\"", t->file,
                           t->line, t->name);
    }
    return 0;
}

int job_check(const struct config *c, FILE *out, bool json, struct err *err)
{
    struct plan_list l = {0};
    struct endpoint endpoint;
    struct endpoint_request er = {.region = c->region,
                                  .endpoint_url = c->endpoint_url,
                                  .profile = c->profile,
                                  .credentials_file = c->credentials_file,
                                  .allow_plain_http = c->allow_plain_http};
    int rc = endpoint_resolve(&er, &endpoint, err);

    if (rc < 0)
        return rc;
    if (plan_list_make(c, &l, err) < 0)
        return -EINVAL;
    if (json) {
        print_json(&l, out);
    } else {
        config_print(c, out);
        fprintf(out, "\nDynamoDB: %s, region %s\n", endpoint.url, endpoint.region);
        print_plans(&l, out);
    }
    rc = check_sections(c, &l, err);
    plan_list_free(&l);
    return rc;
}

/* --- attach, detach, uninstall ---------------------------------------------------------------- */

static void no_send(void *arg, const struct request *r)
{
    (void)arg;
    (void)r;
}

static void no_park(void *arg, uint32_t target, const struct reply *why)
{
    (void)arg;
    (void)target;
    (void)why;
}

static void no_reply(void *arg, const struct reply *why)
{
    (void)arg;
    (void)why;
}

static void no_retry(void *arg, const struct reply *why, usec delay)
{
    (void)arg;
    (void)why;
    (void)delay;
}

static void no_letter(void *arg, const struct dead_letter *d, bool is_new)
{
    (void)arg;
    (void)d;
    (void)is_new;
}

static void no_note(void *arg, enum log_level level, const char *code, const char *text)
{
    (void)arg;
    (void)level;
    (void)code;
    (void)text;
}

static void no_change(void *arg)
{
    (void)arg;
}

/* Carry out an order with the mirror's own means, but nobody to send: the daemon is not there (its
 * lock on the state file says so). */
static int with_mirror(const struct config *c, int (*order)(struct mirror *m, struct err *err),
                       struct err *err)
{
    const struct mirror_edge edge = {NULL,     no_send,   no_park, no_reply,
                                     no_retry, no_letter, no_note, no_change};
    struct mirror *m = NULL;
    int rc = mirror_new(c, &edge, 1, &m, err);

    if (rc < 0)
        return rc;
    rc = order(m, err);
    mirror_free(m);
    return rc;
}

int job_attach(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_attach_order, err);
}

int job_detach(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_detach, err);
}

int job_uninstall(const struct config *c, bool all, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    int rc = with_mirror(c, mirror_uninstall, err);

    for (size_t i = 0; rc == 0 && all && i < sizeof suffixes / sizeof *suffixes; i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s%s", c->state_path, suffixes[i]) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        if (unlink(path) < 0 && errno != ENOENT)
            return err_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    }
    return rc;
}

/* --- create-tables ---------------------------------------------------------------------------- */

struct creation {
    uv_loop_t loop;
    struct http_client *http;
    struct credentials_provider *provider;
    struct ddb *ddb;
    struct endpoint endpoint;
    struct table_capacity capacity;
    struct plan_list plans;
    size_t next;
    FILE *out;
    struct err *err;
    int rc;
};

static void next_table(struct creation *x);

static void table_done(void *arg, const struct table_result *r)
{
    struct creation *x = arg;
    const struct table_plan *p = x->plans.plans[x->next++];

    if (r->verdict != VERDICT_READY) {
        uv_stop(&x->loop);
        x->rc = err_set(x->err, r->verdict == VERDICT_PARKED ? -EINVAL : -EIO,
                        "DynamoDB table %s: %s (%s)", p->target, r->reason, r->code);
        return;
    }
    fprintf(x->out, "%-10s %s\n", r->created ? "created" : "there", p->target);
    fflush(x->out);
    next_table(x);
}

static void next_table(struct creation *x)
{
    while (x->next < x->plans.count && !x->plans.plans[x->next])
        x->next++;
    if (x->next == x->plans.count) {
        uv_stop(&x->loop); /* connections kept alive would hold it */
        return;
    }
    const struct table_plan *p = x->plans.plans[x->next];
    if (!table_check_start(&x->loop, x->ddb, p->target, &p->schema, true, &x->capacity, table_done,
                           x))
        x->rc = err_set(x->err, -ENOMEM, "out of memory");
}

static void got_credentials(void *arg, const struct credentials *c, const struct err *err)
{
    struct creation *x = arg;

    if (!c)
        x->rc = err_set(x->err, -EINVAL, "%s", err->text);
    else
        x->rc = ddb_set_credentials(x->ddb, c);
}

static int connect_ddb(struct creation *x, const struct config *c)
{
    struct credentials_request cr = {.profile = c->profile,
                                     .credentials_file = c->credentials_file};
    struct http_options ho = {.ca_file = c->ca_file,
                              .max_connections = 2,
                              .timeout = c->request_timeout,
                              .max_reply = 1024 * 1024};
    int rc = http_client_new(&x->loop, &ho, &x->http, x->err);

    if (rc == 0)
        rc = credentials_chain_new(&cr, &x->provider, x->err);
    if (rc == 0 && !(x->ddb = ddb_new(x->http, &x->endpoint, c->request_timeout)))
        rc = err_set(x->err, -ENOMEM, "out of memory");
    if (rc == 0)
        credentials_fetch(x->provider, got_credentials, x);
    return rc < 0 ? rc : x->rc;
}

static void print_requests(const struct creation *x)
{
    for (size_t i = 0; i < x->plans.count; i++) {
        _cleanup_buf_ struct buf body = {0};
        if (!x->plans.plans[i])
            continue;
        tables_create_body(&body, x->plans.plans[i]->target, &x->plans.plans[i]->schema,
                           &x->capacity);
        fprintf(x->out, "%s\n", body.data ? body.data : "");
    }
}

int job_create_tables(const struct config *c, bool dry_run, FILE *out, struct err *err)
{
    struct creation x = {.out = out, .err = err};
    struct endpoint_request er = {.region = c->region,
                                  .endpoint_url = c->endpoint_url,
                                  .profile = c->profile,
                                  .credentials_file = c->credentials_file,
                                  .allow_plain_http = c->allow_plain_http};
    int rc = endpoint_resolve(&er, &x.endpoint, err);

    x.capacity = (struct table_capacity){.provisioned = c->billing_mode == BILLING_PROVISIONED,
                                         .read_units = c->read_capacity,
                                         .write_units = c->write_capacity};
    if (rc == 0)
        rc = plan_list_make(c, &x.plans, err);
    if (rc < 0)
        return rc;
    if (dry_run) {
        print_requests(&x);
        plan_list_free(&x.plans);
        return 0;
    }
    uv_loop_init(&x.loop);
    x.rc = connect_ddb(&x, c);
    if (x.rc == 0) {
        next_table(&x);
        uv_run(&x.loop, UV_RUN_DEFAULT);
    }
    if (x.http)
        http_client_close(x.http, NULL, NULL);
    uv_run(&x.loop, UV_RUN_DEFAULT);
    ddb_free(x.ddb);
    credentials_provider_free(x.provider);
    plan_list_free(&x.plans);
    uv_loop_close(&x.loop);
    return x.rc;
}
