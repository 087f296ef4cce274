#include "jobs/fingerprint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

int fingerprint_of(const struct table_plan *p, char out[FINGERPRINT_SIZE])
{
    _cleanup_free_ char *whole = plan_fingerprint(p);
    _cleanup_buf_ struct buf all = {0}, hex = {0};
    uint8_t digest[DIGEST_SIZE];

    if (!whole)
        return -ENOMEM;
    buf_printf(&all, "%s\n%s", p->target, whole);
    if (!buf_ok(&all))
        return -ENOMEM;
    int rc = item_digest(all.data, all.len, digest);
    if (rc < 0)
        return rc;
    hex_append(&hex, digest, sizeof digest);
    if (!buf_ok(&hex))
        return -ENOMEM;
    text_copy(out, FINGERPRINT_SIZE, hex.data);
    return 0;
}
