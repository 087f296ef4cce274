#include "jobs/estimate.h"

#include <stdlib.h>

#define MILLION  1e6
#define GIGABYTE (1024.0 * 1024 * 1024)

/* strtod() minds the locale; a point is all that the check lets through. */
double estimate_price(const char *text)
{
    double value = 0, unit = 1;

    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (*text - '0');
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++)
            value += (*text - '0') * (unit /= 10);
    return value;
}

struct estimate estimate_make(const struct config *c, const struct estimate_target *targets,
                              size_t count, int64_t bytes)
{
    struct estimate e = {0};
    double units = 0;

    for (size_t i = 0; i < count; i++) {
        const struct estimate_target *t = &targets[i];
        double rate = t->rate > 0 ? (double)t->rate : ESTIMATE_ON_DEMAND_RATE;
        double seconds = (double)t->write_units / rate;
        units += (double)t->write_units;
        if (seconds > e.seconds)
            e.seconds = seconds;
        if (t->provisioned)
            e.hour_cost += rate * estimate_price(c->price_write_unit_hour);
        else
            e.write_cost +=
                (double)t->write_units / MILLION * estimate_price(c->price_write_million);
    }
    if (c->write_units_per_second > 0 && units / (double)c->write_units_per_second > e.seconds)
        e.seconds = units / (double)c->write_units_per_second;
    e.month_cost = (double)bytes / GIGABYTE * estimate_price(c->price_storage_gb_month);
    return e;
}
