/* CreateTable and DescribeTable (Amazon DynamoDB API Reference). */
#ifndef SYNCD_DYNAMODB_TABLES_H
#define SYNCD_DYNAMODB_TABLES_H

#include "base/err.h"
#include "dynamodb/reply.h"
#include "mapping/plan.h"

struct table_capacity {
    bool provisioned; /* else on demand */
    int64_t read_units, write_units;
};

void tables_create_body(struct buf *out, const char *table, const struct key_schema *schema,
                        const struct table_capacity *capacity);
void tables_describe_body(struct buf *out, const char *table);

enum table_status { TABLE_MISSING, TABLE_CREATING, TABLE_ACTIVE, TABLE_DELETING, TABLE_UNKNOWN };

/* What the service says of a table. */
struct table_description {
    enum table_status status;
    char identity[80]; /* TableId: another table made under the same name has another; "" unknown */
};

/* Read DescribeTable's or CreateTable's 200 reply, and whether the key is ours. A key that is not
 * leaves -EEXIST and a sentence naming both keys; a body that is no such reply -EPROTO. */
int tables_read(const char *body, size_t n, const char *table, const struct key_schema *schema,
                struct table_description *out, struct err *err);

#endif
