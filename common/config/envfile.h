/* The unit's EnvironmentFile= (systemd.exec(5)), read the way systemd reads it: NAME=value lines, #
 * and ; comments, values in single quotes (plain), double quotes (\" \\ \$ \` escape) or bare (a
 * backslash escapes any character), lines joined by a backslash at their end. The last assignment
 * of a name counts. Where systemd passes over a line with a warning, this is an error. */
#ifndef SYNCD_CONFIG_ENVFILE_H
#define SYNCD_CONFIG_ENVFILE_H

#include <stddef.h>

#include "base/err.h"
#include "config/config.h"

/* Adds to `out`, which holds what came before an error. 0 or a negative errno with "FILE:LINE: …";
 * no sentence ever holds a value. */
int envfile_parse(const char *file, const char *bytes, size_t n, struct pairlist *out,
                  struct err *err);

#endif
