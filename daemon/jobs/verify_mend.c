/* What was found is handed over to the daemon, which mends it by its own doors. */
#include <errno.h>

#include "jobs/verify_internal.h"

/* As many keys as a request holds, whatever their length. */
enum { KEYS_AT_ONCE = 16 };

static int mend_kind(struct verify *v, unsigned table, bool extra)
{
    const char *name = v->figures[table].name;
    int64_t serial = 0, found = 0, taken = 0;
    int n, rc = 0;

    do {
        _cleanup_buf_ struct buf keys = {0};
        n = work_mends(v->work, table, extra, KEYS_AT_ONCE, &serial, &keys);
        if (n < 0)
            return verify_work_failed(v);
        if (n > 0)
            rc = v->edge->repair(v->edge->arg, name, extra, &keys, &taken, v->err);
        found += n;
    } while (rc == 0 && n > 0);
    v->result->handed_over += taken;
    if (extra)
        v->result->left += found - taken;
    return rc;
}

int verify_mend(struct verify *v)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < v->compared.count; i++) {
        rc = mend_kind(v, i, false);
        if (rc == 0)
            rc = mend_kind(v, i, true);
    }
    return rc;
}
