/* Output for people: at most PAGE_COLUMNS wide where the content allows, coloured on request. Lines
 * are gathered in a buffer and written at once. Callers check buf_ok(&page->out) at the end. */
#ifndef SYNCD_CTL_PAGE_H
#define SYNCD_CTL_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "ctl/format.h"

#define PAGE_COLUMNS 80

enum tone { TONE_PLAIN, TONE_GOOD, TONE_MILD, TONE_BAD, TONE_DIM, TONE_STRONG };

struct page {
    struct buf out;
    bool colour;
    size_t column; /* where page_item() stands in its line */
    bool first;    /* the next item is the line's first */
};

void page_free(struct page *p);
#define _cleanup_page_ _cleanup_(page_free)

/* Text from inside this program, and text from outside, in a tone. */
void page_put(struct page *p, enum tone tone, const char *safe_text);
void page_put_safe(struct page *p, enum tone tone, const char *text);

/* A line of its own, made safe as a whole; longer than a sentence (struct err) it is cut. */
void page_line(struct page *p, enum tone tone, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "  source   a, b, c": items are joined by commas and wrapped under the first. An item wider than
 * the line is cut. page_end() ends the line, or says `nothing` when no item came. */
void page_label(struct page *p, const char *label);
void page_item(struct page *p, enum tone tone, enum format_cut cut, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void page_end(struct page *p, const char *nothing);

/* A paragraph wrapped at blanks, each line after the first indented; the line is `column` wide
 * already. */
void page_wrap(struct page *p, size_t column, size_t indent, const char *text);

/* A table: titles, then rows of cells, added from left to right. Empty text shows as "-". */
struct column {
    const char *title;
    bool right;
    size_t max; /* cut cells to this; 0: as wide as they are */
};

struct grid {
    const struct column *columns;
    size_t column_count;
    size_t limit; /* cut the first column when all are wider than this; 0: never */
    struct cell *cells;
    size_t count, room;
    bool failed;
};

void grid_free(struct grid *g);
#define _cleanup_grid_ _cleanup_(grid_free)
void grid_add(struct grid *g, enum tone tone, const char *text);
void grid_add_count(struct grid *g, enum tone tone, int64_t n);
/* A line of its own under the row just completed. */
void grid_note(struct grid *g, const char *text);
void grid_print(struct grid *g, struct page *p);

#endif
