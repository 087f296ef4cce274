/* An intrusive doubly linked list. A node is in one list at most; list_init() makes it stand alone.
 */
#ifndef SYNCD_BASE_LIST_H
#define SYNCD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_back(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void list_push_front(struct list *l, struct list *node)
{
    list_push_back(l->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* All of `from` to the end of `l`; `from` is empty then. */
static inline void list_append(struct list *l, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = l->prev;
    l->prev->next = from->next;
    from->prev->next = l;
    l->prev = from->prev;
    list_init(from);
}

#define list_first(l, type, member) container_of((l)->next, type, member)

/* Safe against removal of `pos` itself. */
#define list_for_each(pos, after, head)                                                            \
    for (struct list *pos = (head)->next, *after = pos->next; pos != (head);                       \
         pos = after, after = pos->next)

#endif
