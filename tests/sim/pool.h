/* Memory for SQLite that is never given back to the system: worlds are made and ended by the
 * thousand, and most of their memory comes in the same few sizes. One thread only. */
#ifndef SYNCD_TESTS_SIM_POOL_H
#define SYNCD_TESTS_SIM_POOL_H

/* Before SQLite is used. */
void pool_install(void);

#endif
