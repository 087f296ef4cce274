#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/events.h"
#include "base/map.h"
#include "base/text.h"

enum { MAX_FIELDS = 12, REPEAT_SLOTS = 16, RATE_SLOTS = 16, RATE_BURST = 50, SHORT_MSG = 400 };
#define WINDOW (10 * USEC_PER_SEC)

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

/* How often an event came within a window, whatever it said. */
struct rate {
    char event[32]; /* "": free */
    usec since;
    unsigned count;
    unsigned long left_out;
    enum log_level level;
};

static struct {
    enum log_level level;
    enum log_format format;
    log_journal_fn *journal;
    struct repeat repeats[REPEAT_SLOTS];
    struct rate rates[RATE_SLOTS];
    unsigned long lost; /* lines that the reader of stderr did not take */
} state = {.level = LOG_EV_INFO, .format = LOG_TEXT};

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int syslog_levels[] = {3, 4, 6, 7};

static const struct {
    const char *event, *id;
} message_ids[] = {
#define ID_OF(event, id, text) {event, id},
    LOG_EVENTS(ID_OF)
#undef ID_OF
};

static const char *message_id(const char *event)
{
    for (size_t i = 0; i < sizeof message_ids / sizeof *message_ids; i++)
        if (strcmp(message_ids[i].event, event) == 0)
            return message_ids[i].id;
    return NULL;
}

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

const char *log_time(void)
{
    static char text[40];
    usec now = clock_wall();
    time_t seconds = (time_t)(now / USEC_PER_SEC);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now % USEC_PER_SEC / 1000));
    return text;
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
        buf_puts(out, log_time());
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
    buf_puts(out, log_time());
    buf_lit(out, "\",");
    append_json_pair(out, "level", level_names[e->level]);
    buf_putc(out, ',');
    append_json_pair(out, "event", e->name);
    buf_putc(out, ',');
    if (message_id(e->name)) {
        append_json_pair(out, "message_id", message_id(e->name));
        buf_putc(out, ',');
    }
    append_json_pair(out, "msg", e->msg);
    for (int i = 0; i < e->count; i++) {
        buf_putc(out, ',');
        append_json_pair(out, e->fields[i].name, e->fields[i].value);
    }
    buf_lit(out, "}\n");
}

static bool send_journal(const struct event *e)
{
    struct buf store[MAX_FIELDS + 4] = {0};
    const char *fields[MAX_FIELDS + 4];
    int n = 0;

    buf_printf(&store[n++], "MESSAGE=%s", e->msg);
    buf_printf(&store[n++], "PRIORITY=%d", syslog_levels[e->level]);
    buf_printf(&store[n++], "SYNCD_EVENT=%s", e->name);
    if (message_id(e->name))
        buf_printf(&store[n++], "MESSAGE_ID=%s", message_id(e->name));
    for (int i = 0; i < e->count; i++) {
        buf_lit(&store[n], "SYNCD_");
        append_upper(&store[n], e->fields[i].name);
        buf_printf(&store[n++], "=%s", e->fields[i].value);
    }
    for (int i = 0; i < n; i++)
        fields[i] = store[i].data ? store[i].data : "MESSAGE=out of memory";
    bool taken = state.journal(fields, n);
    for (int i = 0; i < n; i++)
        buf_free(&store[i]);
    return taken;
}

/* A reader of stderr that does not read must not stop the mirror: what cannot be written at once is
 * lost, and counted. A pipe that is ready takes PIPE_BUF bytes without blocking (pipe(7)). */
static bool put(const struct buf *line)
{
    ssize_t n = send(STDERR_FILENO, line->data, line->len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno == ENOTSOCK) {
        struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT)
            n = write(STDERR_FILENO, line->data, line->len);
    }
    return n >= 0;
}

static void format(struct buf *out, const struct event *e)
{
    if (state.format == LOG_JSON)
        format_json(out, e);
    else
        format_text(out, e);
}

static bool deliver(const struct event *e)
{
    _cleanup_buf_ struct buf out = {0};

    if (state.format == LOG_JOURNAL && state.journal)
        return send_journal(e);
    format(&out, e);
    if (out.len > PIPE_BUF) {
        char msg[SHORT_MSG];
        text_copy(msg, sizeof msg, e->msg);
        struct event brief = {.level = e->level, .name = e->name, .msg = msg};
        buf_clear(&out);
        format(&out, &brief);
    }
    return buf_ok(&out) && put(&out);
}

static void tell_lost(void)
{
    char msg[80], count[24];
    struct event e = {.level = LOG_EV_WARNING, .name = "log_lost", .msg = msg, .count = 1};

    if (!state.lost)
        return;
    snprintf(count, sizeof count, "%lu", state.lost);
    snprintf(msg, sizeof msg, "%s line%s of this log could not be written", count,
             state.lost == 1 ? "" : "s");
    e.fields[0] = (struct field){"lost", count};
    if (deliver(&e))
        state.lost = 0;
}

static void emit(const struct event *e)
{
    tell_lost();
    if (!deliver(e))
        state.lost++;
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
        if (r->event[0] && now - r->since >= WINDOW) {
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

static void sum_up_rate(struct rate *r)
{
    struct event e = {.level = r->level, .name = r->event, .count = 1};
    char msg[128], count[24];

    if (r->left_out) {
        snprintf(count, sizeof count, "%lu", r->left_out);
        snprintf(msg, sizeof msg, "%s more of %s within ten seconds were left out", count,
                 r->event);
        e.msg = msg;
        e.fields[0] = (struct field){"left_out", count};
        emit(&e);
    }
    *r = (struct rate){0};
}

/* True when the event has come too often within its window; it is counted instead. */
static bool is_flood(enum log_level level, const char *event)
{
    usec now = clock_monotonic();
    struct rate *mine = NULL, *oldest = &state.rates[0];

    for (int i = 0; i < RATE_SLOTS; i++) {
        struct rate *r = &state.rates[i];
        if (r->event[0] && now - r->since >= WINDOW)
            sum_up_rate(r);
        if (strncmp(r->event, event, sizeof r->event - 1) == 0)
            mine = r;
        if (r->since < oldest->since)
            oldest = r;
    }
    if (!mine) {
        mine = oldest;
        sum_up_rate(mine);
        mine->since = now;
        text_copy(mine->event, sizeof mine->event, event);
    }
    mine->level = level;
    if (mine->count++ < RATE_BURST)
        return false;
    mine->left_out++;
    return true;
}

void log_tick(void)
{
    usec now = clock_monotonic();

    for (int i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *r = &state.repeats[i];
        if (r->event[0] && now - r->since >= WINDOW) {
            sum_up(r);
            r->event[0] = '\0';
            r->since = 0;
        }
    }
    for (int i = 0; i < RATE_SLOTS; i++)
        if (state.rates[i].event[0] && now - state.rates[i].since >= WINDOW)
            sum_up_rate(&state.rates[i]);
}

void log_flush(void)
{
    for (int i = 0; i < REPEAT_SLOTS; i++)
        sum_up(&state.repeats[i]);
    for (int i = 0; i < RATE_SLOTS; i++)
        sum_up_rate(&state.rates[i]);
}

void log_raw(const char *name, const char *line)
{
    _cleanup_buf_ struct buf out = {0};
    struct event e = {.level = LOG_EV_INFO, .name = name, .msg = line};

    if (state.format == LOG_JOURNAL && state.journal) {
        emit(&e);
        return;
    }
    tell_lost();
    buf_printf(&out, "%s\n", line);
    if (!buf_ok(&out) || !put(&out))
        state.lost++;
}

void log_event(enum log_level level, const char *event, const char *msg, ...)
{
    struct event e = {.level = level, .name = event, .msg = msg};
    va_list args;

    if (!log_wants(level) ||
        (level < LOG_EV_DEBUG && (is_repeat(level, event, msg) || is_flood(level, event))))
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
