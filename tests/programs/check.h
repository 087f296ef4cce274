/* Running a program, and saying what is wrong. */
#ifndef SYNCD_TESTS_CHECK_H
#define SYNCD_TESTS_CHECK_H

#include "application.h"
#include "oracle.h"
#include "program.h"

/* What running programs needs, and what it met. */
struct checker {
    char dir[64];              /* where the databases lie */
    const struct plant *plant; /* NULL: none */
    struct writer *writer;     /* NULL: the system's SQLite */
    struct {
        uint64_t programs, statements, succeeded, entries, refreshed, extra_columns, planted,
            damaged, any_trigger, refused, unseen;
    } met;
};

/* In /dev/shm where there is one. 0 or -errno. */
int checker_open(struct checker *c);
void checker_close(struct checker *c);

/* Two databases, one with the triggers, one without; the program runs on both, and every statement
 * must look alike to its author, or as it does with triggers that do nothing. True when all is
 * well; else what is not is in `why`, and the trigger DDL in `installed` (both may be NULL). */
bool check_program(struct checker *c, const struct program *p, struct buf *why,
                   struct buf *installed);

#endif
