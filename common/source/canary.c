#include "source/canary.h"

#include <strings.h>

bool canary_is_table(const char *name)
{
    return strcasecmp(name, CANARY_TABLE) == 0;
}

/* By the eyes that read every other table: of a database in memory that has nothing else. */
int canary_describe(struct catalog *c)
{
    struct source memory = {0};
    int rc = sqlite3_open_v2(":memory:", &memory.db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(memory.db, CANARY_CREATE, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = catalog_add_table(&memory, c, CANARY_TABLE, CANARY_CREATE);
    source_forget_questions(&memory);
    sqlite3_close(memory.db);
    return rc;
}

int canary_write(struct source *s, const char *id, int64_t beat, const char *at)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db,
                                "INSERT INTO main._syncd_canary(id, kind, beat, at) "
                                "VALUES(?1, '" CANARY_KIND "', ?2, ?3) "
                                "ON CONFLICT(id, kind) DO UPDATE SET beat = ?2, at = ?3",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(stmt, 2, beat);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 3, at, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
