#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "jobs/purge.h"

enum { OPT_DELETE_TABLES = CTL_OPTION, OPT_YES };

struct purging {
    struct ctl *ctl;
    bool yes;
    int exit_code;
    bool deleting; /* which bar is shown */
    struct bar bar;
};

/* --- what is told ----------------------------------------------------------------------------- */

static void progress(void *arg, bool deleting, uint64_t done, uint64_t total, double units)
{
    struct purging *x = arg;

    if (deleting != x->deleting || !x->bar.label) {
        if (x->bar.label)
            bar_end(&x->bar);
        x->deleting = deleting;
        x->bar = deleting ? bar_make(x->ctl, "delete", "items", "write units", (int64_t)total)
                          : bar_make(x->ctl, "look", "items", "read units", 0);
    }
    bar_update(&x->bar, (int64_t)done, units, clock_monotonic());
}

/* The page that the question is about; on stderr, as the question. */
static void print_plan(struct ctl *ctl, const struct purge_plan *p)
{
    static const struct column columns[] = {
        {"TABLE", false, 0}, {"OURS", true, 0}, {"NOT OURS", true, 0}};
    _cleanup_page_ struct page page = ctl_page(ctl);
    _cleanup_grid_ struct grid grid = {.columns = columns, .column_count = 3};

    for (size_t i = 0; i < p->count; i++) {
        const struct purge_table *t = &p->tables[i];
        grid_add(&grid, TONE_PLAIN, t->target);
        grid_add_count(&grid, TONE_PLAIN, (int64_t)t->ours);
        grid_add_count(&grid, TONE_PLAIN, (int64_t)(t->foreign + t->others));
        if (t->missing || t->whole)
            grid_note(&grid, t->missing ? "is not there" : "is deleted itself");
        if (t->example) {
            _cleanup_buf_ struct buf note = {0};
            buf_printf(&note, "left is, for example, %.160s", t->example);
            grid_note(&grid, note.data ? note.data : "");
        }
    }
    grid_print(&grid, &page);
    if (buf_ok(&page.out) && page.out.data)
        fputs(page.out.data, stderr);
    if (p->uncertain)
        fprintf(stderr,
                "%" PRId64 " writes of uncertain outcome may yet be carried out: run it again in a "
                "quarter of an hour\n",
                p->uncertain);
}

static bool confirm(void *arg, const struct purge_plan *p)
{
    struct purging *x = arg;
    _cleanup_buf_ struct buf items = {0};

    if (x->bar.label)
        bar_end(&x->bar);
    x->bar = (struct bar){0};
    if (!x->ctl->quiet && !x->ctl->json)
        print_plan(x->ctl, p);
    format_count(&items, (int64_t)p->ours);
    if (p->ours == 0 && p->whole_tables == 0)
        return true; /* nothing to ask */
    if (p->whole_tables)
        return ctl_confirm(x->ctl, x->yes, &x->exit_code,
                           "Delete %zu DynamoDB tables with %s items (%s)", p->whole_tables,
                           items.data ? items.data : "", p->about);
    return ctl_confirm(x->ctl, x->yes, &x->exit_code, "Delete %s items (%s)",
                       items.data ? items.data : "", p->about);
}

static void print_json(const struct purge_plan *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->count; i++) {
        const struct purge_table *t = &p->tables[i];
        json_array_append_new(list, json_pack("{s:s, s:b, s:I, s:I, s:I, s:b}", "table", t->target,
                                              "missing", t->missing, "deleted",
                                              (json_int_t)t->deleted, "ours", (json_int_t)t->ours,
                                              "not_ours", (json_int_t)(t->foreign + t->others),
                                              "table_deleted", t->whole && t->deleted == t->ours));
    }
    json_auto_t *root =
        json_pack("{s:o, s:I}", "tables", list, "uncertain", (json_int_t)p->uncertain);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
}

static void done(void *arg, const struct purge_plan *p)
{
    struct purging *x = arg;

    if (x->bar.label)
        bar_end(&x->bar);
    if (x->ctl->json) {
        print_json(p);
        return;
    }
    for (size_t i = 0; i < p->count && !x->ctl->quiet; i++) {
        const struct purge_table *t = &p->tables[i];
        _cleanup_buf_ struct buf line = {0};
        format_safe(&line, t->target);
        buf_puts(&line, ": ");
        if (t->missing) {
            buf_puts(&line, "is not there");
        } else {
            format_count(&line, (int64_t)t->deleted);
            buf_printf(&line, " items deleted%s, ", t->whole ? " with the table" : "");
            format_count(&line, (int64_t)(t->foreign + t->others));
            buf_puts(&line, " left");
        }
        buf_putc(&line, '\n');
        ctl_print(&line);
    }
}

/* --- the command ------------------------------------------------------------------------------ */

static int finish(const struct purging *x, int r, const struct err *err)
{
    if (r == -ECANCELED)
        return x->exit_code;
    if (r < 0) {
        int code = ctl_fail(r, err);
        return r == -EBUSY || r == -EPERM ? CTL_FAILURES : code;
    }
    if (!x->ctl->json)
        ctl_say(x->ctl,
                "a daemon that is started sends the rows again; `syncctl detach` or `syncctl "
                "uninstall` takes the triggers out");
    return CTL_DONE;
}

int cmd_purge(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"delete-tables", no_argument, NULL, OPT_DELETE_TABLES},
                                        {"yes", no_argument, NULL, OPT_YES},
                                        {0}};
    struct purging x = {.ctl = ctl};
    struct purge_order order = {.arg = &x, .confirm = confirm, .progress = progress, .done = done};
    const struct config *config;
    struct err err;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        order.delete_tables |= o == OPT_DELETE_TABLES;
        x.yes |= o == OPT_YES;
    }
    order.only = argv + optind;
    order.only_count = (size_t)(argc - optind);
    r = ctl_config_as_owner(ctl, &config, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    r = job_purge(config, &order, &err);
    if (r < 0 && x.bar.label)
        bar_end(&x.bar);
    return finish(&x, r, &err);
}
