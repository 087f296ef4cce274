#include "aws/shell_words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

enum { MAX_WORDS = 256 };

void shell_words_free(struct shell_words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->words[i]);
    free(w->words);
    *w = (struct shell_words){0};
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What follows a backslash at *p; within double quotes it escapes only some. */
static int take_escaped(const char **p, bool quoted, struct buf *word)
{
    char next = *++*p;

    if (!next)
        return -EINVAL;
    if (quoted && !strchr("$`\"\\", next))
        buf_putc(word, '\\');
    buf_putc(word, next);
    return 0;
}

/* From the opening quote at *p to the closing one. */
static int take_quoted(const char **p, struct buf *word)
{
    char quote = **p;

    while (*++*p != quote) {
        int r = 0;
        if (!**p)
            return -EINVAL;
        if (**p == '\\' && quote == '"')
            r = take_escaped(p, true, word);
        else
            buf_putc(word, **p);
        if (r < 0)
            return r;
    }
    return 0;
}

static int take_word(const char **p, struct buf *word)
{
    for (; **p && !blank(**p); ++*p) {
        int r = 0;
        if (**p == '\'' || **p == '"')
            r = take_quoted(p, word);
        else if (**p == '\\')
            r = take_escaped(p, false, word);
        else
            buf_putc(word, **p);
        if (r < 0)
            return r;
    }
    return buf_ok(word) ? 0 : -ENOMEM;
}

static int add_word(struct shell_words *w, const struct buf *word)
{
    if (w->count == MAX_WORDS)
        return -EINVAL;
    char **more = realloc(w->words, (w->count + 2) * sizeof *more);
    if (!more)
        return -ENOMEM;
    w->words = more;
    more[w->count] = strdup(word->data ? word->data : "");
    if (!more[w->count])
        return -ENOMEM;
    more[++w->count] = NULL;
    return 0;
}

int shell_words_split(const char *text, struct shell_words *out)
{
    _cleanup_(shell_words_free) struct shell_words w = {0};
    _cleanup_buf_ struct buf word = {0};

    for (const char *p = text;;) {
        while (blank(*p))
            p++;
        if (!*p)
            break;
        buf_clear(&word);
        int r = take_word(&p, &word);
        if (r == 0)
            r = add_word(&w, &word);
        if (r < 0)
            return r;
    }
    *out = w;
    w = (struct shell_words){0};
    return 0;
}
