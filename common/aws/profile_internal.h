/* The parsed form of the shared AWS files, between profile_parse.c (text to entries) and profile.c
 * (files and look-ups). Entries are kept in file order and never merged: the last match counts. */
#ifndef SYNCD_AWS_PROFILE_INTERNAL_H
#define SYNCD_AWS_PROFILE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum profile_section_kind {
    PROFILE_SECTION_PROFILE,
    PROFILE_SECTION_DEFAULT, /* [default] in the config file; [profile default] goes before it */
    PROFILE_SECTION_SERVICES,
    PROFILE_SECTION_OTHER, /* sso-session and whatever else has no bearing here */
};

struct profile_section {
    enum profile_section_kind kind;
    char *name;
};

struct profile_entry {
    size_t section; /* index */
    char *key;      /* lower case */
    char *sub;      /* lower case; NULL unless the line was nested under `key` */
    char *value;    /* wiped when freed: it may be a secret */
};

struct profile_file {
    char *path; /* for messages; NULL when there is no home directory */
    struct profile_section *sections;
    size_t section_count, section_cap;
    struct profile_entry *entries;
    size_t entry_count, entry_cap;
};

/* `is_config` chooses how section names are written: [profile NAME] or [NAME]. Adds to `file`,
 * which the caller clears on failure. -EINVAL names `file->path` and the line. */
int profile_parse(struct profile_file *file, const char *text, size_t n, bool is_config,
                  struct err *err);
void profile_file_clear(struct profile_file *file);

#endif
