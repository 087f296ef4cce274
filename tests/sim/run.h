/* One run of a simulated world, from a seed to its rest. */
#ifndef SYNCD_TESTS_SIM_RUN_H
#define SYNCD_TESTS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct sim_limits {
    unsigned steps;   /* at most so many before the rest; 0: as many as the seed says */
    uint64_t without; /* a bit for each kind of trouble that is left out, by sim_fault_name() */
};

/* Returns the hash of the trace, which goes to stderr if `tracing`; `failure` is "" when all that
 * was promised held. `steps`: how many were taken; may be NULL. */
uint64_t sim_run(uint64_t seed, bool tracing, const struct sim_limits *limits, char failure[1024],
                 unsigned *steps);
/* Name of the nth kind of trouble; NULL: there are no more. */
const char *sim_fault_name(unsigned n);

#endif
