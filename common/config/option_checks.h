/* Checks of values that a type alone does not settle: see option_check_fn in options.h. */
#ifndef SYNCD_CONFIG_OPTION_CHECKS_H
#define SYNCD_CONFIG_OPTION_CHECKS_H

#include "base/err.h"

/* A daemon has no directory of its own that relative paths could start from. */
int option_check_path(const char *value, struct err *err);
/* An absolute path that fits sockaddr_un(7). */
int option_check_socket(const char *value, struct err *err);
/* An address of the loopback with a port. */
int option_check_listen(const char *value, struct err *err);
/* A CloudWatch namespace: 1 to 255 of A-Z a-z 0-9 . - _ / #, not beginning with a colon or "AWS/".
 */
int option_check_namespace(const char *value, struct err *err);
/* DynamoDB's table names with {table}, {Table} or {table-kebab} in them. */
int option_check_table_name(const char *value, struct err *err);
/* A DynamoDB table name: 3 to 255 of A-Z a-z 0-9 _ . - */
/* A price: digits, at most one point. */
int option_check_price(const char *value, struct err *err);
int option_check_target(const char *value, struct err *err);
/* A tag: a key of 1 to 128 characters that AWS has not reserved, a value of up to 256. */
int option_check_tag(const char *name, const char *value, struct err *err);
/* An index's name, as DynamoDB takes it: 3 to 255 of A-Z a-z 0-9 _ . - The value is the plan's. */
int option_check_index(const char *name, const char *value, struct err *err);
/* An attribute and its pattern, a column and what it is: of [export] sections. */
int option_check_match(const char *attribute, const char *pattern, struct err *err);
int option_check_column(const char *column, const char *text, struct err *err);
/* table.column, where each side may be a glob. */
int option_check_table_column(const char *value, struct err *err);
/* A duration: 0, or long enough for a row to come back within. */
int option_check_canary(const char *value, struct err *err);
/* A URL: https, or http to loopback; without credentials in it. */
int option_check_heartbeat(const char *value, struct err *err);

int option_check_source_id(const char *value, struct err *err);
int option_check_convert(const char *value, struct err *err);

#endif
