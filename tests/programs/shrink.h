/* Making a failing program small, and printing it as SQL. */
#ifndef SYNCD_TESTS_SHRINK_H
#define SYNCD_TESTS_SHRINK_H

#include <stdio.h>

#include "check.h"

/* Leaves out steps, then pieces of SQL, as long as it fails in the same way. `p` becomes the small
 * one. */
void shrink_program(struct checker *c, struct program *p);

/* As a script for the sqlite3 shell, with the triggers' DDL, drains as comments, and what is wrong
 * at its end. */
void print_program(const struct program *p, const char *why, const char *installed, FILE *out);

#endif
