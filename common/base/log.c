#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/text.h"

enum { MAX_FIELDS = 12, REPEAT_SLOTS = 16 };
#define REPEAT_WINDOW (10 * USEC_PER_SEC)

struct field {
    const char *name, *value;
};

struct event {
    enum log_level level;
    const char *name, *msg;
    struct field fields[MAX_FIELDS];
    int count;
};

/* The last occurrence of an event, so that a storm of one sentence is one line and a count. */
struct repeat {
    uint64_t hash; /* of the whole event and message; the texts here may be cut */
    char event[32];
    char msg[160];
    usec since;
    unsigned long suppressed;
    enum log_level level;
};

static struct {
    enum log_level level;
    enum log_format format;
    log_journal_fn *journal;
    struct repeat repeats[REPEAT_SLOTS];
} state = {.level = LOG_EV_INFO, .format = LOG_TEXT};

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int syslog_levels[] = {3, 4, 6, 7};

/* Events worth an alarm carry a MESSAGE_ID, so that `journalctl MESSAGE_ID=…` finds them all. */
static const struct {
    const char *event, *id;
} message_ids[] = {
    {"started", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d01"},
    {"stopped", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d02"},
    {"table_parked", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d03"},
    {"dead_letter", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d04"},
    {"source_unavailable", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d05"},
    {"endpoint_unreachable", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d06"},
    {"credentials_failed", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d07"},
    {"triggers_repaired", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d08"},
    {"health_changed", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d09"},
    {"journal_overflow", "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d0a"},
};

static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_setup(enum log_level level, enum log_format format)
{
    state.level = level;
    if (format == LOG_AUTO)
        format = stderr_is_journal() ? LOG_JOURNAL : LOG_TEXT;
    state.format = format;
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

bool log_wants(enum log_level level)
{
    return level <= state.level;
}

void log_set_journal(log_journal_fn *fn)
{
    state.journal = fn;
}

const char *log_msg(const char *fmt, ...)
{
    static char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return text;
}

static void append_time(struct buf *out)
{
    usec now = clock_wall();
    time_t seconds = (time_t)(now / USEC_PER_SEC);
    struct tm tm;
    char text[40];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(out, "%s.%03dZ", text, (int)(now % USEC_PER_SEC / 1000));
}

static void append_upper(struct buf *out, const char *s)
{
    for (; *s; s++)
        buf_putc(out, *s >= 'a' && *s <= 'z' ? (char)(*s - 32) : *s);
}

static void format_text(struct buf *out, const struct event *e)
{
    if (state.format == LOG_JOURNAL)
        buf_printf(out, "<%d>", syslog_levels[e->level]);
    else
        append_time(out);
    if (state.format != LOG_JOURNAL)
        buf_printf(out, " %-7s ", level_names[e->level]);
    for (const char *p = e->msg; *p; p++)
        buf_putc(out, (unsigned char)*p < 0x20 ? ' ' : *p);
    for (int i = 0; i < e->count; i++) {
        buf_printf(out, "%s%s=", i ? " " : " [", e->fields[i].name);
        for (const char *p = e->fields[i].value; *p; p++)
            buf_putc(out, (unsigned char)*p < 0x20 ? ' ' : *p);
    }
    buf_puts(out, e->count ? "]\n" : "\n");
}

static void append_json_pair(struct buf *out, const char *name, const char *value)
{
    json_append_string_lossy(out, name, strlen(name));
    buf_putc(out, ':');
    json_append_string_lossy(out, value, strlen(value));
}

static void format_json(struct buf *out, const struct event *e)
{
    buf_lit(out, "{\"ts\":\"");
    append_time(out);
    buf_lit(out, "\",");
    append_json_pair(out, "level", level_names[e->level]);
    buf_putc(out, ',');
    append_json_pair(out, "event", e->name);
    buf_putc(out, ',');
    append_json_pair(out, "msg", e->msg);
    for (int i = 0; i < e->count; i++) {
        buf_putc(out, ',');
        append_json_pair(out, e->fields[i].name, e->fields[i].value);
    }
    buf_lit(out, "}\n");
}

static void send_journal(const struct event *e)
{
    struct buf store[MAX_FIELDS + 4] = {0};
    const char *fields[MAX_FIELDS + 4];
    int n = 0;

    buf_printf(&store[n++], "MESSAGE=%s", e->msg);
    buf_printf(&store[n++], "PRIORITY=%d", syslog_levels[e->level]);
    buf_printf(&store[n++], "SYNCD_EVENT=%s", e->name);
    for (size_t i = 0; i < sizeof message_ids / sizeof *message_ids; i++)
        if (strcmp(message_ids[i].event, e->name) == 0)
            buf_printf(&store[n++], "MESSAGE_ID=%s", message_ids[i].id);
    for (int i = 0; i < e->count; i++) {
        buf_lit(&store[n], "SYNCD_");
        append_upper(&store[n], e->fields[i].name);
        buf_printf(&store[n++], "=%s", e->fields[i].value);
    }
    for (int i = 0; i < n; i++)
        fields[i] = store[i].data ? store[i].data : "MESSAGE=out of memory";
    state.journal(fields, n);
    for (int i = 0; i < n; i++)
        buf_free(&store[i]);
}

static void emit(const struct event *e)
{
    _cleanup_buf_ struct buf out = {0};

    if (state.format == LOG_JOURNAL && state.journal) {
        send_journal(e);
        return;
    }
    if (state.format == LOG_JSON)
        format_json(&out, e);
    else
        format_text(&out, e);
    /* A blocked or closed log must not hurt the mirror: one attempt, the result is of no use. */
    if (buf_ok(&out) && write(STDERR_FILENO, out.data, out.len) < 0)
        return;
}

static void sum_up(struct repeat *r)
{
    struct event e = {.level = r->level, .name = r->event};
    char msg[256], count[24];

    if (!r->suppressed)
        return;
    snprintf(count, sizeof count, "%lu", r->suppressed);
    snprintf(msg, sizeof msg, "%s (%s more times)", r->msg, count);
    e.msg = msg;
    e.fields[0] = (struct field){"repeated", count};
    e.count = 1;
    r->suppressed = 0;
    emit(&e);
}

/* True when the same sentence was written a moment ago; it is counted instead. */
static bool is_repeat(enum log_level level, const char *event, const char *msg)
{
    usec now = clock_monotonic();
    uint64_t hash = map_hash(msg, strlen(msg), map_hash(event, strlen(event), 0));
    struct repeat *oldest = &state.repeats[0];

    for (int i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *r = &state.repeats[i];
        bool same = r->event[0] && r->hash == hash;
        if (r->event[0] && now - r->since >= REPEAT_WINDOW) {
            sum_up(r);
            r->event[0] = '\0';
            r->since = 0;
        } else if (same) {
            r->suppressed++;
            return true;
        }
        if (r->since < oldest->since)
            oldest = r;
    }
    sum_up(oldest);
    oldest->since = now;
    oldest->level = level;
    oldest->hash = hash;
    text_copy(oldest->event, sizeof oldest->event, event);
    text_copy(oldest->msg, sizeof oldest->msg, msg);
    return false;
}

void log_event(enum log_level level, const char *event, const char *msg, ...)
{
    struct event e = {.level = level, .name = event, .msg = msg};
    va_list args;

    if (!log_wants(level) || (level < LOG_EV_DEBUG && is_repeat(level, event, msg)))
        return;
    va_start(args, msg);
    for (const char *name; (name = va_arg(args, const char *)) != NULL;) {
        const char *value = va_arg(args, const char *);
        if (value && e.count < MAX_FIELDS)
            e.fields[e.count++] = (struct field){name, value};
    }
    va_end(args);
    emit(&e);
}
