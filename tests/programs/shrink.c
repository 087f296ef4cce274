#include "shrink.h"

#include <stdlib.h>
#include <string.h>

/* The kind of failure: its first words. */
static size_t kind_length(const char *why)
{
    return strcspn(why, ":\n");
}

struct shrinker {
    struct checker *c;
    struct program *p;
    char *kind;
    unsigned runs;
};

enum { MAX_RUNS = 4000 };

static bool still_fails(struct shrinker *s, const struct program *candidate)
{
    _cleanup_buf_ struct buf why = {0};

    if (s->runs++ > MAX_RUNS || check_program(s->c, candidate, &why, NULL) || !why.len)
        return false;
    return strncmp(why.data, s->kind, strlen(s->kind)) == 0;
}

static void take(struct shrinker *s, struct program *smaller)
{
    program_free(s->p);
    *s->p = *smaller;
}

/* Without steps [at, at + n). */
static bool without_steps(struct shrinker *s, size_t at, size_t n)
{
    struct program smaller;
    bool *gone = must(calloc(s->p->count, sizeof *gone));

    for (size_t i = at; i < at + n && i < s->p->count; i++)
        gone[i] = true;
    program_copy(&smaller, s->p, gone);
    free(gone);
    if (still_fails(s, &smaller)) {
        take(s, &smaller);
        return true;
    }
    program_free(&smaller);
    return false;
}

static bool drop_steps(struct shrinker *s)
{
    bool any = false;

    for (size_t n = s->p->count / 2; n > 0; n /= 2)
        for (size_t at = s->p->count; at > 0;) {
            at = at > n ? at - n : 0;
            any |= without_steps(s, at, n);
        }
    return any;
}

/* The mark that ends the piece which begins at `from`. */
static size_t end_of_cut(const char *sql, size_t from)
{
    int depth = 0;

    for (size_t i = from; sql[i]; i++) {
        depth += sql[i] == CUT_BEGIN[0];
        depth -= sql[i] == CUT_END[0];
        if (depth == 0)
            return i;
    }
    return from;
}

static bool drop_pieces(struct shrinker *s, size_t step)
{
    bool any = false;

    for (size_t at = 0; at < strlen(s->p->steps[step].sql);) {
        const char *sql = s->p->steps[step].sql;
        if (sql[at] != CUT_BEGIN[0]) {
            at++;
            continue;
        }
        struct program smaller;
        size_t end = end_of_cut(sql, at);
        program_copy(&smaller, s->p, NULL);
        char *text = smaller.steps[step].sql;
        memmove(text + at, text + end + 1, strlen(text + end + 1) + 1);
        if (still_fails(s, &smaller)) {
            take(s, &smaller);
            any = true;
        } else {
            program_free(&smaller);
            at++;
        }
    }
    return any;
}

static void simplify_settings(struct shrinker *s)
{
    struct program simpler;

    program_copy(&simpler, s->p, NULL);
    simpler.rollback_mode = false;
    for (size_t i = 0; i < simpler.count; i++)
        simpler.steps[i].connection = 0;
    if (still_fails(s, &simpler))
        take(s, &simpler);
    else
        program_free(&simpler);
    for (size_t i = 0; i < MAX_PROGRAM_TABLES; i++) {
        if (!s->p->keys[i].partition_key)
            continue;
        program_copy(&simpler, s->p, NULL);
        free(simpler.keys[i].partition_key);
        free(simpler.keys[i].sort_key);
        simpler.keys[i].partition_key = simpler.keys[i].sort_key = NULL;
        if (still_fails(s, &simpler))
            take(s, &simpler);
        else
            program_free(&simpler);
    }
}

void shrink_program(struct checker *c, struct program *p)
{
    struct shrinker s = {.c = c, .p = p};
    _cleanup_buf_ struct buf why = {0};

    if (check_program(c, p, &why, NULL) || !why.len)
        return;
    s.kind = must(strndup(why.data, kind_length(why.data)));
    for (bool any = true; any && s.runs < MAX_RUNS;) {
        any = drop_steps(&s);
        simplify_settings(&s);
        for (size_t i = 0; i < p->count; i++)
            any |= drop_pieces(&s, i);
    }
    free(s.kind);
}

void print_program(const struct program *p, const char *why, const char *installed, FILE *out)
{
    int connection = 0;

    fprintf(out, "-- seed %llu\n%s", (unsigned long long)p->seed,
            p->rollback_mode ? "PRAGMA journal_mode=DELETE;\n" : "");
    for (size_t i = 0; i < MAX_PROGRAM_TABLES; i++)
        if (p->keys[i].partition_key)
            fprintf(out, "-- [table %s] partition_key = %s, sort_key = %s\n", p->keys[i].table,
                    p->keys[i].partition_key, p->keys[i].sort_key ? p->keys[i].sort_key : "");
    for (size_t i = 0; i <= p->count; i++) {
        if (i == p->setup)
            fprintf(out, "-- the triggers:\n%s-- end of the triggers\n", installed);
        if (i == p->count)
            break;
        const struct step *s = &p->steps[i];
        _cleanup_buf_ struct buf sql = {0};
        program_sql(s->sql, &sql);
        if (s->kind == STEP_SQL && s->connection != connection)
            fprintf(out, ".connection %d\n", connection = s->connection);
        if (s->kind == STEP_SQL)
            fprintf(out, "%s;\n", sql.data);
        else
            fprintf(out, "-- %s %llu\n",
                    s->kind == STEP_DRAIN ? "drain, entries (0: all):" : "acknowledge, less:",
                    (unsigned long long)s->amount);
    }
    fprintf(out, "SELECT * FROM _syncd_journal;\n-- ");
    for (; *why; why++) {
        fputc(*why, out);
        if (*why == '\n' && why[1])
            fputs("-- ", out);
    }
    fputs(why[-1] == '\n' ? "" : "\n", out);
}
