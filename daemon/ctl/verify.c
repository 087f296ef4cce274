#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/bar.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/either.h"
#include "ctl/verify.h"
#include "dynamodb/same.h"
#include "jobs/verify.h"
#include "jobs/verify_work.h"

enum { OPT_REPAIR = CTL_OPTION, OPT_DELETE_EXTRA, OPT_SAMPLE, OPT_RATE };
enum { LINES_MAX = 50 }; /* differences that are told one by one to people */
enum { LETTERS_ASKED = 100 };
enum { SAMPLE_MAX = 100000 }; /* its keys are in memory */
#define SETTLE_TARGET  "/v1/wait?timeout=60"
#define SETTLE_TIMEOUT (75 * USEC_PER_SEC)
#define ASK_TIMEOUT    (30 * USEC_PER_SEC)

struct verification {
    struct ctl *ctl;
    struct page page;
    struct bar bar;
    char phase[256];
    json_t *letters; /* {"table": {"id=7": true}} of the daemon's dead letters */
    usec letters_at; /* when they were asked for */
    unsigned letters_asked;
    int64_t told, differences;
};

/* --- the daemon ------------------------------------------------------------------------------- */

static int settle(void *arg, struct err *why)
{
    struct verification *v = arg;
    int rc;
    json_t *root = ctl_ask_json(v->ctl, "POST", SETTLE_TARGET, SETTLE_TIMEOUT, &rc, why);

    if (rc == 0 && !field_true(root, "done")) {
        const char *reason = field_text(root, "reason");
        rc = err_set(why, -EAGAIN, "%s", *reason ? reason : "changes are still on their way");
    }
    json_decref(root);
    return rc == -EINVAL ? -EIO : rc; /* it may not be asked, say */
}

static int look(void *arg, const char *table, const void *key, size_t n, struct verify_known *out,
                struct err *err)
{
    struct verification *v = arg;
    _cleanup_buf_ struct buf target = {0};
    int rc;

    buf_puts(&target, "/v1/items?table=");
    client_escape(&target, table);
    buf_puts(&target, "&key=");
    hex_append(&target, key, n);
    if (!buf_ok(&target))
        return err_set(err, -ENOMEM, "out of memory");
    json_t *root = ctl_ask_json(v->ctl, "GET", target.data, ASK_TIMEOUT, &rc, err);
    const json_t *item = json_array_get(json_object_get(root, "items"), 0);
    /* Of a daemon that does not say whose it is nothing may be left out. */
    if (rc == 0)
        *out = (struct verify_known){.pending = field_true(item, "pending"),
                                     .unconfirmed = field_true(item, "unconfirmed"),
                                     .known = field_true(item, "known"),
                                     .ours = !json_is_false(json_object_get(item, "ours")),
                                     .live = field_true(item, "live")};
    json_decref(root);
    return rc == -EINVAL ? -EIO : rc;
}

static int repair(void *arg, const char *table, bool extra, const struct buf *keys, int64_t *taken,
                  struct err *err)
{
    struct verification *v = arg;
    _cleanup_buf_ struct buf target = {0};
    struct work_key k;
    size_t at = 0;
    int rc;

    buf_puts(&target, "/v1/repair?table=");
    client_escape(&target, table);
    while (work_next(keys, &at, &k)) {
        buf_puts(&target, "&row=");
        hex_append(&target, k.row, k.row_len);
        if (extra) {
            buf_puts(&target, "&extra=");
            hex_append(&target, k.key, k.key_len);
        }
    }
    if (!buf_ok(&target))
        return err_set(err, -ENOMEM, "out of memory");
    json_t *root = ctl_ask_json(v->ctl, "POST", target.data, ASK_TIMEOUT, &rc, err);
    *taken += field_count(root, "taken");
    json_decref(root);
    return rc == -EINVAL ? -EIO : rc;
}

static int load_letters(struct verification *v, struct err *err)
{
    int rc;
    json_t *root = ctl_ask_json(v->ctl, "GET", "/v1/dead-letters", ASK_TIMEOUT, &rc, err);
    const json_t *letter;
    size_t i;

    json_decref(v->letters);
    v->letters = json_object();
    v->letters_at = clock_monotonic();
    v->letters_asked++;
    json_array_foreach(json_object_get(root, "dead_letters"), i, letter)
    {
        const char *table = field_text(letter, "table");
        json_t *keys = json_object_get(v->letters, table);
        if (!keys && json_object_set_new(v->letters, table, keys = json_object()) < 0)
            continue;
        json_object_set_new(keys, field_text(letter, "key"), json_true());
    }
    json_decref(root);
    return rc;
}

/* A row may have become one a moment ago; where very many are missing, a second ago will do. */
static bool dead(void *arg, const char *table, const char *key)
{
    struct verification *v = arg;
    struct err ignored;
    bool found = json_object_get(json_object_get(v->letters, table), key) != NULL;

    if (found ||
        (v->letters_asked >= LETTERS_ASKED && clock_monotonic() < v->letters_at + USEC_PER_SEC))
        return found;
    load_letters(v, &ignored);
    return json_object_get(json_object_get(v->letters, table), key) != NULL;
}

/* --- what is found ---------------------------------------------------------------------------- */

static const char *const kinds[] = {[DIFFERENCE_MISSING] = "missing",
                                    [DIFFERENCE_EXTRA] = "extra",
                                    [DIFFERENCE_OTHER] = "different"};

static json_t *text_json(const char *s)
{
    _cleanup_buf_ struct buf b = {0};

    json_append_string_lossy(&b, s, strlen(s));
    return b.data && buf_ok(&b) ? json_loads(b.data, JSON_DECODE_ANY, NULL) : NULL;
}

static json_t *value_json(const json_t *value)
{
    _cleanup_buf_ struct buf text = {0};

    if (!value)
        return json_null();
    attribute_describe(&text, value);
    return text_json(text.data && buf_ok(&text) ? text.data : "");
}

static void print_json(struct verification *v, const struct difference *d)
{
    json_t *o = json_object(), *attributes = json_array();

    for (size_t i = 0; i < d->name_count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "name", text_json(d->names[i]));
        json_object_set_new(one, "is", value_json(json_object_get(d->item, d->names[i])));
        json_object_set_new(one, "should", value_json(json_object_get(d->should, d->names[i])));
        json_array_append_new(attributes, one);
    }
    json_object_set_new(o, "kind", json_string(kinds[d->kind]));
    json_object_set_new(o, "table", text_json(d->table));
    json_object_set_new(o, "target", text_json(d->target));
    json_object_set_new(o, "key", text_json(d->key));
    json_object_set_new(o, "attributes", attributes);
    json_object_set_new(o, "differing", json_integer((json_int_t)d->differ));
    char *text = json_dumps(o, JSON_COMPACT);
    printf("%s\n  %s", v->differences > 1 ? "," : "", text ? text : "null");
    free(text);
    json_decref(o);
}

static void print_line(struct verification *v, const struct difference *d)
{
    _cleanup_buf_ struct buf line = {0}, safe = {0};

    buf_printf(&line, "%-9s  %s %s", kinds[d->kind], d->table, d->key);
    for (size_t i = 0; i < d->name_count; i++) {
        buf_printf(&line, "%s%s is ", i ? "; " : ": ", d->names[i]);
        attribute_describe(&line, json_object_get(d->item, d->names[i]));
        buf_lit(&line, ", should be ");
        attribute_describe(&line, json_object_get(d->should, d->names[i]));
    }
    if (d->differ > d->name_count)
        buf_printf(&line, "; and %zu more attributes", d->differ - d->name_count);
    if (!buf_ok(&line))
        return;
    format_safe(&safe, line.data);
    bar_end(&v->bar);
    printf("%s\n", safe.data ? safe.data : "");
    fflush(stdout);
    v->told++;
}

static void difference(void *arg, const struct difference *d)
{
    struct verification *v = arg;

    v->differences++;
    if (v->ctl->json)
        print_json(v, d);
    else if (v->told < LINES_MAX || v->ctl->verbose)
        print_line(v, d);
}

static void progress(void *arg, const char *phase, int64_t done, int64_t total, double units)
{
    struct verification *v = arg;

    if (strcmp(phase, v->phase) != 0) {
        bar_end(&v->bar);
        snprintf(v->phase, sizeof v->phase, "%s", phase);
        v->bar = bar_make(v->ctl, v->phase, strcmp(phase, "rows") == 0 ? "rows" : "items",
                          "read units", total);
    }
    bar_update(&v->bar, done, units, clock_monotonic());
}

/* --- the summary ------------------------------------------------------------------------------ */

static json_t *figures_json(const struct verify_table *t)
{
    return json_pack(
        "{s:o,s:o,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "table", text_json(t->name),
        "target", text_json(t->target), "equal", (int)verify_equal(t), "rows", (json_int_t)t->rows,
        "items", (json_int_t)t->items, "missing", (json_int_t)t->missing, "extra",
        (json_int_t)t->extra, "different", (json_int_t)t->other, "dead_letters",
        (json_int_t)t->dead_letters, "expired", (json_int_t)t->expired, "unsettled",
        (json_int_t)t->unsettled, "foreign", (json_int_t)t->foreign, "read_units", t->read_units);
}

static void end_json(struct verification *v, const struct verify_result *r, bool equal)
{
    json_t *o = json_object(), *tables = json_array();

    (void)v;
    for (size_t i = 0; i < r->count; i++)
        if (r->tables[i].wanted)
            json_array_append_new(tables, figures_json(&r->tables[i]));
    json_object_set_new(o, "equal", json_boolean(equal));
    json_object_set_new(o, "tables", tables);
    json_object_set_new(o, "unsettled_reason",
                        r->unsettled[0] ? text_json(r->unsettled) : json_null());
    json_object_set_new(o, "handed_over", json_integer((json_int_t)r->handed_over));
    json_object_set_new(o, "not_ours", json_integer((json_int_t)r->left));
    char *text = json_dumps(o, JSON_INDENT(1));
    printf("%s],\n%s\n", v->differences ? "\n" : "", text ? text + 2 : "}");
    free(text);
    json_decref(o);
}

static void add_count(struct buf *out, int64_t n, const char *what)
{
    if (!n)
        return;
    buf_lit(out, ", ");
    format_count(out, n);
    buf_printf(out, " %s", what);
}

static void print_table(struct page *p, const struct verify_table *t)
{
    _cleanup_buf_ struct buf line = {0};

    page_put_safe(p, TONE_STRONG, t->name);
    page_put(p, TONE_PLAIN, " -> ");
    page_put_safe(p, TONE_PLAIN, t->target);
    page_put(p, verify_equal(t) ? TONE_GOOD : TONE_BAD,
             verify_equal(t) ? ": equal" : ": not equal");
    add_count(&line, t->missing, "missing");
    add_count(&line, t->extra, "extra");
    add_count(&line, t->other, "different");
    add_count(&line, t->unsettled, "unsettled");
    add_count(&line, t->dead_letters, t->dead_letters == 1 ? "dead letter" : "dead letters");
    add_count(&line, t->expired, "expired");
    add_count(&line, t->foreign, "foreign");
    buf_lit(&line, "; ");
    format_count(&line, t->rows);
    buf_lit(&line, " rows, ");
    format_count(&line, t->items);
    buf_lit(&line, " items\n");
    page_put(p, TONE_PLAIN, line.data ? line.data : "\n");
}

static int end_page(struct verification *v, const struct verify_options *o,
                    const struct verify_result *r)
{
    _cleanup_page_ struct page page = ctl_page(v->ctl);
    bool foreign = false;

    if (v->differences > v->told)
        page_put(&page, TONE_DIM, "… and more (--verbose or --json tells them all)\n");
    for (size_t i = 0; i < r->count; i++)
        if (r->tables[i].wanted) {
            print_table(&page, &r->tables[i]);
            foreign |= r->tables[i].foreign > 0;
        }
    if (r->unsettled[0]) {
        page_put(&page, TONE_MILD, "unsettled: not judged, for ");
        page_put_safe(&page, TONE_PLAIN, r->unsettled);
        page_put(&page, TONE_PLAIN, "\n");
    }
    if (foreign && !v->ctl->quiet)
        page_put(&page, TONE_DIM,
                 "foreign: items of which nothing says that they are ours; not touched\n");
    if (r->handed_over) {
        page_put(&page, TONE_PLAIN, "handed over to the daemon: ");
        format_count(&page.out, r->handed_over);
        page_put(&page, TONE_PLAIN, "; `syncctl wait`, then verify again\n");
    }
    if (o->delete_extra && r->left) {
        page_put(&page, TONE_MILD, "left: ");
        format_count(&page.out, r->left);
        page_put(&page, TONE_PLAIN, " extra, of which nothing says that they are ours\n");
    }
    return ctl_print(&page.out);
}

/* For `status`: since when a table is known to be equal. What cannot be noted is no failure of the
 * comparison. */
static void note_equal(struct verification *v, const struct verify_result *r, usec began)
{
    for (size_t i = 0; i < r->count; i++) {
        _cleanup_buf_ struct buf target = {0};
        struct err ignored;
        int rc;
        if (!r->tables[i].wanted || !verify_equal(&r->tables[i]))
            continue;
        buf_printf(&target, "/v1/verified?at=%" PRId64 "&table=", began / USEC_PER_SEC);
        client_escape(&target, r->tables[i].name);
        if (buf_ok(&target))
            json_decref(ctl_ask_json(v->ctl, "POST", target.data, ASK_TIMEOUT, &rc, &ignored));
    }
}

static int finish(struct verification *v, const struct verify_options *o,
                  const struct verify_result *r)
{
    bool equal = true;
    int code = CTL_DONE;

    for (size_t i = 0; i < r->count; i++)
        equal &= !r->tables[i].wanted || verify_equal(&r->tables[i]);
    if (v->ctl->json)
        end_json(v, r, equal);
    else
        code = end_page(v, o, r);
    return code != CTL_DONE ? code : equal ? CTL_DONE : CTL_FAILURES;
}

/* --- the command ------------------------------------------------------------------------------ */

static bool take_number(const struct ctl *ctl, const char *option, const char *text, double min,
                        double max, double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (end != text && !*end && *out >= min && *out <= max)
        return true;
    ctl_usage(ctl, "%s takes a number from %g to %g (%s)", option, min, max, text);
    return false;
}

static bool take_options(struct ctl *ctl, int argc, char **argv, struct verify_options *o, int *r)
{
    static const struct option own[] = {{"repair", no_argument, NULL, OPT_REPAIR},
                                        {"delete-extra", no_argument, NULL, OPT_DELETE_EXTRA},
                                        {"sample", required_argument, NULL, OPT_SAMPLE},
                                        {"rate", required_argument, NULL, OPT_RATE},
                                        {0}};
    double sample = 0;
    int opt;

    while ((opt = ctl_option(ctl, argc, argv, own, r)) != -1) {
        if (opt == CTL_STOP)
            return false;
        o->repair |= opt == OPT_REPAIR;
        o->delete_extra |= opt == OPT_DELETE_EXTRA;
        *r = CTL_USAGE;
        if (opt == OPT_SAMPLE && !take_number(ctl, "--sample", optarg, 1, SAMPLE_MAX, &sample))
            return false;
        if (opt == OPT_RATE && !take_number(ctl, "--rate", optarg, 0.1, 1e9, &o->rate))
            return false;
    }
    o->sample = (int64_t)sample;
    o->tables = (const char *const *)argv + optind;
    o->table_count = (size_t)(argc - optind);
    return true;
}

static int find_daemon(struct verification *v, const struct verify_options *o, bool *there,
                       struct err *err)
{
    int r = either_daemon(v->ctl, there, err);

    if (r == 0 && !*there && (o->repair || o->delete_extra))
        r = err_set(err, -ECONNREFUSED,
                    "there is no daemon to hand keys over to (%s): start it, or verify without "
                    "--repair and --delete-extra",
                    v->ctl->socket.data ? v->ctl->socket.data : "");
    return r;
}

static void not_told(void *arg, const struct difference *d)
{
    (void)arg;
    (void)d;
}

static void put_unequal(struct buf *out, const struct verify_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct verify_table *t = &r->tables[i];
        if (verify_equal(t))
            continue;
        buf_printf(out, "%s%s: ", out->len ? "; " : "", t->name);
        buf_printf(out, "%" PRId64 " missing, %" PRId64 " extra, %" PRId64 " different", t->missing,
                   t->extra, t->other);
        if (t->unsettled)
            buf_printf(out, ", %" PRId64 " not judged", t->unsettled);
    }
    if (r->unsettled[0])
        buf_printf(out, " (%s)", r->unsettled);
}

int ctl_verify(struct ctl *ctl, const struct config *config, struct buf *unequal)
{
    struct verification v = {.ctl = ctl, .bar = bar_make(ctl, "", "items", NULL, 0)};
    const struct verify_options all = {.table_count = 0};
    struct verify_edge edge = {.arg = &v,
                               .settle = settle,
                               .look = look,
                               .repair = repair,
                               .difference = ctl->json ? not_told : difference,
                               .progress = ctl->quiet || ctl->json ? NULL : progress};
    struct verify_result result = {0};
    usec began = clock_wall();
    struct err err;
    int r = find_daemon(&v, &all, &edge.daemon, &err);

    edge.dead = edge.daemon ? dead : NULL;
    if (r == 0)
        r = job_verify(config, &all, &edge, &result, &err);
    bar_end(&v.bar);
    if (r == 0 && edge.daemon)
        note_equal(&v, &result, began);
    if (r == 0)
        put_unequal(unequal, &result);
    verify_result_free(&result);
    json_decref(v.letters);
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

int cmd_verify(struct ctl *ctl, int argc, char **argv)
{
    struct verification v = {.ctl = ctl};
    struct verify_options o = {.table_count = 0};
    struct verify_edge edge = {
        .arg = &v, .settle = settle, .look = look, .repair = repair, .difference = difference};
    struct verify_result result = {0};
    const struct config *config;
    usec began = clock_wall();
    struct err err;
    int r;

    if (!take_options(ctl, argc, argv, &o, &r))
        return r;
    v.bar = bar_make(ctl, "", "items", NULL, 0);
    if (!ctl->quiet && !ctl->json)
        edge.progress = progress;
    r = ctl_config_as_owner(ctl, &config, &err);
    if (r == 0)
        r = find_daemon(&v, &o, &edge.daemon, &err);
    edge.dead = edge.daemon ? dead : NULL;
    if (r == 0) {
        if (ctl->json)
            fputs("{\"differences\":[", stdout);
        r = job_verify(config, &o, &edge, &result, &err);
        bar_end(&v.bar);
        if (r < 0 && ctl->json)
            puts("]}");
        if (r == 0 && edge.daemon && !o.sample)
            note_equal(&v, &result, began);
    }
    r = r < 0 ? ctl_fail(r, &err) : finish(&v, &o, &result);
    verify_result_free(&result);
    json_decref(v.letters);
    return r;
}
