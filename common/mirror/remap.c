/* A changed configuration that maps rows otherwise: what it would touch, and taking it. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "mirror/internal.h"
#include "mirror/plans.h"
#include "source/canary.h"

static int64_t count_rows(struct mirror *m, const char *table)
{
    char *sql = sqlite3_mprintf("SELECT count(*) FROM main.\"%w\"", table);
    int64_t n = 0;
    int rc = sql ? source_query_int(m->source, sql, &n) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return rc == SQLITE_OK ? n : -1;
}

/* Does the plan that the configuration makes differ from the one in use? 1, 0, or negative with a
 * sentence. */
static int differs(struct mirror *m, const struct config *c, const struct table_info *t,
                   struct err *err)
{
    const struct table_slot *now = mirror_table_named(m, t->name);
    struct table_plan *plan = NULL;
    struct err why = {0};

    if (!plans_covers(c, t))
        return 0; /* its items stay as they are */
    int rc = plans_make(c, t, &plan, &why);
    if (rc == -ENOMEM)
        return err_set(err, rc, "out of memory");
    if (rc < 0)
        return now && now->plan ? err_set(err, -EINVAL, "table \"%s\" could not be mirrored: %s",
                                          t->name, why.text)
                                : 0;
    _cleanup_free_ char *fresh = plan_fingerprint(plan);
    _cleanup_free_ char *old = now && now->plan ? plan_fingerprint(now->plan) : NULL;
    plan_free(plan);
    if (!fresh || (now && now->plan && !old))
        return err_set(err, -ENOMEM, "out of memory");
    return !old || strcmp(fresh, old) != 0;
}

static int look(struct mirror *m, const struct config *c, const struct catalog *tables,
                struct buf *touched, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < tables->count; i++) {
        const char *name = tables->tables[i].name;
        if (canary_is_table(name) || (rc = differs(m, c, &tables->tables[i], err)) <= 0)
            continue;
        int64_t n = count_rows(m, name);
        if (n < 0)
            return err_set(err, -EIO, "the rows of table \"%s\" cannot be counted: %s", name,
                           sqlite3_errmsg(m->source->db));
        buf_printf(touched, "%s%lld of \"%s\"", touched->len ? ", " : "", (long long)n, name);
    }
    return rc < 0 ? rc : 0;
}

int mirror_remap_touches(struct mirror *m, const struct config *c, struct buf *touched,
                         struct err *err)
{
    struct catalog *tables = NULL;

    if (m->held)
        return err_set(err, -EINVAL, "%s", m->held_text.text);
    int rc = orders_need_source(m, err);
    if (rc < 0)
        return rc;
    if (catalog_read(m->source, &tables, err) != SOURCE_OK)
        return -EIO;
    rc = look(m, c, tables, touched, err);
    catalog_free(tables);
    if (m->detached || m->uninstalled)
        mirror_close_source(m);
    return rc == 0 && !buf_ok(touched) ? err_set(err, -ENOMEM, "out of memory") : rc;
}

void mirror_remap(struct mirror *m, const struct config *c)
{
    mirror_configure(m, c);
    m->attached = m->resting = false;
}
