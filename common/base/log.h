/* Logging, for the edges that decide: one event, one line, with its context as fields.
 *
 *     log_event(LOG_EV_WARNING, "table_parked", "table %s does not exist; create it or set
 * create_tables = yes", "table", name, "request_id", id, NULL)
 *
 * Formats: journald's native fields (SYNCD_TABLE=…, SYNCD_EVENT=…, MESSAGE_ID= for events in the
 * table of log.c), JSON lines (ts, level, event, msg, fields), or text. Repeats of one event with
 * the same text are counted and summed up once in ten seconds. No row content and no secret above
 * debug. Not thread-safe: only the loop's thread logs. */
#ifndef SYNCD_BASE_LOG_H
#define SYNCD_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_EV_ERROR, LOG_EV_WARNING, LOG_EV_INFO, LOG_EV_DEBUG };
enum log_format { LOG_AUTO, LOG_JOURNAL, LOG_TEXT, LOG_JSON };

/* LOG_AUTO: journal when stderr is the journal's stream ($JOURNAL_STREAM), else text. */
void log_setup(enum log_level level, enum log_format format);
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);

/* A sink for the journal's native protocol, set by the daemon, so that this file links without
 * libsystemd. `fields` are "KEY=value" strings. Without one, LOG_JOURNAL falls back to text with
 * syslog's level prefixes (sd-daemon(3)). */
typedef void log_journal_fn(const char *const *fields, int n);
void log_set_journal(log_journal_fn *fn);

/* `event` is a stable lower_case name. After the format's own arguments (already formatted by the
 * caller into `msg`) come pairs "name", value, ending with NULL; a NULL value skips its pair. */
void log_event(enum log_level level, const char *event, const char *msg, ...)
    __attribute__((sentinel));

/* For messages with arguments: log_msg("%s is gone", path) returns a static buffer, valid until the
 * next call. */
const char *log_msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
