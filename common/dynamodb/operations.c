#include "dynamodb/operations.h"

#include <string.h>

/* An item that differs is looked at once more, which takes BatchGetItem. */
const struct ddb_operation ddb_operations[] = {
    {"BatchGetItem", {[POLICY_VERIFY] = NEED_TABLES}, true},
    {"BatchWriteItem", {[POLICY_DAEMON] = NEED_TABLES, [POLICY_PURGE] = NEED_TABLES}, true},
    {"CreateTable", {[POLICY_DAEMON] = NEED_CREATE, [POLICY_TABLES] = NEED_TABLES}, true},
    {"DeleteTable", {[POLICY_PURGE] = NEED_DATA}, true},
    {"DescribeContinuousBackups", {[POLICY_TABLES] = NEED_RECOVERY}, true},
    {"DescribeTable",
     {[POLICY_DAEMON] = NEED_TABLES,
      [POLICY_TABLES] = NEED_TABLES,
      [POLICY_VERIFY] = NEED_TABLES,
      [POLICY_RESTORE] = NEED_TABLES,
      [POLICY_PURGE] = NEED_TABLES,
      [POLICY_EXPORT] = NEED_EXPORT},
     true},
    {"DescribeTimeToLive", {[POLICY_TABLES] = NEED_TABLES}, true},
    {"GetItem",
     {[POLICY_DAEMON] = NEED_META, [POLICY_RESTORE] = NEED_TABLES, [POLICY_EXPORT] = NEED_EXPORT},
     true},
    {"ListTagsOfResource", {[POLICY_TABLES] = NEED_TAGS}, true},
    {"PutItem", {[POLICY_DAEMON] = NEED_META}, true},
    {"Query", {[POLICY_DAEMON] = NEED_META, [POLICY_PURGE] = NEED_META}, true},
    {"Scan",
     {[POLICY_DAEMON] = NEED_DATA,
      [POLICY_VERIFY] = NEED_TABLES,
      [POLICY_RESTORE] = NEED_TABLES,
      [POLICY_PURGE] = NEED_TABLES,
      [POLICY_EXPORT] = NEED_EXPORT},
     true},
    /* CreateTable with tags asks for it as well. */
    {"TagResource", {[POLICY_DAEMON] = NEED_CREATE_TAGS, [POLICY_TABLES] = NEED_TAGS}, true},
    {"UpdateContinuousBackups",
     {[POLICY_DAEMON] = NEED_CREATE_RECOVERY, [POLICY_TABLES] = NEED_RECOVERY},
     true},
    {"UpdateTable", {[POLICY_TABLES] = NEED_UPDATE}, true},
    {"UpdateTimeToLive", {[POLICY_DAEMON] = NEED_CREATE_TTL, [POLICY_TABLES] = NEED_TTL}, true},
    {NULL, {NEED_NOT}, false},
};

const struct ddb_operation *ddb_operation_find(const char *name)
{
    for (const struct ddb_operation *o = ddb_operations; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}
