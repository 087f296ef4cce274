/* Stands for postgres.c where libpq was not there when the program was built. */
#include <errno.h>

#include "jobs/postgres.h"

static int absent(struct err *err)
{
    return err_set(err, -EINVAL,
                   "this syncctl was built without libpq and cannot write to PostgreSQL; install "
                   "libpq's development files and build it again, or export to a .jsonl or .csv "
                   "file");
}

int postgres_check(const char *uri, struct err *err)
{
    (void)uri;
    return absent(err);
}

int postgres_open(const char *uri, bool read_only, usec silence, struct postgres **out,
                  struct err *err)
{
    (void)silence;
    (void)uri;
    (void)read_only;
    (void)out;
    return absent(err);
}

void postgres_close(struct postgres *p)
{
    (void)p;
}

const char *postgres_about(const struct postgres *p)
{
    (void)p;
    return "";
}

const char *postgres_state(const struct postgres *p)
{
    (void)p;
    return "";
}

int postgres_run(struct postgres *p, const char *sql, int64_t *rows, struct err *err)
{
    (void)p;
    (void)sql;
    (void)rows;
    return absent(err);
}

int postgres_ask(struct postgres *p, const char *sql, char *text, size_t size, struct err *err)
{
    (void)p;
    (void)sql;
    (void)text;
    (void)size;
    return absent(err);
}

int postgres_copy_in(struct postgres *p, const char *sql, const char *lines, size_t n,
                     struct err *err)
{
    (void)p;
    (void)sql;
    (void)lines;
    (void)n;
    return absent(err);
}

int postgres_copy_out(struct postgres *p, const char *sql, postgres_line_fn *fn, void *arg,
                      struct err *err)
{
    (void)p;
    (void)sql;
    (void)fn;
    (void)arg;
    return absent(err);
}
