/* Shared AWS files of any bytes: never a crash; an error says something and leaves nothing; values
 * are never empty and never span lines. The input is the credentials file, a line "%%", the config
 * file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const char *value)
{
    if (value && (!*value || strchr(value, '\n')))
        abort();
}

static void look_up(const struct profile_files *f, const char *profile)
{
    static const char *const keys[] = {"aws_access_key_id", "aws_secret_access_key", "region",
                                       "services", "role_arn"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = profile_get(f, profile, keys[i]);
        check_value(value);
        if (!value != !profile_origin(f, profile, keys[i]))
            abort();
        if (value && !profile_exists(f, profile))
            abort();
    }
    check_value(profile_service_get(f, profile, "dynamodb", "endpoint_url"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separator[] = "\n%%\n";
    const char *text = (const char *)data;
    const char *split = memmem(text, size, separator, sizeof separator - 1);
    size_t ncred = split ? (size_t)(split - text) : size;
    const char *config = split ? split + sizeof separator - 1 : text + size;
    struct profile_files *f = NULL;
    struct err err = {""};

    if (profile_files_parse(text, ncred, config, (size_t)(text + size - config), &f, &err) < 0) {
        if (f || !*err.text)
            abort();
        return 0;
    }
    look_up(f, "default");
    look_up(f, "dev");
    look_up(f, "a b");
    profile_files_free(f);
    return 0;
}
