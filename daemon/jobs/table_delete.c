#include "jobs/table_delete.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "jobs/call.h"

#define POLL_FIRST (100 * USEC_PER_MSEC)
#define POLL_MAX   (2 * USEC_PER_SEC)
#define PATIENCE   (600 * USEC_PER_SEC)

static bool being_deleted(const struct table_facts *f)
{
    const char *status = json_string_value(json_object_get(f->table, "TableStatus"));

    return status && strcmp(status, "DELETING") == 0;
}

int table_delete(struct connection *x, const char *table, struct err *err)
{
    usec until = clock_monotonic() + PATIENCE;
    bool asked = false;

    for (usec wait = POLL_FIRST;; wait = wait * 2 < POLL_MAX ? wait * 2 : POLL_MAX) {
        struct table_answers now = {0};
        int rc = table_describe(x, table, &now, err);
        bool going = rc == 0 && being_deleted(&now.facts);
        table_answers_clear(&now);
        if (rc < 0)
            return rc == -ENOENT ? 0 : rc;
        if (!going && !asked) {
            json_auto_t *reply = NULL;
            struct buf body = {0};
            tables_name_body(&body, table);
            rc = job_call(x, "DeleteTable", &body, &reply, err);
            /* -EEXIST: it is being made or changed just now; it can be deleted after that. */
            if (rc < 0 && rc != -EEXIST)
                return rc == -ENOENT ? 0 : rc;
            asked = rc == 0;
        }
        if (clock_monotonic() > until)
            return err_set(err, -EIO, "DynamoDB table %s is still there %d s after it was deleted",
                           table, (int)(PATIENCE / USEC_PER_SEC));
        usleep((useconds_t)wait);
    }
}

void connection_about(const struct connection *x, const struct table_facts *f, struct buf *out)
{
    char account[16] = "";

    if (f)
        table_account(f, account);
    buf_printf(out, "account %s, region %s, %s", account[0] ? account : "unknown",
               x->endpoint.region, x->endpoint.url);
}

void table_about(const struct connection *x, const struct table_facts *f, struct buf *out)
{
    int64_t items = table_item_count(f);

    connection_about(x, f, out);
    if (items >= 0)
        buf_printf(out, ", some %" PRId64 " items (as DynamoDB counted, hours ago)", items);
}
