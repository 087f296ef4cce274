/* Runs the statements of test programs with the SQLite that it is linked with, which may be far
 * older or newer than the system's: reads commands from standard input, answers on standard output
 * (the protocol is in application.c). */
#include WRITER_SQLITE_HEADER

#include "execute.h"

enum { SLOTS = 2, CONNECTIONS = 3 };

static sqlite3 *dbs[SLOTS][CONNECTIONS];

static void answer(sqlite3 *db, int rc, const char *text, size_t n)
{
    printf("%d %d %zu\n", rc, db && !sqlite3_get_autocommit(db), n);
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

static int obey(sqlite3 **db, const char *verb, const char *text)
{
    char *seen = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&seen, &n);
    int rc;

    if (!out)
        return -1;
    if (strcmp(verb, "open") == 0) {
        rc = sqlite3_open(text, db);
        if (rc == SQLITE_OK)
            sqlite3_extended_result_codes(*db, 1);
    } else if (strcmp(verb, "close") == 0) {
        rc = sqlite3_close(*db);
        *db = NULL;
    } else {
        rc = execute(*db, text, out);
    }
    fclose(out);
    answer(*db, rc, seen, n);
    free(seen);
    return 0;
}

int main(void)
{
    char verb[8];
    int slot, connection, code = 0;
    size_t n;

    printf("%d\n", sqlite3_libversion_number());
    fflush(stdout);
    while (code == 0 && scanf("%7s %d %d %zu", verb, &slot, &connection, &n) == 4 &&
           getchar() == '\n') {
        char *text = malloc(n + 1);
        if (!text || slot < 0 || slot >= SLOTS || connection < 0 || connection >= CONNECTIONS ||
            fread(text, 1, n, stdin) != n) {
            free(text);
            return 1;
        }
        text[n] = '\0';
        code = obey(&dbs[slot][connection], verb, text);
        free(text);
    }
    return code ? 1 : 0;
}
