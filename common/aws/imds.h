/* The EC2 instance metadata service, version 2 only (Amazon EC2 User Guide, "Use the Instance
 * Metadata Service"): a token by PUT, which every GET carries; a GET answered 401 takes a new one,
 * once. Never through a proxy. */
#ifndef SYNCD_AWS_IMDS_H
#define SYNCD_AWS_IMDS_H

#include "aws/credentials_context.h"

enum imds_result {
    IMDS_FOUND,   /* `body` */
    IMDS_NOTHING, /* it has no such thing (404) */
    IMDS_SILENT,  /* nobody answers there */
    IMDS_REFUSED, /* it answers, and not as it should */
};

/* Once, on the loop, never before imds_get_start() has returned. `err` holds a phrase unless
 * IMDS_FOUND; the body, NUL-terminated, lives during the call. */
typedef void imds_done_fn(void *arg, enum imds_result result, const char *body, size_t n,
                          const struct err *err);

struct imds_get;

/* `path` such as "latest/meta-data/placement/region". `ctx` must outlive it. NULL: no memory. */
struct imds_get *imds_get_start(struct credentials_context *ctx, const char *path,
                                imds_done_fn *done, void *arg);
/* No `done` any more. NULL is fine. */
void imds_get_cancel(struct imds_get *g);

/* AWS_EC2_METADATA_DISABLED=true */
bool imds_disabled(void);

/* The instance's region, for a program that was told none. Exactly one `done`, later, on the loop:
 * `region` is NULL with a sentence in `err` when there is none to be had. */
typedef void imds_region_fn(void *arg, const char *region, const struct err *err);
struct imds_region;
struct imds_region *imds_region_start(uv_loop_t *loop, imds_region_fn *done, void *arg);
void imds_region_cancel(struct imds_region *r);

#endif
