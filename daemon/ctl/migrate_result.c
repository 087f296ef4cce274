/* What a move did. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/migrate.h"

/* --- dead letters ----------------------------------------------------------------------------- */

static struct migrate_letter *letter_of(struct migrate *m, const char *table, const char *reason)
{
    for (size_t i = 0; i < m->letter_count; i++)
        if (strcmp(m->letters[i].table, table) == 0 && strcmp(m->letters[i].reason, reason) == 0)
            return &m->letters[i];
    struct migrate_letter *list = reallocarray(m->letters, m->letter_count + 1, sizeof *m->letters);
    if (!list)
        return NULL;
    m->letters = list;
    list[m->letter_count] =
        (struct migrate_letter){.table = strdup(table), .reason = strdup(reason)};
    return &list[m->letter_count++];
}

int migrate_read_letters(struct migrate *m, struct err *err)
{
    const json_t *o;
    size_t i;
    int r;

    if (m->dead_letters == 0)
        return 0;
    json_auto_t *root = ctl_ask_json(m->ctl, "GET", "/v1/dead-letters", 60 * USEC_PER_SEC, &r, err);
    if (!root)
        return r;
    json_array_foreach(json_object_get(root, "dead_letters"), i, o)
    {
        struct migrate_letter *l = letter_of(m, field_text(o, "table"), field_text(o, "reason"));
        if (!l || !l->table || !l->reason)
            return err_set(err, -ENOMEM, "no memory for the dead letters");
        if (l->rows < SURVEY_KEYS)
            l->keys[l->rows] = strdup(field_text(o, "key"));
        l->rows++;
    }
    return 0;
}

/* --- the summary ------------------------------------------------------------------------------ */

static double success(const struct migrate *m)
{
    int64_t rows = m->survey.rows > m->dead_letters ? m->survey.rows : m->dead_letters;

    return rows ? 100 * (1 - (double)m->dead_letters / (double)rows) : 100;
}

static bool nothing_done(const struct migrate *m)
{
    return m->loaded && m->items_put == 0 && m->items_deleted == 0;
}

static void put_letters(struct page *page, const struct migrate *m)
{
    for (size_t i = 0; i < m->letter_count; i++) {
        const struct migrate_letter *l = &m->letters[i];
        buf_lit(&page->out, "  ");
        page_put_safe(page, TONE_STRONG, l->table);
        buf_lit(&page->out, "  ");
        format_count(&page->out, l->rows);
        buf_puts(&page->out, l->rows == 1 ? " row  " : " rows  ");
        page_put_safe(page, TONE_BAD, l->reason);
        for (size_t k = 0; k < SURVEY_KEYS && l->keys[k]; k++) {
            buf_puts(&page->out, k ? ", " : "  ");
            page_put_safe(page, TONE_PLAIN, l->keys[k]);
        }
        buf_puts(&page->out, l->rows > SURVEY_KEYS ? ", ...\n" : "\n");
    }
    if (m->dead_letters)
        buf_lit(&page->out, "  `syncctl dead-letters` lists them with their reasons\n");
}

static void put_sent(struct page *page, const struct migrate *m)
{
    struct buf *out = &page->out;

    page_put(page, TONE_STRONG, "sent     ");
    if (nothing_done(m)) {
        buf_lit(out, "nothing to do: every row is in DynamoDB already\n");
        return;
    }
    format_count(out, m->items_put);
    buf_puts(out, m->items_put == 1 ? " item in " : " items in ");
    format_span(out, m->seconds);
    if (m->seconds >= 1) {
        buf_lit(out, " (");
        format_count(out, (int64_t)((double)m->items_put / m->seconds));
        buf_lit(out, " items/s)");
    }
    buf_lit(out, ", ");
    format_count(out, m->write_units);
    buf_lit(out, " write units");
    if (m->items_deleted) {
        buf_lit(out, ", deleted ");
        format_count(out, m->items_deleted);
    }
    buf_putc(out, '\n');
}

/* How the daemon is started that carries on from the state file of this move. */
static void put_next(struct page *page, const struct migrate *m)
{
    static const char installed[] = SYNCD_SYSCONFDIR "/syncd/";
    const struct config *c = m->config;
    struct buf *out = &page->out;

    if (m->running)
        return;
    buf_lit(out,
            "\nFrom now on triggers note every change in the database, and a daemon sends them. "
            "Start it:\n  ");
    if (strncmp(c->file, installed, sizeof installed - 1) == 0)
        buf_printf(out, "sudo systemctl enable --now %s%s",
                   strcmp(c->name, "syncd") ? "syncd@" : "", c->name);
    else if (*c->file)
        buf_printf(out, "syncd --config %s", c->file);
    else
        buf_printf(out, "sudo syncctl setup NAME --database %s, with path = %s in [state]",
                   c->database, m->state_path.data);
    buf_lit(out, "\nOr take the triggers out again: syncctl uninstall\n");
}

int migrate_print_result(struct migrate *m)
{
    _cleanup_page_ struct page page = ctl_page(m->ctl);
    char rate[32];
    double s = success(m);

    buf_putc(&page.out, '\n');
    put_sent(&page, m);
    page_put(&page, TONE_STRONG, "rows     ");
    format_count(&page.out, m->survey.rows);
    /* Never 100 before the last row. */
    snprintf(rate, sizeof rate, ", %.2f %% in DynamoDB", s < 100 && s > 99.99 ? 99.99 : s);
    page_put(&page, m->dead_letters ? TONE_MILD : TONE_GOOD, rate);
    if (m->dead_letters) {
        buf_lit(&page.out, ", ");
        format_count(&page.out, m->dead_letters);
        buf_puts(&page.out, m->dead_letters == 1 ? " dead letter" : " dead letters");
    }
    buf_putc(&page.out, '\n');
    put_letters(&page, m);
    page_put(&page, TONE_STRONG, "verified ");
    if (m->verified)
        page_put(&page, TONE_GOOD, "every item and attribute is equal\n");
    else if (m->not_verified.len)
        page_put_safe(&page, TONE_BAD, m->not_verified.data);
    else
        page_put(&page, TONE_MILD, "no (--no-verify)\n");
    if (m->not_verified.len)
        buf_putc(&page.out, '\n');
    put_next(&page, m);
    return ctl_print(&page.out);
}

int migrate_exit_code(const struct migrate *m)
{
    if (m->dry_run)
        return m->survey.failing ? CTL_FAILURES : CTL_DONE;
    return m->dead_letters || m->not_verified.len ? CTL_FAILURES : CTL_DONE;
}

/* --- for programs ----------------------------------------------------------------------------- */

static json_t *text(const char *s)
{
    _cleanup_buf_ struct buf safe = {0};
    json_t *j = json_string(s ? s : "");

    if (j)
        return j;
    format_safe(&safe, s);
    return json_string(safe.data ? safe.data : "");
}

static json_t *keys_json(char *const keys[SURVEY_KEYS])
{
    json_t *list = json_array();

    for (size_t i = 0; i < SURVEY_KEYS && keys[i]; i++)
        json_array_append_new(list, text(keys[i]));
    return list;
}

static json_t *table_json(const struct migrate *m, const struct survey_table *t)
{
    const struct table_plan *p = m->plans.plans[t->plan];
    json_t *faults = json_array();

    for (size_t i = 0; i < t->fault_count; i++) {
        const struct survey_fault *f = &t->faults[i];
        json_array_append_new(faults,
                              json_pack("{s:s, s:o, s:I, s:o, s:o}", "reason", f->code, "column",
                                        *f->column ? text(f->column) : json_null(), "rows",
                                        (json_int_t)f->rows, "message", text(f->text), "keys",
                                        keys_json(f->keys)));
    }
    return json_pack("{s:o, s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "name", text(p->table),
                     "target", text(p->target), "exists",
                     target_looks_find(&m->targets, p->target)->there, "rows", (json_int_t)t->rows,
                     "failing", (json_int_t)t->failing, "bytes", (json_int_t)t->bytes,
                     "write_units", (json_int_t)t->write_units, "largest_item",
                     (json_int_t)t->largest, "faults", faults);
}

static json_t *orphans_json(const struct migrate *m)
{
    json_t *list = json_array();

    for (size_t i = 0; i < m->orphans.count; i++) {
        const struct orphan_reference *r = &m->orphans.references[i];
        json_t *keys = json_array();
        for (size_t k = 0; k < ORPHAN_KEYS && r->keys[k]; k++)
            json_array_append_new(keys, text(r->keys[k]));
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:I, s:o, s:o}", "table",
                                              text(m->plans.plans[r->plan]->table), "columns",
                                              text(r->columns), "parent", text(r->parent), "rows",
                                              (json_int_t)r->rows, "keys", keys, "note",
                                              r->note ? text(r->note) : json_null()));
    }
    return list;
}

static json_t *plan_json(const struct migrate *m)
{
    json_t *tables = json_array(), *out = json_array();

    for (size_t i = 0; i < m->survey.count; i++)
        json_array_append_new(tables, table_json(m, &m->survey.tables[i]));
    for (size_t i = 0; i < m->plans.count; i++)
        if (m->plans.refusals[i])
            json_array_append_new(out, json_pack("{s:o, s:o}", "name",
                                                 text(m->plans.catalog->tables[i].name), "reason",
                                                 text(m->plans.refusals[i])));
    json_t *cost = json_pack("{s:o, s:o, s:f, s:f, s:f}", "currency",
                             text(m->config->price_currency), "as_of", text(m->config->price_as_of),
                             "writes", m->estimate.write_cost, "provisioned_hour",
                             m->estimate.hour_cost, "storage_month", m->estimate.month_cost);
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o}", "rows", (json_int_t)m->survey.rows,
                     "failing", (json_int_t)m->survey.failing, "bytes", (json_int_t)m->survey.bytes,
                     "write_units", (json_int_t)m->survey.write_units, "estimated_seconds",
                     m->estimate.seconds, "cost", cost, "tables", tables, "not_mirrored", out);
}

static json_t *result_json(const struct migrate *m)
{
    json_t *letters = json_array();

    for (size_t i = 0; i < m->letter_count; i++) {
        const struct migrate_letter *l = &m->letters[i];
        json_array_append_new(letters, json_pack("{s:o, s:o, s:I, s:o}", "table", text(l->table),
                                                 "reason", text(l->reason), "rows",
                                                 (json_int_t)l->rows, "keys", keys_json(l->keys)));
    }
    json_t *verified = m->verified ? json_true() : m->not_verified.len ? json_false() : json_null();
    return json_pack("{s:b, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o}", "nothing_to_do",
                     nothing_done(m), "seconds", m->seconds, "items_put", (json_int_t)m->items_put,
                     "items_deleted", (json_int_t)m->items_deleted, "spared", (json_int_t)m->spared,
                     "write_units", (json_int_t)m->write_units, "dead_letters",
                     (json_int_t)m->dead_letters, "success_percent", success(m), "reasons", letters,
                     "verified", verified, "differences",
                     m->not_verified.len ? text(m->not_verified.data) : json_null());
}

int migrate_print_json(const struct migrate *m)
{
    json_t *backup =
        m->backed_up.bytes
            ? json_pack("{s:o, s:I, s:I, s:I}", "file", text(m->backup_name.data), "bytes",
                        (json_int_t)m->backed_up.bytes, "tables", (json_int_t)m->backed_up.tables,
                        "rows", (json_int_t)m->backed_up.rows)
            : json_null();
    json_auto_t *root =
        json_pack("{s:b, s:o, s:s, s:o, s:o, s:o, s:o}", "dry_run", m->dry_run, "database",
                  text(m->config->database), "by", m->running ? "daemon" : "own", "plan",
                  plan_json(m), "orphans", orphans_json(m), "backup", backup, "result",
                  m->loaded ? result_json(m) : json_null());
    char *all = root ? json_dumps(root, JSON_INDENT(2)) : NULL;

    if (!all) {
        fputs("syncctl: no memory for the output\n", stderr);
        return CTL_UNREACHABLE;
    }
    puts(all);
    free(all);
    return CTL_DONE;
}
