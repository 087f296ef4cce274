/* SQLite for tests that make and end databases by the thousand in one thread: memory, most of it in
 * the same few sizes, is never given back to the system. */
#ifndef SYNCD_TESTS_SIM_POOL_H
#define SYNCD_TESTS_SIM_POOL_H

/* Before SQLite is used. */
void pool_install(void);

#endif
