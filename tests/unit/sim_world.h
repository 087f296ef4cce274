/* The simulated world of tests/sim within a test program: all of it is compiled here, so that a
 * test can reach into it. */
#ifndef SYNCD_TESTS_SIM_WORLD_FIXTURE_H
#define SYNCD_TESTS_SIM_WORLD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../sim/application.c"
#include "../sim/disk.c"
#include "../sim/libc.c"
#include "../sim/oracle.c"
#include "../sim/process.c"
#include "../sim/service.c"
#include "../sim/vfs.c"
#include "../sim/world.c"

__attribute__((unused)) static struct mirror_table_view table_named(struct world *w,
                                                                    const char *name)
{
    struct mirror_table_view v = {0};

    for (size_t i = 0; i < mirror_table_count(w->mirror); i++) {
        mirror_table(w->mirror, i, &v);
        if (strcmp(v.name, name) == 0)
            return v;
    }
    fail_msg("there is no table %s", name);
    return v;
}

__attribute__((unused)) static struct mirror_view seen(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    return v;
}

/* Turns until another request is on its way. */
__attribute__((unused)) static void turn_until_sent(struct world *w)
{
    uint64_t before = w->requests;

    w->pumping = true;
    while (w->requests == before)
        sim_turn(w);
}

#endif
