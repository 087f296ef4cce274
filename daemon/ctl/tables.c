#include "ctl/tables.h"

#include <string.h>

#include "ctl/ctl.h"

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

enum table_rank table_rank(const json_t *table)
{
    static const char *const bad[] = {"parked", "held", "detached", "failed", "missing", NULL};
    static const char *const busy[] = {"starting", "loading", "comparing",
                                       "paused",   "waiting", NULL};
    static const char *const off[] = {"off",     "disabled",     "excluded",
                                      "refused", "not mirrored", NULL};
    const char *state = field_text(table, "state");

    if (is_one_of(state, bad))
        return TABLE_BAD;
    if (is_one_of(state, off))
        return TABLE_OFF;
    if (field_count(table, "dead_letters") > 0)
        return TABLE_BAD;
    return is_one_of(state, busy) ? TABLE_BUSY : TABLE_WELL;
}

enum tone table_tone(enum table_rank rank)
{
    static const enum tone tones[] = {[TABLE_BAD] = TONE_BAD,
                                      [TABLE_BUSY] = TONE_MILD,
                                      [TABLE_WELL] = TONE_PLAIN,
                                      [TABLE_OFF] = TONE_DIM};

    return tones[rank];
}

static const struct column columns[] = {
    {"TABLE", false, 0},  {"TARGET", false, 0}, {"PENDING", true, 0}, {"WRITTEN", true, 0},
    {"DELETED", true, 0}, {"DEAD", true, 0},    {"STATE", false, 0}};

static void add_table(struct grid *g, const json_t *table)
{
    enum tone tone = table_tone(table_rank(table));
    int64_t dead = field_count(table, "dead_letters");

    grid_add(g, TONE_PLAIN, field_text(table, "name"));
    grid_add(g, TONE_PLAIN, field_text(table, "target"));
    grid_add_count(g, TONE_PLAIN, field_count(table, "pending"));
    grid_add_count(g, TONE_PLAIN, field_count(table, "items_put"));
    grid_add_count(g, TONE_PLAIN, field_count(table, "items_deleted"));
    grid_add_count(g, dead ? TONE_BAD : TONE_PLAIN, dead);
    grid_add(g, tone, field_text(table, "state"));
    if (*field_text(table, "reason"))
        grid_note(g, field_text(table, "reason"));
}

int cmd_tables(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_page_ struct page page = ctl_page(ctl);
    _cleanup_grid_ struct grid grid = {.columns = columns,
                                       .column_count = sizeof columns / sizeof columns[0]};
    size_t i;
    json_t *table;
    int r;

    json_auto_t *root = ctl_answer(ctl, argc, argv, "GET", "/v1/status", &r);
    if (!root)
        return r;
    const json_t *tables = json_object_get(root, "tables");
    if (json_array_size(tables) == 0) {
        ctl_say(ctl, "no tables are mirrored");
        return CTL_DONE;
    }
    json_array_foreach(tables, i, table) add_table(&grid, table);
    grid_print(&grid, &page);
    return ctl_print(&page.out);
}
