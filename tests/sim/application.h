/* The inside of the application: application.c runs its statements and writes its rows,
 * application_schema.c changes its schema. */
#ifndef SYNCD_SIM_APPLICATION_H
#define SYNCD_SIM_APPLICATION_H

#include "world.h"

/* Columns that DynamoDB keys are made of and that are no primary key. */
#define KEY_COLUMNS "'usr','room','place'"

/* application.c */
/* Did it go well? What must not fail fails the simulation. */
bool app_run(struct world *w, const char *fmt, ...);
/* First column of the first row as text; NULL when there is none. Free with sqlite3_free(). */
char *app_ask(struct world *w, const char *fmt, ...);
bool app_table_exists(struct world *w, unsigned t);
/* One statement, or some, about the rows of a table. */
void app_write_row(struct world *w);
/* A column that is in no key, and an expression; each freed with sqlite3_free(). */
char *app_other_column(struct world *w, unsigned t);
char *app_new_value(struct world *w);

/* application_schema.c */
void app_change_schema(struct world *w);
/* The next step of the rebuild that is under way (w->rebuilding). */
void app_rebuild_step(struct world *w);

#endif
