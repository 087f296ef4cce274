/* How the state of a table is judged, for status and tables. */
#ifndef SYNCD_CTL_TABLES_H
#define SYNCD_CTL_TABLES_H

#include <jansson.h>

#include "ctl/page.h"

/* TABLE_BAD needs somebody; TABLE_BUSY will pass; TABLE_OFF is as configured. In the order in which
 * they are shown. */
enum table_rank { TABLE_BAD, TABLE_BUSY, TABLE_WELL, TABLE_OFF };

enum table_rank table_rank(const json_t *table);
enum tone table_tone(enum table_rank rank);

#endif
