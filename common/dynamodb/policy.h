/* The least-privilege IAM policy of a purpose (IAM JSON policy elements: the IAM User Guide;
 * actions and the ARNs they take: the Service Authorization Reference, "Amazon DynamoDB"). */
#ifndef SYNCD_DYNAMODB_POLICY_H
#define SYNCD_DYNAMODB_POLICY_H

#include "base/buf.h"
#include "dynamodb/operations.h"

/* Longest managed policy, in characters that are no white space (IAM's quotas). */
enum { POLICY_MANAGED_MAX = 6144 };

struct policy_request {
    enum policy_purpose purpose;
    const char *partition, *region, *account; /* aws, us-west-2, 123456789012 or "*" */
    const char *const *tables;                /* names, each once; meta_table not among them */
    size_t table_count;
    const char *meta_table; /* where syncd's own items go; NULL: there are none */
    bool create_tables;
};

void policy_print(const struct policy_request *r, struct buf *out);
/* Characters of it that count. */
size_t policy_length(const struct buf *policy);
/* By its word, such as "daemon". false: it is none. */
bool policy_purpose_find(const char *word, enum policy_purpose *out);

/* What an AccessDeniedException says, made into a sentence that names action and resource, what to
 * do, and as much of the service's own reason as fits; words that are not understood stay as they
 * are. */
void policy_explain_denied(const char *message, char *out, size_t size);

#endif
