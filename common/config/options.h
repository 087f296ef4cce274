/* The table of every setting: section, key, type, default, range, whether a reload takes it, help.
 * The parser, config_print(), config_print_sample() and config_diff() all walk it. A new setting is
 * a field in struct config or struct table_config and one line here. */
#ifndef SYNCD_CONFIG_OPTIONS_H
#define SYNCD_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_type {
    OPTION_STRING,   /* char * */
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t, min..max */
    OPTION_DURATION, /* usec, min..max */
    OPTION_SIZE,     /* int64_t bytes, min..max */
    OPTION_PERCENT,  /* int64_t, 0..100, written with % */
    OPTION_ENUM,     /* int: index into names */
    OPTION_LIST,     /* struct strlist */
    OPTION_PAIRS,    /* struct pairlist: key.SUBKEY = value */
    OPTION_LATER,    /* known by name, not in this version; no field */
};

/* 0, or -EINVAL with a sentence about the value (the caller names file, line and key). For a list
 * it sees each element. */
typedef int option_check_fn(const char *value, struct err *err);

/* The same for a pair, its subkey and its value (never empty: that takes the pair away). */
typedef int option_pair_check_fn(const char *subkey, const char *value, struct err *err);

struct config_option {
    const char *section, *key;
    enum option_type type;
    size_t offset;       /* in struct config; in struct table_config for section "table", in struct
                            export_config for "export" */
    const char *initial; /* the default, as a file would have it; "" or NULL: empty */
    int64_t min, max;
    const char *const *names; /* ends with NULL */
    option_check_fn *check;
    option_pair_check_fn *check_pair;
    bool exact; /* pairs: subkeys that differ in letters' case are two */
    bool reloadable;
    bool remaps;         /* a reload takes it when told to: it changes items */
    const char *example; /* shown in the sample instead of the default; may be several lines */
    const char *help;    /* for the sample; lines end in \n except the last */
};

struct option_section {
    const char *name;
    const char *sample; /* [table "NAME"]: a name for the sample file; NULL: it takes none */
    const char *help;
};

/* Both end with an entry whose section, or name, is NULL; in the order of the sample. */
extern const struct config_option config_options[];
extern const struct option_section config_sections[];

const struct option_section *config_section_find(const char *name);
const struct config_option *option_find(const char *section, const char *key);
/* The known name that is meant by a misspelt one, or NULL when none is near. */
const char *config_section_nearest(const char *name);
const char *option_nearest(const char *section, const char *key);
/* What the option is a field of. */
enum option_scope { SCOPE_CONFIG, SCOPE_TABLE, SCOPE_EXPORT };
enum option_scope option_scope(const struct config_option *o);

#endif
