/* The events worth an alarm: name, MESSAGE_ID, and what they say in a few words.
 *
 * An id belongs to its event for good: monitors, `journalctl MESSAGE_ID=…` and the entries of
 * systemd/syncd.catalog rely on it (systemd.journal-fields(7), "MESSAGE_ID="). A new event takes
 * the next id and an entry in the catalog; a test holds the two together. */
#ifndef SYNCD_BASE_EVENTS_H
#define SYNCD_BASE_EVENTS_H

/* clang-format off */
#define LOG_EVENTS(X)                                                                              \
    X("started", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d01", "The daemon watches a database") \
    X("stopped", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d02", "The daemon stopped as it was told to") \
    X("table_parked", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d03", "A DynamoDB table cannot be written") \
    X("dead_letter", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d04", "A row cannot be held by DynamoDB") \
    X("source_unavailable", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d05", "The database cannot be read") \
    X("endpoint_unreachable", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d06", "DynamoDB gives no usable answer") \
    X("credentials_failed", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d07", "There are no credentials, or DynamoDB does not accept them") \
    X("triggers_repaired", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d08", "Triggers were missing and are back") \
    X("health_changed", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d09", "Health is another than before") \
    X("journal_overflow", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0a", "The journal has passed its limit") \
    X("stalled", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0b", "Changes do not reach DynamoDB") \
    X("stall_ended", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0c", "Changes reach DynamoDB again") \
    X("throttled_long", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0d", "DynamoDB has been throttling for long") \
    X("throttling_ended", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0e", "DynamoDB throttles no more") \
    X("credentials_restored", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0f", "DynamoDB accepts the credentials again") \
    X("database_replaced", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d10", "Another file is in the database's place") \
    X("held", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d11", "Nothing is sent, or deleted, until an operator approves") \
    X("journal_unknown", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d12", "The journal is not the one that was left") \
    X("resync_begun", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d13", "A table is being compared with what was sent") \
    X("resync_ended", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d14", "The comparison of a table is over") \
    X("journal_filling", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d15", "The journal nears its limit") \
    X("journal_relieved", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d16", "The journal is well within its limit again") \
    X("table_open", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d17", "A DynamoDB table can be written again") \
    X("state_unwritable", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d18", "The state file cannot be written") \
    X("state_writable", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d19", "The state file can be written again") \
    X("uninstalled", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d1a", "Journal and triggers are gone from the database") \
    X("paused", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d1b", "Sending is paused") \
    X("resumed", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d1c", "Sending goes on") \
    X("reload_failed", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d1d", "A changed configuration was not taken")
/* clang-format on */

#endif
