#include "config/option_checks.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/clock.h"
#include "config/listen.h"
#include "config/quantity.h"
#include "config/shown.h"
#include "export/convert.h"
#include "export/pattern.h"
#include "mapping/convert.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

enum { TARGET_MIN = 3, TARGET_MAX = 255, NAMESPACE_MAX = 255 };

int option_check_path(const char *value, struct err *err)
{
    struct shown text;

    if (*value != '/')
        return err_set(err, -EINVAL, "\"%s\" is not an absolute path; begin it with /",
                       shown(&text, value));
    return 0;
}

int option_check_socket(const char *value, struct err *err)
{
    size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

    if (strlen(value) > room)
        return err_set(
            err, -EINVAL,
            "the path of a socket holds at most %zu bytes, and this one has %zu; choose a "
            "shorter one",
            room, strlen(value));
    return option_check_path(value, err);
}

int option_check_listen(const char *value, struct err *err)
{
    struct sockaddr_storage addr;
    socklen_t len;

    return listen_parse(value, &addr, &len, err);
}

int option_check_namespace(const char *value, struct err *err)
{
    size_t n = strlen(value);
    struct shown text;

    if (n < 1 || n > NAMESPACE_MAX || strspn(value, NAME_CHARACTERS "/#") != n ||
        strncmp(value, "AWS/", 4) == 0)
        return err_set(err, -EINVAL,
                       "\"%s\" is not a CloudWatch namespace of one's own (1 to 255 of A-Z a-z 0-9 "
                       "_ . - / #, not AWS/...)",
                       shown(&text, value));
    return 0;
}

/* Length of the placeholder at `p`, or 0. */
static size_t placeholder(const char *p)
{
    static const char *const known[] = {"{table}", "{Table}", "{table-kebab}"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(p, known[i], strlen(known[i])) == 0)
            return strlen(known[i]);
    return 0;
}

int option_check_table_name(const char *value, struct err *err)
{
    size_t placeholders = 0;
    struct shown text;

    for (const char *p = value; *p;) {
        size_t n = placeholder(p);
        placeholders += n != 0;
        n = n ? n : strspn(p, NAME_CHARACTERS);
        if (!n && *p == '{')
            return err_set(err, -EINVAL,
                           "\"%s\" has a { that begins none of {table}, {Table} and {table-kebab}",
                           shown(&text, value));
        if (!n)
            return err_set(err, -EINVAL,
                           "\"%s\" holds a character that DynamoDB refuses in a table's name (use "
                           "A-Z a-z 0-9 _ . -)",
                           shown(&text, value));
        p += n;
    }
    if (!placeholders)
        return err_set(err, -EINVAL,
                       "\"%s\" would give every table the same name; put {table}, {Table} or "
                       "{table-kebab} into it",
                       shown(&text, value));
    return 0;
}

int option_check_price(const char *value, struct err *err)
{
    size_t whole = strspn(value, "0123456789"), fraction = 0;
    struct shown text;

    if (value[whole] == '.')
        fraction = strspn(value + whole + 1, "0123456789") + 1;
    if (whole == 0 || whole > 9 || fraction == 1 || fraction > 12 || value[whole + fraction])
        return err_set(err, -EINVAL, "\"%s\" is not a price such as 0.625", shown(&text, value));
    return 0;
}

int option_check_target(const char *value, struct err *err)
{
    size_t n = strlen(value);
    struct shown text;

    if (n < TARGET_MIN || n > TARGET_MAX || strspn(value, NAME_CHARACTERS) != n)
        return err_set(err, -EINVAL,
                       "\"%s\" is not a DynamoDB table name (3 to 255 of A-Z a-z 0-9 _ . -)",
                       shown(&text, value));
    return 0;
}

/* AWS counts characters, not bytes. */
static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

int option_check_tag(const char *name, const char *value, struct err *err)
{
    enum { KEY_MAX = 128, VALUE_MAX = 256 };

    if (characters(name) > KEY_MAX || characters(value) > VALUE_MAX)
        return err_set(err, -EINVAL,
                       "a tag has a name of up to %d and a value of up to %d characters", KEY_MAX,
                       VALUE_MAX);
    if (strncasecmp(name, "aws:", 4) == 0)
        return err_set(err, -EINVAL,
                       "names of tags that begin with aws: are AWS's own; choose another");
    return 0;
}

int option_check_index(const char *name, const char *value, struct err *err)
{
    size_t n = strlen(name);
    struct shown text;

    (void)value;
    if (n < TARGET_MIN || n > TARGET_MAX || strspn(name, NAME_CHARACTERS) != n)
        return err_set(err, -EINVAL,
                       "\"%s\" is not a name for an index (3 to 255 of A-Z a-z 0-9 _ . -)",
                       shown(&text, name));
    return 0;
}

int option_check_table_column(const char *value, struct err *err)
{
    const char *dot = strchr(value, '.');
    struct shown text;

    if (!dot || dot == value || !dot[1])
        return err_set(err, -EINVAL,
                       "\"%s\" is not TABLE.COLUMN (for a column of every table write *.COLUMN)",
                       shown(&text, value));
    return 0;
}

#define CANARY_LEAST (3 * USEC_PER_SEC)

int option_check_canary(const char *value, struct err *err)
{
    usec span;

    if (quantity_duration(value, &span) == 0 && span > 0 && span < CANARY_LEAST)
        return err_set(err, -EINVAL,
                       "a canary every third of so short a time says nothing; give it 3s or more, "
                       "60s as a rule, or 0s for none");
    return 0;
}

static bool loopback(const char *host, size_t n)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == n && strncmp(names[i], host, n) == 0)
            return true;
    return false;
}

int option_check_heartbeat(const char *value, struct err *err)
{
    bool tls = strncmp(value, "https://", 8) == 0;
    const char *rest = tls ? value + 8 : strncmp(value, "http://", 7) == 0 ? value + 7 : NULL;
    size_t n = rest ? strcspn(rest, "/?#") : 0;

    /* What is wrong is said without the value: such a URL is as good as a password. */
    if (!rest || n == 0)
        return err_set(err, -EINVAL, "it is no URL that begins with https:// and a host");
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return err_set(err, -EINVAL,
                           "it holds a character that no URL may hold as it is; "
                           "write it as %%XX");
    if (memchr(rest, '@', n))
        return err_set(err, -EINVAL, "it holds a user or password; leave them out");
    size_t host = *rest == '[' ? strcspn(rest, "]") + 1 : strcspn(rest, ":/?#");
    if (!tls && !loopback(rest, host < n ? host : n))
        return err_set(err, -EINVAL,
                       "plain http would tell everybody on the way; use https (http is for this "
                       "machine alone: localhost, 127.0.0.1, [::1])");
    return 0;
}

int option_check_source_id(const char *value, struct err *err)
{
    enum { LONGEST = 64 };
    size_t n = strlen(value);
    struct shown text;

    if (n > LONGEST || strspn(value, NAME_CHARACTERS) != n)
        return err_set(err, -EINVAL, "\"%s\" is not an id (1 to %d letters, digits, _ . and -)",
                       shown(&text, value), LONGEST);
    return 0;
}

int option_check_convert(const char *value, struct err *err)
{
    struct conversion c;
    int rc = conversion_parse(value, &c, err);

    if (rc == 0)
        conversion_clear(&c);
    return rc;
}

int option_check_match(const char *attribute, const char *pattern, struct err *err)
{
    struct pattern p;
    int rc = pattern_parse(pattern, &p, err);

    (void)attribute;
    if (rc == 0)
        pattern_clear(&p);
    return rc;
}

int option_check_column(const char *column, const char *text, struct err *err)
{
    struct export_column c;
    int rc = export_column_parse(column, text, &c, err);

    if (rc < 0)
        return rc;
    rc = export_fallback_check(&c, err);
    export_column_clear(&c);
    return rc;
}
