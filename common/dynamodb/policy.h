/* The least-privilege IAM policy of a purpose (IAM JSON policy elements: the IAM User Guide;
 * actions and the ARNs they take: the Service Authorization Reference, "Amazon DynamoDB"). */
#ifndef SYNCD_DYNAMODB_POLICY_H
#define SYNCD_DYNAMODB_POLICY_H

#include "base/buf.h"
#include "dynamodb/operations.h"

/* Longest managed policy, in characters that are no white space (IAM's quotas). */
enum { POLICY_MANAGED_MAX = 6144 };

/* `syncctl migrate`: the daemon's, for the load, with those of the steps around it. */
enum { POLICY_MIGRATE = 1u << POLICY_DAEMON | 1u << POLICY_TABLES | 1u << POLICY_VERIFY };

struct policy_request {
    unsigned purposes; /* bits, 1u << enum policy_purpose; what any of them needs */
    const char *partition, *region, *account; /* aws, us-west-2, 123456789012 or "*" */
    const char *const *tables;                /* names, each once; meta_table not among them */
    size_t table_count;
    const char *const *export_tables; /* those of [export] sections, each once */
    size_t export_count;
    const char *meta_table; /* where syncd's own items go; NULL: there are none */
    bool create_tables;
    bool ttl, tags, recovery, indexes, protection; /* some table is to have that */
};

void policy_print(const struct policy_request *r, struct buf *out);
/* Characters of it that count. */
size_t policy_length(const struct buf *policy);
/* By words such as "daemon,verify"; "migrate" is what a first move needs. NULL with the bits, or
 * the first word (as far as a comma) that is none. */
const char *policy_purposes_find(const char *words, unsigned *out);

/* What an AccessDeniedException says, made into a sentence that names action and resource, what to
 * do, and as much of the service's own reason as fits; words that are not understood stay as they
 * are. */
void policy_explain_denied(const char *message, char *out, size_t size);

#endif
