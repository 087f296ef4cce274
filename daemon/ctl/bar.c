#include "ctl/bar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define DRAW_EVERY  (USEC_PER_SEC / 10)
#define LINE_EVERY  (5 * USEC_PER_SEC)
#define SAMPLE_STEP USEC_PER_SEC
#define SHORTEST    (USEC_PER_SEC / 5) /* to judge a rate by */
enum { BAR_CELLS = 20, MIN_COLUMNS = 20 };

struct bar bar_make(const struct ctl *ctl, const char *label, const char *things, const char *units,
                    int64_t total)
{
    const char *term = getenv("TERM");
    bool terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);

    return (struct bar){.kind = ctl->quiet || ctl->json ? BAR_SILENT
                                : terminal              ? BAR_TERMINAL
                                                        : BAR_LINES,
                        .label = label,
                        .things = things,
                        .units = units,
                        .total = total};
}

/* --- the text --------------------------------------------------------------------------------- */

static const struct bar_sample *oldest(const struct bar *b)
{
    unsigned first = b->sample_count < BAR_SAMPLES ? 0 : b->sample_next;

    return b->sample_count ? &b->samples[first] : NULL;
}

/* A second, by the samples that are kept; NaN before there is anything to judge by. */
static double rate(const struct bar *b, usec now, bool units)
{
    const struct bar_sample *s = oldest(b);

    if (!s || now - s->at < SHORTEST)
        return (double)NAN;
    double seconds = (double)(now - s->at) / (double)USEC_PER_SEC;
    return (units ? b->unit_sum - s->units : (double)(b->done - s->done)) / seconds;
}

static double share(const struct bar *b)
{
    if (b->total <= 0)
        return (double)NAN;
    return b->done >= b->total ? 1 : (double)b->done / (double)b->total;
}

static void put_rate(struct buf *out, double per_second, const char *things)
{
    if (per_second >= 0 && per_second < 10)
        buf_printf(out, "%.1f", per_second);
    else
        format_count(out, per_second < 9e15 ? (int64_t)llround(per_second) : INT64_MAX);
    buf_printf(out, " %s/s", things);
}

enum part { PART_COUNT, PART_RATE, PART_UNITS, PART_LEFT, PARTS };

static void put_part(const struct bar *b, enum part part, usec now, struct buf *out)
{
    double things = rate(b, now, false), units = rate(b, now, true);

    switch (part) {
    case PART_COUNT:
        format_count(out, b->done);
        if (b->total > 0) {
            buf_lit(out, " of ");
            format_count(out, b->total);
        }
        buf_printf(out, " %s", b->things);
        break;
    case PART_RATE:
        if (!isnan(things))
            put_rate(out, things, b->things);
        break;
    case PART_UNITS:
        if (b->units && !isnan(units))
            put_rate(out, units, b->units);
        break;
    case PART_LEFT:
        if (b->total > b->done && things > 0) {
            format_span(out, fmax(1, (double)(b->total - b->done) / things));
            buf_lit(out, " left");
        }
        break;
    case PARTS:
        break;
    }
}

static void put_cells(struct buf *out, double done)
{
    unsigned full = (unsigned)(done * BAR_CELLS);

    buf_putc(out, '[');
    for (unsigned i = 0; i < BAR_CELLS; i++)
        buf_putc(out, i < full ? '#' : '.');
    buf_lit(out, "] ");
}

/* Whole per cents, never 100 before the end. */
static void put_percent(struct buf *out, double done)
{
    buf_printf(out, "%3u%%", (unsigned)(done * 100));
}

static void terminal_text(const struct bar *b, size_t columns, usec now, struct buf *out)
{
    double done = share(b);

    buf_puts(out, b->label);
    if (!isnan(done)) {
        buf_putc(out, ' ');
        if (columns >= 60)
            put_cells(out, done);
        put_percent(out, done);
    }
    for (enum part part = 0; part < PARTS; part++) {
        _cleanup_buf_ struct buf one = {0};
        put_part(b, part, now, &one);
        if (!one.len || !buf_ok(out) ||
            format_width(out->data) + 2 + format_width(one.data) > columns)
            continue;
        buf_lit(out, "  ");
        buf_append(out, one.data, one.len);
    }
}

static void line_text(const struct bar *b, usec now, struct buf *out)
{
    double done = share(b);

    buf_printf(out, "%s: ", b->label);
    for (enum part part = 0; part < PARTS; part++) {
        _cleanup_buf_ struct buf one = {0};
        put_part(b, part, now, &one);
        if (!one.len)
            continue;
        if (part != PART_COUNT)
            buf_lit(out, ", ");
        buf_append(out, one.data, one.len);
        if (part == PART_COUNT && !isnan(done))
            buf_printf(out, " (%u%%)", (unsigned)(done * 100));
    }
}

void bar_text(const struct bar *b, size_t columns, usec now, struct buf *out)
{
    if (b->kind == BAR_TERMINAL)
        terminal_text(b, columns, now, out);
    else
        line_text(b, now, out);
}

/* --- drawing ---------------------------------------------------------------------------------- */

static size_t terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < MIN_COLUMNS)
        return 80;
    return size.ws_col - 1u; /* the last column makes some terminals begin a new line */
}

static void draw(struct bar *b, usec now)
{
    _cleanup_buf_ struct buf text = {0};

    bar_text(b, b->kind == BAR_TERMINAL ? terminal_columns() : 0, now, &text);
    if (!buf_ok(&text))
        return;
    b->drawn = now;
    if (b->kind == BAR_TERMINAL)
        fprintf(stderr, "\r%s\033[K", text.data);
    else
        fprintf(stderr, "%s\n", text.data);
    b->open = b->kind == BAR_TERMINAL;
    fflush(stderr);
}

static void keep_sample(struct bar *b, usec now)
{
    unsigned last = (b->sample_next + BAR_SAMPLES - 1) % BAR_SAMPLES;

    if (b->sample_count && now - b->samples[last].at < SAMPLE_STEP)
        return;
    b->samples[b->sample_next] = (struct bar_sample){now, b->done, b->unit_sum};
    b->sample_next = (b->sample_next + 1) % BAR_SAMPLES;
    if (b->sample_count < BAR_SAMPLES)
        b->sample_count++;
}

void bar_update(struct bar *b, int64_t done, double units, usec now)
{
    usec every = b->kind == BAR_TERMINAL ? DRAW_EVERY : LINE_EVERY;

    b->done = done;
    b->unit_sum = units;
    if (!b->began)
        b->began = now;
    keep_sample(b, now);
    if (b->kind != BAR_SILENT && now - (b->drawn ? b->drawn : b->began) >= every)
        draw(b, now);
}

void bar_end(struct bar *b)
{
    if (b->kind == BAR_LINES && b->drawn)
        draw(b, clock_monotonic());
    if (b->open)
        fputs("\r\033[K", stderr);
    b->open = false;
    b->drawn = 0;
}

/* --- questions -------------------------------------------------------------------------------- */

__attribute__((format(printf, 5, 0))) static bool ask(const struct ctl *ctl, bool yes,
                                                      int *exit_code, const char *word,
                                                      const char *fmt, va_list args)
{
    _cleanup_free_ char *question = NULL;
    _cleanup_free_ char *line = NULL;
    _cleanup_buf_ struct buf safe = {0};
    size_t room = 0;

    if (yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        *exit_code = ctl_usage(ctl, "%s asks before it begins, and stdin is no terminal: say --yes",
                               ctl->command->name);
        return false;
    }
    if (vasprintf(&question, fmt, args) < 0)
        question = NULL;
    format_safe(&safe, question ? question : "");
    fprintf(stderr, "%s %s", safe.data ? safe.data : "", word ? "" : "[y/N]? ");
    fflush(stderr);
    ssize_t n = getline(&line, &room, stdin);
    while (n > 0 && strchr("\r\n \t", line[n - 1]))
        line[--n] = '\0';
    if (n > 0 && (word ? strcmp(line, word) == 0
                       : strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0))
        return true;
    fprintf(stderr, "%ssyncctl: nothing was done\n", n < 0 ? "\n" : "");
    *exit_code = CTL_FAILURES;
    return false;
}

bool ctl_confirm(const struct ctl *ctl, bool yes, int *exit_code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    bool agreed = ask(ctl, yes, exit_code, NULL, fmt, args);
    va_end(args);
    return agreed;
}

bool ctl_confirm_word(const struct ctl *ctl, bool yes, int *exit_code, const char *word,
                      const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    bool agreed = ask(ctl, yes, exit_code, word, fmt, args);
    va_end(args);
    return agreed;
}
