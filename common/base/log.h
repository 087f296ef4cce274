/* Logging, for the edges that decide: one event, one line, with its context as fields.
 *
 *     log_event(LOG_EV_WARNING, "table_parked", "table %s does not exist; create it or set
 * create_tables = yes", "table", name, "request_id", id, NULL)
 *
 * Formats: journald's native fields (SYNCD_TABLE=…, SYNCD_EVENT=…, MESSAGE_ID= for the events of
 * base/events.h), JSON lines (ts, level, event, message_id, msg, fields), or text. Repeats of one
 * event with the same text are counted and summed up once in ten seconds ("repeated"); so is what
 * comes past the fiftieth line of one event within ten seconds ("left_out"). What the reader of
 * stderr does not take at once is lost and counted ("lost"): a log never stops the mirror. No row
 * content and no secret above debug. Not thread-safe: only the loop's thread logs. */
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
 * libsystemd. `fields` are "KEY=value" strings; false: the entry is lost, and counted. Without one,
 * LOG_JOURNAL falls back to text with syslog's level prefixes (sd-daemon(3)). */
typedef bool log_journal_fn(const char *const *fields, int n);
void log_set_journal(log_journal_fn *fn);

/* `event` is a stable lower_case name. After the format's own arguments (already formatted by the
 * caller into `msg`) come pairs "name", value, ending with NULL; a NULL value skips its pair. */
void log_event(enum log_level level, const char *event, const char *msg, ...)
    __attribute__((sentinel));

/* Once in a while: sums up what was counted in windows that are over. */
void log_tick(void);
/* The same for all windows: before the end. */
void log_flush(void);

/* A line of its own format, such as an embedded metric, at level info, neither limited nor framed:
 * it is the whole line, or the journal's MESSAGE=. At most PIPE_BUF bytes, so that it never blocks.
 */
void log_raw(const char *event, const char *line);

/* Now, as log lines have it; a static buffer, valid until the next call. */
const char *log_time(void);

/* For messages with arguments: log_msg("%s is gone", path) returns a static buffer, valid until the
 * next call. */
const char *log_msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
