/* SPDX-License-Identifier: MIT */
/* A context's pending fences, oldest first. */
#ifndef APIR_FENCE_LIST_H
#define APIR_FENCE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fence {
	uint32_t ring;
	uint64_t id;
};

struct fence_list {
	struct fence *fences;
	size_t n, room;
};

/* False: there are too many, or no memory. */
bool fence_list_add(struct fence_list *l, uint32_t ring, uint64_t id);
/* False: it isn't among them. */
bool fence_list_remove(struct fence_list *l, uint32_t ring, uint64_t id);
void fence_list_free(struct fence_list *l);

#endif
