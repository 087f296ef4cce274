/* Can two rows become one item, and can a row be found by its item's key? */
#include <stdlib.h>
#include <string.h>

#include "mapping/plan_internal.h"

/* Can the column's text in a key hold anything? Else it is of digits, signs and hex. */
static bool is_text(const struct plan_column *c)
{
    switch (c->convert.kind) {
    case CONVERT_NONE:
    case CONVERT_BOOL:
    case CONVERT_JSON:
        return c->affinity == AFFINITY_TEXT;
    case CONVERT_TIMESTAMP:
    case CONVERT_STRING:
        return true;
    case CONVERT_EPOCH:
    case CONVERT_NUMBER:
    case CONVERT_UUID5:
    case CONVERT_BINARY:
        break;
    }
    return false;
}

/* Do different values of the column, NULL among them, stay different? */
static bool column_tells(const struct plan_column *c)
{
    return !c->fallback && conversion_tells(&c->convert, c->affinity);
}

/* Does a number's text (or a blob's, written as hex) end here? */
static bool separates(const struct key_segment *s, bool from_left)
{
    if (!s->literal)
        return false;
    char c = from_left ? s->literal[0] : s->literal[strlen(s->literal) - 1];
    return !strchr("0123456789abcdef+-.", c);
}

/* How many segments can be told apart reading from one end. Numbers and hex end where a character
 * stands that they cannot hold; text can hold anything, and ends the reading. */
static size_t readable(const struct table_plan *p, const struct key_part *part, bool from_left)
{
    size_t n = part->segment_count;

    for (size_t i = 0; i < n; i++) {
        const struct key_segment *s = &part->segments[from_left ? i : n - 1 - i];
        if (s->literal)
            continue;
        if (is_text(&p->columns[s->column]))
            return i;
        if (i + 1 < n && !separates(&part->segments[from_left ? i + 1 : n - 2 - i], from_left))
            return i;
    }
    return n;
}

/* Can the column's value be read back from this part of the key? */
static bool part_tells(const struct table_plan *p, const struct key_part *part, size_t column)
{
    size_t n = part->segment_count, left = 0, right = 0;

    if (part->kind == KEY_TEMPLATE) {
        left = readable(p, part, true);
        right = readable(p, part, false);
    }
    for (size_t i = 0; i < n; i++) {
        const struct key_segment *s = &part->segments[i];
        if (s->literal || s->column != column)
            continue;
        /* The one segment between what both readings tell is told too. */
        if (part->kind != KEY_TEMPLATE || i < left || n - 1 - i < right ||
            (i == left && n - 1 - i == right))
            return true;
    }
    return false;
}

/* Rows that are not told apart by their keys are looked after when they meet. */
int plan_find_meeting(struct plan_maker *m)
{
    struct table_plan *p = m->plan;
    _cleanup_buf_ struct buf why = {0};

    for (size_t c = 0; c < p->row_key_count; c++) {
        bool told = false, tells = column_tells(&p->columns[c]);
        for (size_t i = 0; tells && i < p->schema.count; i++)
            told |= part_tells(p, &p->parts[i], c);
        if (told)
            continue;
        buf_printf(&why, "two rows with different \"%s\" can come out at one key",
                   p->columns[c].name);
        if (!buf_ok(&why))
            return plan_no_memory(m);
        p->meeting = take_ptr(why.data);
        return 0;
    }
    return 0;
}

bool plan_has_plain_key(const struct table_plan *p)
{
    for (size_t i = 0; i < p->schema.count; i++)
        if (p->parts[i].kind != KEY_COLUMN)
            return false;
    for (size_t i = 0; i < p->row_key_count; i++)
        if (p->columns[i].convert.kind != CONVERT_NONE || p->columns[i].fallback)
            return false;
    return p->row_key_count == p->schema.count && p->entry_count == p->row_key_count;
}
