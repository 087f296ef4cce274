/* What a table's section says of items that are too large: can it be? */
#include <string.h>

#include "mapping/oversize.h"
#include "mapping/plan_internal.h"

static int check_names(struct plan_maker *m, const char *attribute, const char *what)
{
    static const char *const ours[] = {OVERSIZE_PACKED, OVERSIZE_CHUNK};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(attribute, ours[i]) == 0)
            return plan_refuse(
                m, "%s becomes the attribute \"%s\", which is syncd's own; %s", what, attribute,
                strcmp(what, "the key") == 0 ? "set partition_key_name or sort_key_name"
                                             : "give it another name with rename.COLUMN");
    return 0;
}

int plan_add_oversize(struct plan_maker *m)
{
    struct table_plan *p = m->plan;
    int rc = 0;

    /* Readers tell by these names what an item is, whatever the table's settings are. */
    for (size_t i = 0; rc == 0 && i < p->column_count; i++)
        rc = check_names(m, p->columns[i].attribute, "a column");
    for (size_t i = 0; rc == 0 && i < p->added_count; i++)
        rc = check_names(m, p->added[i].attribute, "an added attribute");
    for (size_t i = 0; rc == 0 && i < p->schema.count; i++)
        rc = check_names(m, p->schema.parts[i].name, "the key");
    if (rc < 0)
        return rc;
    p->compress = m->options->compress || m->options->split;
    p->split = m->options->split;
    if (!p->split || (p->schema.count == 2 && p->schema.parts[1].type != ATTR_N))
        return 0;
    return plan_refuse(m,
                       p->schema.count == 2
                           ? "oversize = split needs a sort key of type S or B, and \"%s\" is of "
                             "type N; make it text with a template such as sort_key = ROW#{%s}, or "
                             "write oversize = compress"
                           : "oversize = split needs a sort key, and the table has the partition "
                             "key \"%s\" alone; add one, such as partition_key = %s and sort_key = "
                             "ROW, or write oversize = compress",
                       p->schema.parts[p->schema.count - 1].name,
                       p->schema.parts[p->schema.count - 1].name);
}
