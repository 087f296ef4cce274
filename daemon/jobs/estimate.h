/* What a first move takes: time and money, by the configuration's own figures. An estimate, not a
 * bill. */
#ifndef SYNCD_DAEMON_JOBS_ESTIMATE_H
#define SYNCD_DAEMON_JOBS_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

/* Write units a second that a new on-demand table takes at once (Amazon DynamoDB Developer Guide,
 * "DynamoDB on-demand capacity mode"). */
#define ESTIMATE_ON_DEMAND_RATE 4000

struct estimate_target {
    int64_t write_units;
    int64_t rate;     /* provisioned write units a second, 0: on demand */
    bool provisioned; /* paid by the hour whether used or not */
};

struct estimate {
    double seconds;
    double write_cost; /* once, of the units billed on demand */
    double hour_cost;  /* of provisioned write capacity, for each hour */
    double month_cost; /* of storage */
};

/* A price of [price], which was checked when the configuration was read. */
double estimate_price(const char *text);
/* Tables are written side by side, each as fast as it may, all together within
 * write_units_per_second. `bytes` is what will be stored. */
struct estimate estimate_make(const struct config *c, const struct estimate_target *targets,
                              size_t count, int64_t bytes);

#endif
