/* The schema as the oracle reads it: catalog, plans and statements are kept until it changes. */
#include <stdlib.h>

#include "mirror/plans.h"
#include "oracle.h"

void oracle_forget(struct world *w)
{
    struct sim_schema *s = w->schema;

    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        rows_close(s->tables[i].rows);
        plan_free(s->tables[i].plan);
    }
    source_forget_questions(&s->source);
    catalog_free(s->catalog);
    free(s);
    w->schema = NULL;
}

static int64_t schema_version(struct world *w)
{
    sqlite3_stmt *stmt = sim_ask(w->look, &w->asked.version, "PRAGMA schema_version");
    int64_t version = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;

    sqlite3_reset(stmt);
    return version;
}

bool oracle_know_schema(struct world *w)
{
    struct err err = {0};

    if (w->schema && w->schema->catalog->schema_version == schema_version(w))
        return true;
    oracle_forget(w);
    struct sim_schema *s = w->schema = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->source = (struct source){.db = w->look, .path = w->database};
    if (catalog_read(&s->source, &s->catalog, &err) != SOURCE_OK) {
        sim_fail(w, "the oracle cannot read the schema: %s", err.text);
        oracle_forget(w);
        return false;
    }
    for (size_t i = 0; i < s->catalog->count && s->count < SIM_TABLES; i++) {
        const struct table_info *t = &s->catalog->tables[i];
        if (plans_covers(w->config, t) &&
            plans_make(w->config, t, &s->tables[s->count].plan, &err) == 0)
            s->count++;
    }
    return true;
}
