#pragma once
/*
 * list - intrusive doubly linked ring
 */
#include "common/base/base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_add_tail(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}
static inline void list_add_head(struct list *head, struct list *n)
{
	list_add_tail(head->next, n);
}
static inline void list_del(struct list *n) /* right twice, and on an initialised node */
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
#define list_entry(p, T, m) container_of(p, T, m)
#define list_for_each(p, head, m)                                               \
	for (typeof(p) _n_##p = (p = list_entry((head)->next, typeof(*p), m),     \
				 list_entry(p->m.next, typeof(*p), m));           \
	     &p->m != (head); p = _n_##p, _n_##p = list_entry(p->m.next, typeof(*p), m))
