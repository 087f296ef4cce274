/* Every operation of DynamoDB's API that these programs send, or that a purpose is told to need,
 * and for what: the one table from which policies are made. A request for any other is a fault of
 * ours. */
#ifndef SYNCD_DYNAMODB_OPERATIONS_H
#define SYNCD_DYNAMODB_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>

enum policy_purpose {
    POLICY_DAEMON,  /* syncd */
    POLICY_TABLES,  /* syncctl create-tables */
    POLICY_VERIFY,  /* reading every item, to compare */
    POLICY_RESTORE, /* reading every item, to write them into a database */
    POLICY_PURGE,   /* syncctl purge, and create-tables --force */
    POLICY_EXPORT,  /* syncctl export */
    POLICY_PURPOSES,
};

/* On which tables, and when. */
enum operation_need {
    NEED_NOT,
    NEED_TABLES, /* on every table */
    NEED_CREATE, /* on every table, where create_tables = yes */
    NEED_META,   /* on meta_table, where it is used */
    NEED_DATA,   /* on every table but meta_table */
    NEED_EXPORT, /* on every table of an [export] section, and on no other */
    /* What tables are to have: on every table (meta_table has no TTL and no indexes) … */
    NEED_TTL,      /* where some table has a TTL */
    NEED_TAGS,     /* where tags are configured */
    NEED_RECOVERY, /* with point_in_time_recovery */
    NEED_UPDATE,   /* with indexes or deletion_protection */
    /* … and create_tables = yes besides. */
    NEED_CREATE_TTL,
    NEED_CREATE_TAGS,
    NEED_CREATE_RECOVERY,
};

struct ddb_operation {
    const char *name; /* without "dynamodb:" */
    enum operation_need need[POLICY_PURPOSES];
    bool sent; /* by this version; else a command of a later one is to send it */
};

/* Ends with a NULL name. */
extern const struct ddb_operation ddb_operations[];

/* NULL: there is none of that name. */
const struct ddb_operation *ddb_operation_find(const char *name);

#endif
