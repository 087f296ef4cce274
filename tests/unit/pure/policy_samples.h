/* The policies that etc/iam shows, from made-up tables. */
#ifndef SYNCD_TESTS_POLICY_SAMPLES_H
#define SYNCD_TESTS_POLICY_SAMPLES_H

#include <stdio.h>

#include "dynamodb/policy.h"

static const char *const sample_tables[] = {"app-messages", "app-users"};
static const char *const sample_exports[] = {"ConversationTable"};

#define SAMPLE(p, meta, create)                                                                    \
    {                                                                                              \
        .purposes = 1u << (p), .partition = "aws", .region = "us-west-2",                          \
        .account = "123456789012", .tables = sample_tables, .table_count = 2,                      \
        .export_tables = sample_exports, .export_count = 1, .meta_table = (meta),                  \
        .create_tables = (create)                                                                  \
    }

static const struct policy_sample {
    const char *file;
    struct policy_request request;
} policy_samples[] = {
    {"daemon.json", SAMPLE(POLICY_DAEMON, "syncd-meta", false)},
    {"daemon-create-tables.json", SAMPLE(POLICY_DAEMON, "syncd-meta", true)},
    {"tables.json", SAMPLE(POLICY_TABLES, "syncd-meta", false)},
    {"verify.json", SAMPLE(POLICY_VERIFY, NULL, false)},
    {"restore.json", SAMPLE(POLICY_RESTORE, "syncd-meta", false)},
    {"purge.json", SAMPLE(POLICY_PURGE, "syncd-meta", false)},
    {"export.json", SAMPLE(POLICY_EXPORT, "syncd-meta", false)},
};

enum { POLICY_SAMPLES = sizeof policy_samples / sizeof *policy_samples };

#endif
