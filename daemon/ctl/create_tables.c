#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "jobs/create_tables.h"

enum { OPT_DRY_RUN = CTL_OPTION, OPT_FORMAT, OPT_FORCE, OPT_UPDATE, OPT_YES };

struct creation {
    struct ctl *ctl;
    bool yes;
    int exit_code;              /* of a question that was not answered yes */
    bool missing;               /* something can be added */
    struct page page;           /* of the table at hand: its differences come before its outcome */
    json_t *list, *differences; /* --json */
};

/* --- what is told ----------------------------------------------------------------------------- */

static void difference(void *arg, const char *table, const struct table_difference *d, bool added)
{
    struct creation *x = arg;

    (void)table;
    x->missing |= d->missing && !added;
    if (x->ctl->json) {
        json_array_append_new(x->differences,
                              json_pack("{s:s, s:s, s:b, s:b, s:b}", "aspect",
                                        table_aspect_name(d->aspect), "message", d->text, "missing",
                                        d->missing, "added", added, "note", d->note));
        return;
    }
    page_put(&x->page, TONE_PLAIN, "           ");
    page_put(&x->page,
             added     ? TONE_GOOD
             : d->note ? TONE_DIM
                       : TONE_MILD,
             added     ? "added: "
             : d->note ? "note: "
                       : "differs: ");
    page_put_safe(&x->page, TONE_PLAIN, d->text);
    page_put(&x->page, TONE_PLAIN, "\n");
}

static void outcome(void *arg, const char *table, enum table_outcome o)
{
    static const enum tone tones[] = {TONE_GOOD, TONE_PLAIN, TONE_MILD, TONE_GOOD, TONE_GOOD};
    struct creation *x = arg;

    if (x->ctl->json) {
        json_array_append_new(x->list,
                              json_pack("{s:s, s:s, s:o}", "table", table, "outcome",
                                        table_outcome_name(o), "differences", x->differences));
        x->differences = json_array();
        return;
    }
    if (x->ctl->quiet && o != OUTCOME_DIFFERS)
        return;
    struct page line = ctl_page(x->ctl);
    char word[16];
    snprintf(word, sizeof word, "%-10s ", table_outcome_name(o));
    page_put(&line, tones[o], word);
    page_put_safe(&line, TONE_PLAIN, table);
    page_put(&line, TONE_PLAIN, "\n");
    ctl_print(&line.out);
    ctl_print(&x->page.out);
    fflush(stdout);
    page_free(&line);
    buf_clear(&x->page.out);
}

static bool confirm(void *arg, const char *table, const char *about)
{
    struct creation *x = arg;

    return ctl_confirm_word(
        x->ctl, x->yes, &x->exit_code, table,
        "DynamoDB table %s (%s) will be deleted with everything in it, and made "
        "anew. Type its name to go on:",
        table, about);
}

/* --- the command ------------------------------------------------------------------------------ */

static int make(struct creation *x, const struct config *config, struct tables_order *order)
{
    struct err err = {0};

    order->arg = x;
    order->confirm = confirm;
    order->difference = difference;
    order->outcome = outcome;
    x->page = ctl_page(x->ctl);
    x->list = json_array();
    x->differences = json_array();
    int r = job_tables(config, order, &err);
    if (x->ctl->json && r != -ECANCELED) {
        json_auto_t *root = json_pack("{s:O}", "tables", x->list);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (r > 0 && x->missing) {
        printf("`syncctl create-tables --update` adds what is missing\n");
    }
    page_free(&x->page);
    json_decref(x->list);
    json_decref(x->differences);
    if (r == -ECANCELED)
        return x->exit_code;
    return r < 0 ? ctl_fail(r, &err) : r > 0 ? CTL_FAILURES : CTL_DONE;
}

struct choice {
    bool dry_run, templated;
    enum template_format format;
};

static int print(const struct config *config, const struct tables_order *order,
                 const struct choice *c)
{
    _cleanup_buf_ struct buf text = {0};
    struct err err;
    int r = c->templated ? job_tables_template(config, order->only, order->only_count, c->format,
                                               &text, &err)
                         : job_tables_requests(config, order->only, order->only_count, &text, &err);

    return r < 0 ? ctl_fail(r, &err) : ctl_print(&text);
}

static int check(const struct ctl *ctl, const struct tables_order *order, const struct choice *c)
{
    if (order->recreate && order->update)
        return ctl_usage(ctl,
                         "--force makes tables anew, and --update keeps them: say one of them");
    if ((c->dry_run || c->templated) && (order->recreate || order->update))
        return ctl_usage(ctl, "--dry-run and --format print what would be made, and do nothing: "
                              "leave --force and --update out");
    return CTL_DONE;
}

int cmd_create_tables(struct ctl *ctl, int argc, char **argv)
{
    static const struct option own[] = {{"dry-run", no_argument, NULL, OPT_DRY_RUN},
                                        {"format", required_argument, NULL, OPT_FORMAT},
                                        {"force", no_argument, NULL, OPT_FORCE},
                                        {"update", no_argument, NULL, OPT_UPDATE},
                                        {"yes", no_argument, NULL, OPT_YES},
                                        {0}};
    struct creation x = {.ctl = ctl};
    struct tables_order order = {0};
    struct choice c = {0};
    const struct config *config;
    struct err err;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        c.dry_run |= o == OPT_DRY_RUN;
        c.templated |= o == OPT_FORMAT;
        order.recreate |= o == OPT_FORCE;
        order.update |= o == OPT_UPDATE;
        x.yes |= o == OPT_YES;
        if (o == OPT_FORMAT && !template_format_find(optarg, &c.format))
            return ctl_usage(ctl, "--format %s is none of cloudformation and terraform", optarg);
    }
    order.only = argv + optind;
    order.only_count = (size_t)(argc - optind);
    if ((r = check(ctl, &order, &c)) != CTL_DONE)
        return r;
    r = ctl_config_as_owner(ctl, &config, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    return c.dry_run || c.templated ? print(config, &order, &c) : make(&x, config, &order);
}
