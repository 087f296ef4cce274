/* What a move would do, what it would cost, and which rows would be left. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/migrate.h"
#include "jobs/check.h"

/* With as many digits as tell something. */
void migrate_put_money(struct buf *out, const struct migrate *m, double amount)
{
    if (amount > 0 && amount < 0.01)
        buf_lit(out, "less than 0.01");
    else
        buf_printf(out, "%.2f", amount);
    buf_printf(out, " %s", m->config->price_currency);
}

static void put_target(struct grid *g, const struct migrate *m, const struct table_plan *p)
{
    const struct target_look *t = target_looks_find(&m->targets, p->target);
    _cleanup_buf_ struct buf text = {0};

    buf_puts(&text, p->target);
    buf_puts(&text, !t->there ? " (to be made)" : "");
    g->failed |= text.failed;
    grid_add(g, t->there ? TONE_PLAIN : TONE_GOOD, text.data ? text.data : "");
}

static void put_tables(struct page *page, const struct migrate *m)
{
    static const struct column columns[] = {{"table", false, 0},
                                            {"rows", true, 0},
                                            {"bytes", true, 0},
                                            {"write units", true, 0},
                                            {"target", false, 0}};
    _cleanup_grid_ struct grid g = {.columns = columns, .column_count = 5};

    for (size_t i = 0; i < m->survey.count; i++) {
        const struct survey_table *t = &m->survey.tables[i];
        const struct table_plan *p = m->plans.plans[t->plan];
        _cleanup_buf_ struct buf bytes = {0};
        format_bytes(&bytes, t->bytes);
        g.failed |= bytes.failed;
        grid_add(&g, TONE_STRONG, p->table);
        grid_add_count(&g, TONE_PLAIN, t->rows);
        grid_add(&g, TONE_PLAIN, bytes.data ? bytes.data : "");
        grid_add_count(&g, TONE_PLAIN, t->write_units);
        put_target(&g, m, p);
    }
    buf_putc(&page->out, '\n');
    grid_print(&g, page);
}

static void put_sum(struct page *page, const struct migrate *m)
{
    struct buf *out = &page->out;

    buf_lit(out, "\nin all ");
    format_count(out, m->survey.rows);
    buf_puts(out, m->survey.rows == 1 ? " row, " : " rows, ");
    format_bytes(out, m->survey.bytes);
    buf_lit(out, ", ");
    format_count(out, m->survey.write_units);
    buf_lit(out, " write units: about ");
    format_span(out, m->estimate.seconds < 1 ? 1 : m->estimate.seconds);
    if (m->config->write_units_per_second)
        buf_printf(out, " (write_units_per_second = %" PRId64 ")",
                   m->config->write_units_per_second);
    buf_lit(out, "\ncost   ");
    migrate_put_money(out, m, m->estimate.write_cost);
    buf_lit(out, " for the writes, ");
    if (m->estimate.hour_cost > 0) {
        migrate_put_money(out, m, m->estimate.hour_cost);
        buf_lit(out, " an hour for provisioned write capacity, ");
    }
    migrate_put_money(out, m, m->estimate.month_cost);
    buf_printf(out, " a month for storage (prices of %s, [price])\n", m->config->price_as_of);
}

static void put_left_out(struct page *page, const struct migrate *m)
{
    for (size_t i = 0; i < m->plans.count; i++) {
        if (!m->plans.refusals[i])
            continue;
        buf_putc(&page->out, '\n');
        page_put(page, TONE_MILD, "not mirrored ");
        page_put_safe(page, TONE_STRONG, m->plans.catalog->tables[i].name);
        buf_lit(&page->out, ": ");
        page_wrap(page, 24, 4, m->plans.refusals[i]);
    }
}

static void put_fault(struct page *page, const char *table, const struct survey_fault *f)
{
    _cleanup_buf_ struct buf text = {0};

    buf_lit(&page->out, "  ");
    page_put_safe(page, TONE_STRONG, table);
    buf_lit(&page->out, "  ");
    format_count(&page->out, f->rows);
    buf_puts(&page->out, f->rows == 1 ? " row  " : " rows  ");
    page_put(page, TONE_BAD, f->code);
    buf_lit(&page->out, "\n    ");
    buf_printf(&text, "%s%s%s: ", *f->column ? "column " : "", f->column, *f->column ? "" : "item");
    buf_puts(&text, f->text);
    buf_lit(&text, ": ");
    for (size_t i = 0; i < SURVEY_KEYS && f->keys[i]; i++)
        buf_printf(&text, "%s%s", i ? "; " : "", f->keys[i]);
    if (f->rows > SURVEY_KEYS)
        buf_lit(&text, "; ...");
    page_wrap(page, 4, 4, text.data ? text.data : "");
    page->out.failed |= text.failed;
}

static void put_faults(struct page *page, const struct migrate *m)
{
    if (!m->survey.failing)
        return;
    buf_putc(&page->out, '\n');
    format_count(&page->out, m->survey.failing);
    buf_puts(&page->out,
             m->survey.failing == 1 ? " row cannot be an item" : " rows cannot be items");
    buf_lit(&page->out, " and would be left, as dead letters:\n");
    for (size_t i = 0; i < m->survey.count; i++) {
        const struct survey_table *t = &m->survey.tables[i];
        for (size_t k = 0; k < t->fault_count; k++)
            put_fault(page, m->plans.plans[t->plan]->table, &t->faults[k]);
    }
}

static void put_orphan(struct page *page, const struct migrate *m, const struct orphan_reference *r)
{
    const struct table_plan *p = m->plans.plans[r->plan];
    _cleanup_buf_ struct buf text = {0};

    buf_printf(&text, "%s.%s -> %s: ", p->table, r->columns, r->parent);
    if (r->note) {
        buf_puts(&text, r->note);
    } else {
        format_count(&text, r->rows);
        buf_puts(&text, r->rows == 1 ? " row" : " rows");
        for (size_t k = 0; k < ORPHAN_KEYS && r->keys[k]; k++)
            buf_printf(&text, "%s%s", k ? "; " : ": ", r->keys[k]);
        buf_puts(&text, r->rows > ORPHAN_KEYS ? "; ..." : "");
        if (r->left_out)
            buf_puts(&text, p->skips ? " (left out)" : " (dead letters)");
        else if (r->unheeded)
            buf_printf(&text, " (not heeded: %s)", r->unheeded);
    }
    buf_lit(&page->out, "  ");
    page_wrap(page, 2, 4, text.data ? text.data : "");
    page->out.failed |= text.failed;
}

static void put_orphans(struct page *page, const struct migrate *m)
{
    bool any = false, left_out = false;

    for (size_t i = 0; i < m->orphans.count; i++) {
        any |= m->orphans.references[i].rows || m->orphans.references[i].note;
        left_out |= m->orphans.references[i].rows && m->orphans.references[i].left_out;
    }
    if (any)
        buf_puts(&page->out, left_out ? "\nreferences that lead nowhere (their rows are sent all "
                                        "the same, unless it says otherwise):\n"
                                      : "\nreferences that lead nowhere (their rows are sent all "
                                        "the same):\n");
    for (size_t i = 0; i < m->orphans.count; i++)
        if (m->orphans.references[i].rows || m->orphans.references[i].note)
            put_orphan(page, m, &m->orphans.references[i]);
}

int migrate_print_plan(struct migrate *m)
{
    _cleanup_page_ struct page page = ctl_page(m->ctl);

    page_put_safe(&page, TONE_STRONG, m->config->database);
    buf_printf(&page.out, " -> DynamoDB in %s\n", m->endpoint.region);
    page_label(&page, "endpoint");
    page_item(&page, TONE_PLAIN, CUT_END, "%s", m->endpoint.url);
    page_item(&page, TONE_PLAIN, CUT_END, "credentials: %s", m->credentials);
    page_end(&page, "");
    page_label(&page, "by");
    page_item(&page, TONE_PLAIN, CUT_END, "%s",
              m->running ? "the daemon that runs"
                         : "a daemon for the time of the move (none runs)");
    page_end(&page, "");
    if (m->survey.count)
        put_tables(&page, m);
    put_sum(&page, m);
    put_left_out(&page, m);
    put_faults(&page, m);
    put_orphans(&page, m);
    return ctl_print(&page.out);
}
