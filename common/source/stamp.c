#include "source/stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"

static void look(const char *path, struct stamp_file *out)
{
    struct stat st;

    *out = (struct stamp_file){0};
    if (path && stat(path, &st) == 0)
        *out = (struct stamp_file){.dev = st.st_dev,
                                   .ino = st.st_ino,
                                   .size = st.st_size,
                                   .written = st.st_mtim,
                                   .changed = st.st_ctim};
}

void stamp_take(const char *database, const char *wal, struct stamp *out)
{
    look(database, &out->database);
    look(wal, &out->wal);
    if (out->wal.size == 0)
        out->wal = (struct stamp_file){0};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stamp_file *a, const struct stamp_file *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           same_time(a->written, b->written) && same_time(a->changed, b->changed);
}

bool stamp_same(const struct stamp *a, const struct stamp *b)
{
    return same_file(&a->database, &b->database) && same_file(&a->wal, &b->wal);
}

bool stamp_replaced(const struct stamp *now, const struct stamp *before)
{
    return now->database.dev != before->database.dev || now->database.ino != before->database.ino;
}

char *stamp_wal_path(const char *database)
{
    _cleanup_free_ char *real = realpath(database, NULL);
    char *wal;

    return real && asprintf(&wal, "%s-wal", real) >= 0 ? wal : NULL;
}
