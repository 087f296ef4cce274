/* From the bytes of configuration files to a struct config: the steps that config_load() takes
 * between finding files and filling in paths. */
#ifndef SYNCD_CONFIG_CONFIG_READ_H
#define SYNCD_CONFIG_CONFIG_READ_H

#include "base/err.h"
#include "config/config.h"
#include "config/ini.h"

/* Every setting at its default, no tables' sections; name and file are "". */
int config_new(struct config **out, struct err *err);

/* Add one file's assignments, later ones over earlier ones. `file` is for messages. On failure `c`
 * holds part of the file: free it. */
int config_add(struct config *c, const char *file, const void *bytes, size_t n,
               ini_lookup_fn *lookup, void *arg, struct err *err);

/* After the last file: defaults of unassigned lists, and what one setting says about another.
 * Sentences begin with `file`. */
int config_complete(struct config *c, const char *file, struct err *err);

/* The three steps over one file in memory, for tests and fuzzing. *out is untouched on failure. */
int config_parse_memory(const char *file, const void *bytes, size_t n, ini_lookup_fn *lookup,
                        void *arg, struct config **out, struct err *err);

/* A section with every key at its default. On success free it with table_config_clear(). */
int table_config_init(struct table_config *t, const char *name, const char *file, unsigned line,
                      struct err *err);
void table_config_clear(struct table_config *t);
/* The same of an [export] section. */
int export_config_init(struct export_config *t, const char *name, const char *file, unsigned line,
                       struct err *err);
void export_config_clear(struct export_config *t);

#endif
