/* A command line taken apart as a POSIX shell would (IEEE Std 1003.1, "Quoting"): blanks separate
 * words, '...' is literal, "..." lets a backslash escape $ ` " \ only, a backslash elsewhere
 * escapes the next character. Nothing is expanded and no shell is run. Pure. */
#ifndef SYNCD_AWS_SHELL_WORDS_H
#define SYNCD_AWS_SHELL_WORDS_H

#include <stddef.h>

struct shell_words {
    char **words; /* NULL at the end; NULL when there are none */
    size_t count;
};

/* 0, -EINVAL (a quotation without end, or more than 256 words) or -ENOMEM; *out is untouched then.
 */
int shell_words_split(const char *text, struct shell_words *out);
void shell_words_free(struct shell_words *w);

#endif
