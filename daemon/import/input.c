#include "import/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"

enum { ROOM = 64 * 1024, ANY_WINDOW_GZIP = 15 + 16 };

struct input {
    int fd;
    int64_t position, size;
    bool packed, end;
    bool member; /* within gzip data that has not ended */
    z_stream z;
    size_t start, len; /* bytes[start, len) were read and not used */
    unsigned char bytes[ROOM];
};

static int read_more(struct input *in, struct err *err)
{
    ssize_t n;

    do
        n = read(in->fd, in->bytes, sizeof in->bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, -EIO, "it cannot be read: %s", strerror(errno));
    in->start = 0;
    in->len = (size_t)n;
    in->position += n;
    in->end = n == 0;
    return 0;
}

static int open_file(const char *path, struct input *in, struct err *err)
{
    struct stat st;

    in->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0 || fstat(in->fd, &st) < 0)
        return err_set(err, -errno, "%s cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(err, -EISDIR, "%s is a directory", path);
    in->size = S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0;
    posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    struct err why;
    int rc = read_more(in, &why);
    if (rc < 0)
        return err_set(err, rc, "%s: %s", path, why.text);
    in->packed = in->len >= 2 && in->bytes[0] == 0x1f && in->bytes[1] == 0x8b;
    if (in->packed && inflateInit2(&in->z, ANY_WINDOW_GZIP) != Z_OK)
        return err_set(err, -ENOMEM, "out of memory");
    in->member = in->packed;
    return 0;
}

int input_open(const char *path, struct input **out, struct err *err)
{
    struct input *in = calloc(1, sizeof *in);

    if (!in)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = open_file(path, in, err);
    if (rc < 0)
        input_close(in);
    else
        *out = in;
    return rc;
}

void input_close(struct input *in)
{
    if (!in)
        return;
    if (in->packed)
        inflateEnd(&in->z);
    if (in->fd >= 0)
        close(in->fd);
    free(in);
}

static ssize_t read_plain(struct input *in, char *to, size_t n, struct err *err)
{
    if (in->start == in->len && !in->end) {
        int rc = read_more(in, err);
        if (rc < 0)
            return rc;
    }
    size_t have = in->len - in->start;
    n = n < have ? n : have;
    memcpy(to, in->bytes + in->start, n);
    in->start += n;
    return (ssize_t)n;
}

/* Behind a member another may follow, or zeros (as tape drives leave them) that are passed over. */
static int next_member(struct input *in, struct err *err)
{
    while (in->start < in->len && in->bytes[in->start] == 0)
        in->start++;
    if (in->start == in->len)
        return 0;
    if (inflateReset(&in->z) != Z_OK)
        return err_set(err, -EIO, "its gzip data cannot be unpacked");
    in->member = true;
    return 0;
}

static int unpack(struct input *in, struct err *err)
{
    in->z.next_in = in->bytes + in->start;
    in->z.avail_in = (uInt)(in->len - in->start);
    int rc = inflate(&in->z, Z_NO_FLUSH);
    in->start = in->len - in->z.avail_in;
    if (rc == Z_STREAM_END)
        in->member = false;
    else if (rc == Z_MEM_ERROR)
        return err_set(err, -ENOMEM, "out of memory");
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return err_set(err, -EINVAL, "its gzip data is damaged (%s)",
                       in->z.msg ? in->z.msg : "no reason is told");
    return 0;
}

static ssize_t read_packed(struct input *in, char *to, size_t n, struct err *err)
{
    in->z.next_out = (Bytef *)to;
    in->z.avail_out = (uInt)n;
    while (in->z.avail_out == n) {
        int rc = 0;
        if (in->start == in->len && !in->end)
            rc = read_more(in, err);
        if (rc == 0 && in->end)
            return in->member ? err_set(err, -EINVAL, "its gzip data is cut off") : 0;
        if (rc == 0)
            rc = in->member ? unpack(in, err) : next_member(in, err);
        if (rc < 0)
            return rc;
    }
    return (ssize_t)(n - in->z.avail_out);
}

ssize_t input_read(struct input *in, char *to, size_t n, struct err *err)
{
    return in->packed ? read_packed(in, to, n, err) : read_plain(in, to, n, err);
}

int64_t input_position(const struct input *in)
{
    return in->position - (int64_t)(in->len - in->start);
}

int64_t input_size(const struct input *in)
{
    return in->size;
}

bool input_packed(const struct input *in)
{
    return in->packed;
}
