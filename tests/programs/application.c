#include "application.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "execute.h"

/* --- a writer's protocol: a line "open SLOT CONNECTION BYTES" or "run …", then the bytes; answered
 * by a line "RC OPEN BYTES" and the bytes.
 * --------------------------------------------------------- */

static int ask(struct application *a, const char *verb, int connection, const char *text,
               struct buf *seen)
{
    struct writer *w = a->writer;
    int rc, in_transaction;
    size_t n;

    if (w->died)
        return SQLITE_INTERNAL;
    fprintf(w->to, "%s %d %d %zu\n%s", verb, a->slot, connection, strlen(text), text);
    fflush(w->to);
    if (fscanf(w->from, "%d %d %zu", &rc, &in_transaction, &n) != 3 || fgetc(w->from) != '\n') {
        w->died = true;
        return SQLITE_INTERNAL;
    }
    char *answer = must(malloc(n + 1));
    w->died = fread(answer, 1, n, w->from) != n;
    if (seen)
        buf_append(seen, answer, n);
    free(answer);
    a->open[connection] = in_transaction != 0;
    return rc;
}

int writer_start(const char *path, struct writer *out)
{
    int to[2], from[2];

    if (pipe(to) < 0 || pipe(from) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        close(to[0]);
        close(to[1]);
        close(from[0]);
        close(from[1]);
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    *out = (struct writer){
        .path = path, .pid = pid, .to = fdopen(to[1], "w"), .from = fdopen(from[0], "r")};
    if (fscanf(out->from, "%d", &out->version) != 1 || fgetc(out->from) != '\n')
        return -ENOEXEC;
    return 0;
}

void writer_stop(struct writer *w)
{
    if (!w->pid)
        return;
    fclose(w->to);
    fclose(w->from);
    waitpid(w->pid, NULL, 0);
}

int writer_revive(struct writer *w)
{
    const char *path = w->path;

    if (!w->died)
        return 0;
    writer_stop(w);
    return writer_start(path, w);
}

/* --- the application -----------------------------------------------------------------------------
 */

void application_open(struct application *a, const char *path)
{
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        if (a->writer) {
            ask(a, "open", i, path, NULL);
            continue;
        }
        if (sqlite3_open_v2(path, &a->db[i],
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK)
            abort();
        sqlite3_extended_result_codes(a->db[i], 1);
        a->open[i] = false;
    }
}

void application_close(struct application *a)
{
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        if (a->writer)
            ask(a, "close", i, "", NULL);
        else
            sqlite3_close(a->db[i]);
        a->db[i] = NULL;
        a->open[i] = false;
    }
}

int application_run(struct application *a, int connection, const char *sql, struct buf *seen)
{
    char *text = NULL;
    size_t n = 0;

    if (a->writer)
        return ask(a, "run", connection, sql, seen);
    FILE *out = must(open_memstream(&text, &n));
    int rc = execute(a->db[connection], sql, out);
    fclose(out);
    if (seen)
        buf_append(seen, text, n);
    free(text);
    a->open[connection] = !sqlite3_get_autocommit(a->db[connection]);
    return rc;
}

bool application_idle(const struct application *a)
{
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (a->open[i])
            return false;
    return true;
}
