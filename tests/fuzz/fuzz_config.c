/* Configuration and environment files of any bytes: never a crash, an error always says something,
 * and what was read is the same when it is printed and read again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_read.h"
#include "config/envfile.h"
#include "config/lists.h"

#include "../unit/printed_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int lookup(void *arg, const char *name, const char **value, struct err *err)
{
    (void)arg;
    if (name[0] == 'X')
        return err_set(err, -1, "${%s} is not set", name);
    *value = name[0] == 'L' ? "a, b,,c" : name;
    return 0;
}

static void round_trip(const struct config *c)
{
    _cleanup_buf_ struct buf text = {0};
    struct config *again = NULL;
    struct err err;

    printed_as_ini(c, &text);
    if (config_parse_memory("printed", text.data, text.len, lookup, NULL, &again, &err) < 0) {
        fprintf(stderr, "%s\n%s", err.text, text.data);
        abort();
    }
    if (config_diff(c, again, NULL, NULL) != 0)
        abort();
    config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {.text = ""};
    struct config *c = NULL;
    struct pairlist environment = {0};

    if (config_parse_memory("f", data, size, lookup, NULL, &c, &err) == 0) {
        round_trip(c);
        config_covers_table(c, "users");
        config_excludes_column(c, "users", "password");
        config_free(c);
    } else if (c || !*err.text) {
        abort();
    }

    err.text[0] = '\0';
    if (envfile_parse("f", (const char *)data, size, &environment, &err) < 0 && !*err.text)
        abort();
    pairlist_clear(&environment);
    return 0;
}
