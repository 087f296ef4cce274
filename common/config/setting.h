/* One option's value inside struct config or struct table_config (`base`): from text, to text,
 * compared, freed. Which field and which type, the option says. */
#ifndef SYNCD_CONFIG_SETTING_H
#define SYNCD_CONFIG_SETTING_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/ini.h"
#include "config/options.h"

/* The built-in default into a zeroed field. A list stays empty: its default is filled in by
 * setting_complete(), because it is no element of what a file assigns. */
int setting_init(const struct config_option *o, void *base, struct err *err);
int setting_complete(const struct config_option *o, void *base, struct err *err);

/* `raw` as a file has it (ini.h). An empty value means the default again; to a list any other value
 * adds; of pairs, `subkey` is the one set, or taken out when the value is empty. 0 or a negative
 * errno with a sentence about the value that does not name the key. */
int setting_assign(const struct config_option *o, void *base, const char *subkey, const char *raw,
                   ini_lookup_fn *lookup, void *arg, struct err *err);

/* Append the value as a file would have it; nothing for OPTION_PAIRS. */
void setting_append(const struct config_option *o, const void *base, struct buf *out);

bool setting_equal(const struct config_option *o, const void *a, const void *b);
void setting_free(const struct config_option *o, void *base);

#endif
