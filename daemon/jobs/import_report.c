#include "jobs/import_internal.h"

json_t *import_counts(const struct import_run *run)
{
    json_t *all = json_object();

    for (size_t i = 0; all && i < run->target_count; i++) {
        const struct target *t = run->targets[i];
        json_t *fields = json_object();
        for (const struct target_name *n = t->all_names; n; n = n->next)
            if (n->ignored)
                json_object_set_new(fields, n->text, json_integer(n->ignored));
        json_t *one =
            json_pack("{sI sI sI sI sI so}", "read", (json_int_t)t->counts.read, "imported",
                      (json_int_t)t->counts.imported, "unchanged", (json_int_t)t->counts.unchanged,
                      "skipped", (json_int_t)t->counts.skipped, "refused",
                      (json_int_t)t->counts.refused, "fields_left_out", fields);
        if (!one || json_object_set_new(all, t->info->name, one) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

void import_take_counts(struct import_run *run, const json_t *counts)
{
    for (size_t i = 0; i < run->target_count; i++) {
        struct target *t = run->targets[i];
        const json_t *o = json_object_get(counts, t->info->name);
        t->counts = (struct target_counts){
            .read = json_integer_value(json_object_get(o, "read")),
            .imported = json_integer_value(json_object_get(o, "imported")),
            .unchanged = json_integer_value(json_object_get(o, "unchanged")),
            .skipped = json_integer_value(json_object_get(o, "skipped")),
            .refused = json_integer_value(json_object_get(o, "refused")),
        };
        run->records += t->counts.read;
        target_take_left_out(t, json_object_get(o, "fields_left_out"));
    }
}

static void add_refusal(void *arg, const struct import_refusal *r)
{
    json_t *line = r->line ? json_integer(r->line) : json_null();

    json_array_append_new(arg, json_pack("{ss so ss ss}", "file", r->file, "line", line, "table",
                                         r->table, "reason", r->reason));
}

static json_t *tables(const struct import_run *run)
{
    json_t *all = json_array(), *counts = import_counts(run);

    for (size_t i = 0; i < run->target_count; i++) {
        const struct target *t = run->targets[i];
        json_t *one = json_object_get(counts, t->info->name);
        json_object_set_new(one, "table", json_string(t->info->name));
        json_object_set_new(one, "created", json_boolean(t->created));
        json_array_append(all, one);
    }
    json_decref(counts);
    return all;
}

json_t *import_report(const struct import_run *run, struct err *err)
{
    json_t *refusals = json_array();
    int64_t refused = import_state_refused(run->state);

    if (import_state_refusals(run->state, IMPORT_LISTED, add_refusal, refusals, err) < 0) {
        json_decref(refusals);
        return NULL;
    }
    json_t *o = json_pack("{ss sb so sI so sO sb}", "database", run->q->database, "dry_run",
                          run->q->dry_run, "tables", tables(run), "refused", (json_int_t)refused,
                          "refusals", refusals, "broken_files", run->broken, "clean", refused == 0);
    if (!o)
        err_set(err, 0, "out of memory");
    return o;
}
