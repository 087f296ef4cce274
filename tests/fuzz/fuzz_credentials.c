/* What credential sources answer, of any bytes: never a crash; what is taken is fit for headers and
 * has an end in sight of people; an error says something, never a secret, and leaves nothing. The
 * first byte chooses the reader: a form of credentials, a time, or a command line. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_json.h"
#include "aws/shell_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, int required)
{
    if (!text || !*text) {
        if (required)
            abort();
        return;
    }
    for (; *text; text++)
        if (!isgraph((unsigned char)*text))
            abort();
}

static void check_printable(const char *text)
{
    for (; *text; text++)
        if (!isprint((unsigned char)*text))
            abort();
}

static void read_credentials(enum credentials_form form, const char *text, size_t n)
{
    struct credentials c = {0};
    struct credentials_complaint said;
    struct err err = {""};

    credentials_json_complaint(text, n, &said);
    check_printable(said.code);
    check_printable(said.message);
    if (credentials_json(form, text, n, "here", &c, &err) < 0) {
        if (c.access_key_id || c.secret_access_key || !*err.text)
            abort();
        check_printable(err.text);
        return;
    }
    check_text(c.access_key_id, 1);
    check_text(c.secret_access_key, 1);
    check_text(c.session_token, form != CREDENTIALS_PROCESS);
    if (c.expires < 0 || c.expires > INT64_C(253402300799))
        abort();
    if (!c.expires && (form == CREDENTIALS_IMDS || form == CREDENTIALS_STS))
        abort();
    credentials_clear(&c);
}

/* A time that is read and written is the same when read again. */
static void read_time(const char *text)
{
    int64_t first, again;
    char written[21];

    if (credentials_parse_time(text, &first) < 0)
        return;
    credentials_format_time(first, written);
    if (credentials_parse_time(written, &again) < 0 || again != first)
        abort();
}

static void read_words(const char *text)
{
    struct shell_words w = {0};
    size_t total = 0;

    if (shell_words_split(text, &w) < 0) {
        if (w.words || w.count)
            abort();
        return;
    }
    for (size_t i = 0; i < w.count; i++)
        total += strlen(w.words[i]);
    if (total > strlen(text) || (w.count && w.words[w.count]))
        abort();
    shell_words_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    credentials_json_wipe();
    if (!size)
        return 0;
    char *text = strndup((const char *)data + 1, size - 1);

    if (!text)
        return 0;
    switch (data[0] % 6) {
    case 4:
        read_time(text);
        break;
    case 5:
        read_words(text);
        break;
    default:
        read_credentials((enum credentials_form)(data[0] % 6), (const char *)data + 1, size - 1);
    }
    free(text);
    return 0;
}
