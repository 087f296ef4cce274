/* Deleting a DynamoDB table, and what is said before. */
#ifndef SYNCD_DAEMON_JOBS_TABLE_DELETE_H
#define SYNCD_DAEMON_JOBS_TABLE_DELETE_H

#include "jobs/connect.h"
#include "jobs/table_facts.h"

/* DeleteTable, and wait until it is gone. One that is not there, or goes already, is fine. */
int table_delete(struct connection *x, const char *table, struct err *err);

/* "account 123456789012, region us-west-2, https://…": as far as it is known. */
void connection_about(const struct connection *x, const struct table_facts *f, struct buf *out);
/* The same, and "about 1,234 items". */
void table_about(const struct connection *x, const struct table_facts *f, struct buf *out);

#endif
