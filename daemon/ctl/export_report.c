#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/export.h"

static int64_t sum(const json_t *tables, const char *field)
{
    int64_t n = 0;
    size_t i;
    json_t *t;

    json_array_foreach(tables, i, t) n += field_count(t, field);
    return n;
}

/* --- a dry run: what would be ----------------------------------------------------------------- */

static void print_statements(struct page *p, const json_t *tables)
{
    size_t i;
    json_t *t;

    json_array_foreach(tables, i, t)
    {
        const char *ddl = field_text(t, "ddl");
        if (!*ddl)
            continue;
        for (const char *at = ddl; *at;) {
            size_t n = strcspn(at, "\n");
            page_line(p, TONE_PLAIN, "%.*s%s", (int)n, at, at[n] ? "" : ";");
            at += n + (at[n] != '\0');
        }
    }
}

static void print_samples(struct page *p, const json_t *tables)
{
    size_t i, k;
    json_t *t, *sample;

    json_array_foreach(tables, i, t)
    {
        if (json_array_size(json_object_get(t, "samples")))
            page_line(p, TONE_STRONG, "%s, for example:", field_text(t, "name"));
        json_array_foreach(json_object_get(t, "samples"), k, sample)
        {
            _cleanup_buf_ struct buf safe = {0}, cut = {0};
            format_safe(&safe, json_string_value(sample));
            format_cut(&cut, safe.data ? safe.data : "", PAGE_COLUMNS - 4, CUT_END);
            page_line(p, TONE_PLAIN, "  %zu. %s", k + 1, cut.data ? cut.data : "");
        }
    }
}

/* --- the summary ------------------------------------------------------------------------------ */

static void print_tables(struct page *p, bool dry_run, const json_t *tables)
{
    const struct column columns[] = {
        {"TABLE", false, 40},   {"FOUND", true, 0},  {dry_run ? "VALID" : "MIGRATED", true, 0},
        {"UNCHANGED", true, 0}, {"FAILED", true, 0}, {"SKIPPED", true, 0}};
    _cleanup_grid_ struct grid g = {.columns = columns, .column_count = 6, .limit = PAGE_COLUMNS};
    size_t i;
    json_t *t;

    json_array_foreach(tables, i, t)
    {
        int64_t failed = field_count(t, "failed"), invalid = field_count(t, "invalid");
        int64_t good = dry_run ? field_count(t, "found") - invalid : field_count(t, "migrated");
        grid_add(&g, failed || invalid ? TONE_BAD : TONE_GOOD, field_text(t, "name"));
        grid_add_count(&g, TONE_PLAIN, field_count(t, "found"));
        grid_add_count(&g, TONE_GOOD, good);
        grid_add_count(&g, TONE_PLAIN, field_count(t, "unchanged"));
        grid_add_count(&g, failed ? TONE_BAD : TONE_PLAIN, failed);
        grid_add_count(&g, invalid ? TONE_MILD : TONE_PLAIN, invalid);
    }
    grid_print(&g, p);
}

static void print_kinds(struct page *p, const json_t *problems)
{
    static const struct {
        const char *word, *text;
    } kinds[] = {
        {"key_shape", "the key is not as its pattern says"},
        {"uuid", "not a UUID"},
        {"required", "a required attribute is missing"},
        {"type", "a value is not what the column takes"},
        {"range", "a value is out of range, too long or too exact"},
        {"reference", "refers to a record that is not there"},
        {"duplicate", "the primary key of another item"},
        {"database", "refused by PostgreSQL"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int64_t n = field_count(problems, kinds[i].word);
        if (n)
            page_line(p, TONE_MILD, "  %7lld  %s", (long long)n, kinds[i].text);
    }
}

static void print_failures(struct page *p, const json_t *report)
{
    const json_t *failures = json_object_get(report, "failures");
    const json_t *tables = json_object_get(report, "tables");
    int64_t all = sum(tables, "invalid") + sum(tables, "failed") + sum(tables, "different") +
                  sum(tables, "missing");
    int64_t more = all - (int64_t)json_array_size(failures);
    size_t i;
    json_t *f;

    if (!all)
        return;
    page_line(p, TONE_PLAIN, "%s", "");
    print_kinds(p, json_object_get(report, "problems"));
    json_array_foreach(failures, i, f)
        page_line(p, TONE_BAD, "  %s: %s: %s", field_text(f, "table"), field_text(f, "key"),
                  field_text(f, "reason"));
    if (more > 0)
        page_line(p, TONE_DIM, "  and %lld more (--verbose lists all)", (long long)more);
}

static void print_unmatched(struct page *p, const json_t *report)
{
    int64_t n = field_count(report, "unmatched");

    if (n)
        page_line(p, TONE_MILD, "%lld of the items belong%s to none of these tables, such as %s",
                  (long long)n, n == 1 ? "s" : "",
                  json_string_value(json_array_get(json_object_get(report, "unmatched_keys"), 0)));
}

static void print_verified(struct page *p, const json_t *tables)
{
    int64_t bad = sum(tables, "different") + sum(tables, "missing"), extra = sum(tables, "extra");

    page_line(p, bad ? TONE_BAD : TONE_GOOD,
              "verified: %lld rows compared with their items, %lld different, %lld missing",
              (long long)sum(tables, "verified"), (long long)sum(tables, "different"),
              (long long)sum(tables, "missing"));
    if (extra)
        page_line(p, TONE_MILD, "%lld rows there are of no item that was read", (long long)extra);
}

static void print_made(struct page *p, const json_t *tables)
{
    size_t i;
    json_t *t;

    json_array_foreach(tables, i, t) page_line(
        p, TONE_PLAIN, "%s table %s", field_true(t, "created") ? "created    " : "there already",
        field_text(t, "name"));
}

static void print_notes(struct page *p, const json_t *notes)
{
    size_t i;
    json_t *n;

    json_array_foreach(notes, i, n) page_line(p, TONE_BAD, "%s", json_string_value(n));
}

static int print_page(const struct ctl *ctl, const struct export_order *o, const json_t *report)
{
    _cleanup_page_ struct page p = ctl_page(ctl);
    const json_t *tables = json_object_get(report, "tables");
    double rate = field_number(report, "success_rate");
    bool verified = json_object_get(json_array_get(tables, 0), "verified");

    if (o->create && o->dry_run)
        print_statements(&p, tables);
    else if (o->create)
        print_made(&p, tables);
    if (o->migrate || o->verify) {
        if (o->dry_run)
            print_samples(&p, tables);
        print_tables(&p, o->dry_run || !o->migrate, tables);
        print_failures(&p, report);
        print_unmatched(&p, report);
        if (verified)
            print_verified(&p, tables);
        page_line(&p, rate < 100 ? TONE_BAD : TONE_GOOD, "success rate: %.1f %%", rate);
    }
    print_notes(&p, json_object_get(report, "notes"));
    if (o->dry_run)
        page_line(&p, TONE_STRONG, "dry run: nothing was changed");
    return ctl_print(&p.out);
}

int export_report_print(const struct ctl *ctl, const struct export_order *o, const json_t *report)
{
    bool clean = field_true(report, "clean");
    int r = CTL_DONE;

    if (ctl->json) {
        _cleanup_buf_ struct buf out = {0};
        char *text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
        buf_puts(&out, text ? text : "");
        free(text);
        r = ctl_print_json(&out);
    } else if (!ctl->quiet || !clean) {
        r = print_page(ctl, o, report);
    }
    return r == CTL_DONE && !clean ? CTL_FAILURES : r;
}
