/* How far a long job is, on stderr, so that what a command prints can be piped meanwhile.
 *
 * On a terminal one line, redrawn at most ten times a second and cleared at the end; elsewhere a
 * plain line every few seconds; nothing with --quiet or --json. Rates and the time that is left are
 * those of the last seconds, not of the whole job: a throttle shows as soon as it bites. */
#ifndef SYNCD_CTL_BAR_H
#define SYNCD_CTL_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

struct ctl;

enum bar_kind { BAR_SILENT, BAR_TERMINAL, BAR_LINES };

enum { BAR_SAMPLES = 16 };

struct bar_sample {
    usec at;
    int64_t done;
    double units;
};

struct bar {
    enum bar_kind kind;
    const char *label;  /* "load"; stays the caller's, as the next two */
    const char *things; /* what is counted: "rows", "items" */
    const char *units;  /* "write units", "read units"; NULL: not told */
    int64_t total;      /* 0: not known */
    int64_t done;
    double unit_sum;
    usec began, drawn;                      /* monotonic; 0: not yet */
    struct bar_sample samples[BAR_SAMPLES]; /* a ring, a second apart at least */
    unsigned sample_count, sample_next;
    bool open; /* a line stands on the terminal that is not ended */
};

struct bar bar_make(const struct ctl *ctl, const char *label, const char *things, const char *units,
                    int64_t total);
/* `done` of `total` so far and the capacity units they took, both since the start; never less than
 * before. `now` is monotonic. Cheap: draws when it is time to. */
void bar_update(struct bar *b, int64_t done, double units, usec now);
/* Away with the line on a terminal. Elsewhere a last line, unless none was printed before. To be
 * called before anything else is printed; bar_update() may begin again. */
void bar_end(struct bar *b);

/* The line itself, at most `columns` wide for BAR_TERMINAL: what matters less goes first. */
void bar_text(const struct bar *b, size_t columns, usec now, struct buf *out);

/* Ask on the terminal, and have "y" or "yes" typed. With `yes` (the command's --yes) nothing is
 * asked. False: *exit_code is set (CTL_FAILURES when the answer was another, CTL_USAGE when stdin
 * is no terminal) and the sentence printed; nothing was done. The question is without "?". */
bool ctl_confirm(const struct ctl *ctl, bool yes, int *exit_code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* As above, but `word` itself (a table's name) must be typed. */
bool ctl_confirm_word(const struct ctl *ctl, bool yes, int *exit_code, const char *word,
                      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
