/* The schema dump (source/schema_dump.h) of the database as it is attached, for whoever keeps it
 * beside the items. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "mirror/internal.h"
#include "source/schema_dump.h"

bool mirror_schema_known(const struct mirror *m, int64_t *version)
{
    if (!m->attached || m->problem != SOURCE_OK)
        return false;
    *version = m->schema_version;
    return true;
}

static int print_mapping(const struct config *c, char **text)
{
    size_t n = 0;
    FILE *out = open_memstream(text, &n);

    if (!out)
        return -ENOMEM;
    config_print_mapping(c, out);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

int mirror_schema_dump(struct mirror *m, struct buf *json, char version[SCHEMA_DUMP_VERSION_SIZE])
{
    char id[MIRROR_CANARY_ID], host[HOST_NAME_MAX + 1] = "";
    _cleanup_free_ char *mapping = NULL;

    if (!m->attached || m->problem != SOURCE_OK || rest_wake(m) != SOURCE_OK || !m->source)
        return -EAGAIN;
    if (print_mapping(m->config, &mapping) < 0)
        return -ENOMEM;
    mirror_canary_id(m, id);
    gethostname(host, sizeof host - 1);
    int rc = schema_dump_take(m->source,
                              &(struct schema_dump_about){.database_id = id,
                                                          .database = m->config->database,
                                                          .host = host,
                                                          .name = m->config->name,
                                                          .mapping = mapping},
                              json, version);
    return rc == SQLITE_OK ? 0 : rc == SQLITE_NOMEM ? -ENOMEM : -EAGAIN;
}
