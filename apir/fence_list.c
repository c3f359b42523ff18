/* SPDX-License-Identifier: MIT */
/* See fence_list.h. Workers complete the oldest first, so a search ends soon. */
#include "apir/fence_list.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FENCES 16384

bool fence_list_add(struct fence_list *l, uint32_t ring, uint64_t id)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct fence *f = room <= MAX_FENCES ? realloc(l->fences, room * sizeof *f) : NULL;

		if (!f)
			return false;
		l->fences = f;
		l->room = room;
	}
	l->fences[l->n++] = (struct fence){ ring, id };
	return true;
}

bool fence_list_remove(struct fence_list *l, uint32_t ring, uint64_t id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->fences[i].ring == ring && l->fences[i].id == id) {
			l->n--;
			memmove(&l->fences[i], &l->fences[i + 1], (l->n - i) * sizeof *l->fences);
			return true;
		}
	}
	return false;
}

void fence_list_free(struct fence_list *l)
{
	free(l->fences);
	*l = (struct fence_list){ 0 };
}
