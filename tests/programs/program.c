#include "program.h"

#include <stdio.h>
#include <stdlib.h>

void *must(void *allocated)
{
    if (!allocated) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return allocated;
}

void program_add(struct program *p, enum step_kind kind, int connection, uint64_t amount,
                 const char *sql)
{
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 32;
        p->steps = must(realloc(p->steps, p->cap * sizeof *p->steps));
    }
    p->steps[p->count++] = (struct step){
        .kind = kind,
        .connection = connection,
        .amount = amount,
        .sql = must(strdup(sql)),
    };
}

static char *copy_text(const char *text)
{
    return text ? must(strdup(text)) : NULL;
}

void program_copy(struct program *to, const struct program *from, const bool *gone)
{
    *to = (struct program){.seed = from->seed, .rollback_mode = from->rollback_mode};
    for (size_t i = 0; i < from->count; i++) {
        const struct step *s = &from->steps[i];
        if (gone && gone[i])
            continue;
        program_add(to, s->kind, s->connection, s->amount, s->sql);
        if (i < from->setup)
            to->setup = to->count;
    }
    for (size_t i = 0; i < MAX_PROGRAM_TABLES; i++)
        to->keys[i] = (struct key_options){.table = copy_text(from->keys[i].table),
                                           .partition_key = copy_text(from->keys[i].partition_key),
                                           .sort_key = copy_text(from->keys[i].sort_key)};
}

void program_free(struct program *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->steps[i].sql);
    for (size_t i = 0; i < MAX_PROGRAM_TABLES; i++) {
        free(p->keys[i].table);
        free(p->keys[i].partition_key);
        free(p->keys[i].sort_key);
    }
    free(p->steps);
    *p = (struct program){0};
}

void program_sql(const char *marked, struct buf *out)
{
    for (; *marked; marked++)
        if (*marked != CUT_BEGIN[0] && *marked != CUT_END[0])
            buf_putc(out, *marked);
}
