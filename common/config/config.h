/* The configuration: read once, checked whole, then read-only.
 *
 * Sources, in order: FILE (or /etc/syncd/NAME.conf), the directory "FILE.d/" ("NAME.conf.d/";
 * *.conf by name), then the overrides of the command line. ${NAME} takes the environment;
 * "NAME.env" beside the file is read first and stands in for what the process's own environment
 * lacks (under systemd it is the unit's EnvironmentFile). One that this user may not read is passed
 * over: systemd has read it as root.
 *
 * The last assignment of a key counts; a list's assignments add up until an empty one begins anew;
 * an empty value puts any key back to its default. Several [table "x"] sections are one.
 *
 * One table (options.c) names every key with type, default, unit, reloadable and one line of help;
 * parser, --check, etc/syncd.conf and reload all walk it. */
#ifndef SYNCD_CONFIG_CONFIG_H
#define SYNCD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

struct strlist {
    char **items;
    size_t count;
};

/* name.SUBKEY = value, such as rename.created_at = createdAt */
struct pair {
    char *key;
    char *value;
};

struct pairlist {
    struct pair *items;
    size_t count;
};

enum null_policy { NULL_OMIT, NULL_WRITE };
enum oversize_policy { OVERSIZE_DEAD_LETTER, OVERSIZE_COMPRESS, OVERSIZE_SPLIT };
enum drop_policy { DROP_KEEP, DROP_DELETE };
/* Of rows whose reference leads nowhere. A table's own is one more than these: 0 is the general
 * one. */
enum orphan_policy { ORPHANS_REPORT, ORPHANS_SKIP, ORPHANS_SET_ASIDE };
enum billing_mode { BILLING_PAY_PER_REQUEST, BILLING_PROVISIONED };
enum http_client_kind { HTTP_CLIENT_OWN, HTTP_CLIENT_LIBCURL };

/* One [table "NAME"] section. Strings are "" when not set. */
struct table_config {
    char *name; /* the SQLite table */
    bool enabled;
    char *target;
    char *partition_key, *sort_key; /* a column, or a template with {column} in it */
    char *partition_key_name, *sort_key_name;
    struct strlist exclude;
    struct pairlist rename;            /* column -> attribute */
    struct pairlist index;             /* name -> partition[, sort] [: projection] */
    struct pairlist convert, defaults; /* by column */
    struct pairlist add;               /* attribute -> template */
    char *ttl_column;
    bool keep_key;
    int null_policy; /* enum null_policy */
    int on_drop;     /* enum drop_policy */
    int oversize;    /* enum oversize_policy */
    int orphans;     /* 0: as [source] says; else enum orphan_policy and one */
    char *file;      /* where the section began, for messages */
    unsigned line;
};

/* One [export "NAME"] section: a table of `syncctl export`. What patterns and columns are is said
 * in export/pattern.h and export/column.h. */
struct export_config {
    char *name;              /* of the table in PostgreSQL, or of the file */
    char *from;              /* the DynamoDB table; "" when not set */
    struct pairlist match;   /* attribute -> pattern */
    struct pairlist columns; /* in order */
    char *file;
    unsigned line;
};

struct config {
    char *name; /* "syncd" for syncd.conf, NAME for NAME.conf */
    char *file; /* "" when everything came from the command line */

    /* [source] */
    char *database;
    struct strlist tables, exclude_tables, exclude_columns;
    char *source_id;
    int orphans; /* enum orphan_policy */

    /* [dynamodb] */
    char *region, *endpoint_url, *profile, *credentials_file, *table_name, *ca_file, *meta_table;
    bool allow_plain_http, create_tables, keep_schema;
    int billing_mode; /* enum billing_mode */
    int64_t read_capacity, write_capacity;
    struct pairlist tag;                              /* of the tables that are created */
    bool deletion_protection, point_in_time_recovery; /* of the tables that are created */
    int64_t max_requests_in_flight, batch_size, write_units_per_second;
    int http_client; /* enum http_client_kind */

    /* [sync]; durations are microseconds */
    usec linger, backoff_base, backoff_max, request_timeout, unconfirmed_horizon, lag_warning,
        lag_critical;
    usec canary; /* 0: none */
    int64_t journal_limit;
    int64_t hold_deletes; /* percent */

    /* [state] */
    char *state_path;

    /* [price]: decimal numbers as text, for price_of() of jobs/estimate.h */
    char *price_currency, *price_as_of, *price_write_million, *price_read_million,
        *price_write_unit_hour, *price_storage_gb_month;

    /* [control] */
    char *socket, *socket_group, *operator_group, *listen;
    char *heartbeat_url;
    usec heartbeat_interval;

    /* [log] */
    int log_level;     /* enum log_level */
    int log_format;    /* enum log_format */
    usec emf_interval; /* 0: none */
    char *emf_namespace;

    struct table_config *table_sections;
    size_t table_section_count;

    struct export_config *export_sections; /* in order */
    size_t export_section_count;

    struct pairlist environment; /* NAME.env: may hold secrets, is never printed */
};

/* What the command line gives; NULL where not given. `file` and `name` exclude each other. */
struct config_request {
    const char *file;
    const char *name;
    const char *database, *region, *profile, *endpoint_url, *socket;
    const char *const *settings; /* "section.key=value", ends with NULL; they stand above all else
                                    but for what is above. Of [table] sections: none */
    bool file_optional;          /* one-off jobs: no file is fine when `database` is given */
};

/* 0, or a negative errno with one sentence in `err` ("FILE:LINE: …", with the nearest known name
 * where a name is unknown). *out is untouched on failure; free it with config_free(). Does not
 * touch the database; a relative one of the command line is made absolute.
 *
 * Fills [state] path and [control] socket with their effective defaults (the first directory where
 * systemd's variables name several):
 *   $STATE_DIRECTORY/NAME.db, else DIR/.BASE-syncd.db, where DIR/BASE is the database;
 *   $RUNTIME_DIRECTORY/syncd.sock, else /run/syncd/syncd.sock for syncd.conf and without a file,
 *   /run/syncd/NAME/syncd.sock for NAME.conf. */
int config_load(const struct config_request *req, struct config **out, struct err *err);
void config_free(struct config *c);

/* Put into the process's environment what NAME.env has and the environment lacks, so that
 * credentials and region are found there too. Once, at start, before any thread: setenv(3) is not
 * for later. A changed NAME.env takes a restart, as with systemd. 0 or -ENOMEM. */
int config_export_environment(const struct config *c, struct err *err);

/* Section of a table by its SQLite name (ASCII case-insensitive, as SQLite compares), or NULL. */
const struct table_config *config_table(const struct config *c, const char *table);

/* Does [source] cover this table (tables/exclude_tables globs, enabled)? */
bool config_covers_table(const struct config *c, const char *table);
/* Is this column left out (exclude_columns globs "table.column", or the section's exclude)? */
bool config_excludes_column(const struct config *c, const char *table, const char *column);

/* What it takes for a setting to have effect. */
enum config_effect {
    EFFECT_RELOAD,  /* the running daemon takes it */
    EFFECT_REMAP,   /* so too, but items may change by it */
    EFFECT_RESTART, /* it does not */
};

/* Every setting that differs, as "section.key" or `table "x".key`. A section with nothing but
 * defaults is as good as none. `key` lives during the call. Returns how many differ. */
typedef void config_diff_fn(void *arg, const char *key, enum config_effect effect);
size_t config_diff(const struct config *a, const struct config *b, config_diff_fn *fn, void *arg);

/* The sample file: every key at its default, explained. etc/syncd.conf is this output. */
void config_print_sample(FILE *out);
/* The effective settings, one "section.key = value" a line, for --check. Of a table's section
 * (`table "x".key = value`) what differs from the default, and `enabled`. */
void config_print(const struct config *c, FILE *out);

/* What decides which tables become which items, as a file has it: [source] (the database too),
 * names of DynamoDB tables, and every table's section. Read back with config_parse_memory(), it
 * makes the same plans of the same schema. */
void config_print_mapping(const struct config *c, FILE *out);

#endif
