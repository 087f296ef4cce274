#include "ctl/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define LABEL_COLUMNS 11 /* "  source   " */
#define GAP           2
#define MIN_COLUMN    6

struct cell {
    char *text; /* safe and cut */
    enum tone tone;
    char *note; /* with the row's last cell */
};

void page_free(struct page *p)
{
    buf_free(&p->out);
}

static void spaces(struct page *p, size_t n)
{
    while (n-- > 0)
        buf_putc(&p->out, ' ');
}

void page_put(struct page *p, enum tone tone, const char *safe_text)
{
    static const char *const codes[] = {
        [TONE_PLAIN] = "",       [TONE_GOOD] = "\033[32m", [TONE_MILD] = "\033[33m",
        [TONE_BAD] = "\033[31m", [TONE_DIM] = "\033[2m",   [TONE_STRONG] = "\033[1m"};
    bool coloured = p->colour && tone != TONE_PLAIN;

    if (coloured)
        buf_puts(&p->out, codes[tone]);
    buf_puts(&p->out, safe_text);
    if (coloured)
        buf_lit(&p->out, "\033[0m");
}

void page_put_safe(struct page *p, enum tone tone, const char *text)
{
    _cleanup_buf_ struct buf safe = {0};

    format_safe(&safe, text);
    if (safe.data)
        page_put(p, tone, safe.data);
    p->out.failed |= safe.failed;
}

void page_line(struct page *p, enum tone tone, const char *fmt, ...)
{
    struct err text;
    va_list args;

    va_start(args, fmt);
    err_setv(&text, 0, fmt, args);
    va_end(args);
    page_put_safe(p, tone, text.text);
    page_put(p, TONE_PLAIN, "\n");
}

void page_label(struct page *p, const char *label)
{
    size_t n = format_width(label);

    buf_lit(&p->out, "  ");
    page_put(p, TONE_DIM, label);
    spaces(p, n + 2 < LABEL_COLUMNS ? LABEL_COLUMNS - 2 - n : 1);
    p->column = LABEL_COLUMNS;
    p->first = true;
}

void page_item(struct page *p, enum tone tone, enum format_cut cut, const char *fmt, ...)
{
    _cleanup_buf_ struct buf safe = {0}, fitted = {0};
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        p->out.failed = true;
        return;
    }
    format_safe(&safe, text);
    free(text);
    format_cut(&fitted, safe.data ? safe.data : "", PAGE_COLUMNS - LABEL_COLUMNS - 1, cut);
    if (!buf_ok(&safe) || !buf_ok(&fitted)) {
        p->out.failed = true;
        return;
    }
    size_t width = format_width(fitted.data);
    bool fits = p->column + 2 + width + 1 <= PAGE_COLUMNS; /* with commas before and after */
    if (!p->first) {
        buf_puts(&p->out, fits ? ", " : ",\n");
        spaces(p, fits ? 0 : LABEL_COLUMNS);
        p->column = fits ? p->column + 2 : LABEL_COLUMNS;
    }
    p->first = false;
    page_put(p, tone, fitted.data);
    p->column += width;
}

void page_end(struct page *p, const char *nothing)
{
    if (p->first)
        page_put(p, TONE_DIM, nothing);
    buf_putc(&p->out, '\n');
}

void page_wrap(struct page *p, size_t column, size_t indent, const char *text)
{
    _cleanup_buf_ struct buf safe = {0};
    bool first = true;

    format_safe(&safe, text);
    p->out.failed |= safe.failed;
    for (const char *word = safe.data ? safe.data : ""; *word;) {
        size_t bytes = strcspn(word, " ");
        _cleanup_free_ char *one = strndup(word, bytes);
        if (!one) {
            p->out.failed = true;
            return;
        }
        size_t width = format_width(one);
        if (!first && column + 1 + width > PAGE_COLUMNS) {
            buf_putc(&p->out, '\n');
            spaces(p, indent);
            column = indent;
            first = true;
        }
        if (!first) {
            buf_putc(&p->out, ' ');
            column++;
        }
        if (column + width > PAGE_COLUMNS) { /* wider than any line: split it */
            bytes = format_fit(one, PAGE_COLUMNS - column);
            one[bytes] = '\0';
            width = PAGE_COLUMNS;
        }
        buf_puts(&p->out, one);
        column += width;
        first = false;
        word += bytes;
        word += strspn(word, " ");
    }
    buf_putc(&p->out, '\n');
}

void grid_free(struct grid *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->cells[i].text);
        free(g->cells[i].note);
    }
    free(g->cells);
    g->cells = NULL;
    g->count = g->room = 0;
}

void grid_add(struct grid *g, enum tone tone, const char *text)
{
    const struct column *column = &g->columns[g->count % g->column_count];
    _cleanup_buf_ struct buf safe = {0};
    struct buf fitted = {0};

    if (g->count == g->room) {
        size_t room = g->room ? g->room * 2 : 64;
        struct cell *cells = reallocarray(g->cells, room, sizeof *cells);
        if (!cells) {
            g->failed = true;
            return;
        }
        g->cells = cells;
        g->room = room;
    }
    format_safe(&safe, *text ? text : "-");
    format_cut(&fitted, safe.data ? safe.data : "", column->max ? column->max : SIZE_MAX, CUT_END);
    if (!buf_ok(&safe) || !buf_ok(&fitted)) {
        buf_free(&fitted);
        g->failed = true;
        return;
    }
    g->cells[g->count++] = (struct cell){.text = fitted.data, .tone = tone};
}

void grid_add_count(struct grid *g, enum tone tone, int64_t n)
{
    _cleanup_buf_ struct buf b = {0};

    format_count(&b, n);
    g->failed |= b.failed;
    grid_add(g, tone, b.data ? b.data : "");
}

void grid_note(struct grid *g, const char *text)
{
    if (!g->count || g->failed)
        return;
    char *copy = strdup(text);
    g->failed |= !copy;
    free(g->cells[g->count - 1].note);
    g->cells[g->count - 1].note = copy;
}

static void print_cell(struct page *p, const struct column *column, const char *text,
                       enum tone tone, size_t width, bool last)
{
    _cleanup_buf_ struct buf fitted = {0};

    format_cut(&fitted, text, width, CUT_END);
    p->out.failed |= fitted.failed;
    size_t pad = width - format_width(fitted.data ? fitted.data : "");
    if (column->right)
        spaces(p, pad);
    page_put(p, tone, fitted.data ? fitted.data : "");
    if (!last)
        spaces(p, (column->right ? 0 : pad) + GAP);
}

static void measure(const struct grid *g, size_t *widths)
{
    size_t n = g->column_count, total = (n - 1) * GAP;

    for (size_t i = 0; i < n; i++)
        widths[i] = format_width(g->columns[i].title);
    for (size_t i = 0; i < g->count; i++) {
        size_t width = format_width(g->cells[i].text);
        if (width > widths[i % n])
            widths[i % n] = width;
    }
    for (size_t i = 0; i < n; i++)
        total += widths[i];
    if (!g->limit || total <= g->limit)
        return;
    size_t excess = total - g->limit;
    widths[0] = widths[0] > excess + MIN_COLUMN ? widths[0] - excess : MIN_COLUMN;
}

void grid_print(struct grid *g, struct page *p)
{
    size_t n = g->column_count;
    _cleanup_free_ size_t *widths = calloc(n, sizeof *widths);

    if (!widths || g->failed) {
        p->out.failed = true;
        return;
    }
    measure(g, widths);
    for (size_t i = 0; i < n; i++)
        print_cell(p, &g->columns[i], g->columns[i].title, TONE_DIM, widths[i], i + 1 == n);
    for (size_t i = 0; i < g->count; i++) {
        const struct cell *cell = &g->cells[i];
        if (i % n == 0)
            buf_putc(&p->out, '\n');
        print_cell(p, &g->columns[i % n], cell->text, cell->tone, widths[i % n], (i + 1) % n == 0);
        if (cell->note) {
            buf_lit(&p->out, "\n    ");
            page_put_safe(p, TONE_DIM, cell->note);
        }
    }
    buf_putc(&p->out, '\n');
}
