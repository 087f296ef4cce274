#include "journal_send.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"

/* Of the process: journald knows the sender by the kernel's word, not by a connection. */
static int sender(void)
{
    static int fd = -1;

    if (fd < 0)
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd;
}

/* A value of several lines goes with its length before it. */
static void append_field(struct buf *out, const char *field)
{
    const char *value = strchr(field, '=');

    if (!value)
        return;
    if (!strchr(value, '\n')) {
        buf_puts(out, field);
    } else {
        uint64_t n = htole64(strlen(++value));
        buf_append(out, field, (size_t)(value - 1 - field));
        buf_putc(out, '\n');
        buf_append(out, &n, sizeof n);
        buf_puts(out, value);
    }
    buf_putc(out, '\n');
}

int journal_send(const char *path, const char *const *fields, int n)
{
    _cleanup_buf_ struct buf entry = {0};
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof to.sun_path)
        return -ENAMETOOLONG;
    memcpy(to.sun_path, path, strlen(path) + 1);
    append_field(&entry, "SYSLOG_IDENTIFIER=syncd");
    for (int i = 0; i < n; i++)
        append_field(&entry, fields[i]);
    if (!buf_ok(&entry))
        return -ENOMEM;
    if (sender() < 0 || sendto(sender(), entry.data, entry.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                               (const struct sockaddr *)&to, sizeof to) < 0)
        return -errno;
    return 0;
}
