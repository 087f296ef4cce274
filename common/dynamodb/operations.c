#include "dynamodb/operations.h"

#include <string.h>

/* An item that differs is looked at once more, which takes BatchGetItem. */
const struct ddb_operation ddb_operations[] = {
    {"BatchGetItem", {[POLICY_VERIFY] = NEED_TABLES}, true},
    {"BatchWriteItem", {[POLICY_DAEMON] = NEED_TABLES}, true},
    {"CreateTable", {[POLICY_DAEMON] = NEED_CREATE, [POLICY_TABLES] = NEED_TABLES}, true},
    {"DescribeTable",
     {[POLICY_DAEMON] = NEED_TABLES,
      [POLICY_TABLES] = NEED_TABLES,
      [POLICY_VERIFY] = NEED_TABLES,
      [POLICY_RESTORE] = NEED_TABLES},
     true},
    {"GetItem", {[POLICY_DAEMON] = NEED_META, [POLICY_RESTORE] = NEED_TABLES}, true},
    {"PutItem", {[POLICY_DAEMON] = NEED_META}, true},
    {"Query", {[POLICY_DAEMON] = NEED_META}, true},
    {"Scan",
     {[POLICY_DAEMON] = NEED_DATA, [POLICY_VERIFY] = NEED_TABLES, [POLICY_RESTORE] = NEED_TABLES},
     true},
    {NULL, {NEED_NOT}, false},
};

const struct ddb_operation *ddb_operation_find(const char *name)
{
    for (const struct ddb_operation *o = ddb_operations; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}
