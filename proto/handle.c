/* SPDX-License-Identifier: MIT */
/* See handle.h. */
#include "proto/handle.h"

#include <string.h>

#define INDEX_BITS 24
#define INDEX_MASK ((UINT32_C(1) << INDEX_BITS) - 1)

void handle_table_init(struct handle_table *t, uint32_t max)
{
	*t = (struct handle_table){ .max = max < INDEX_MASK ? max : INDEX_MASK };
}

void handle_table_fini(struct handle_table *t)
{
	free(t->slots);
	*t = (struct handle_table){ .max = t->max };
}

static int table_grow(struct handle_table *t)
{
	uint32_t n = t->n_slots ? t->n_slots * 2 : 16;
	struct handle_slot *slots;

	if (n > t->max)
		n = t->max;
	if (n <= t->n_slots)
		return -1;
	slots = realloc(t->slots, n * sizeof *slots);
	if (!slots)
		return -1;
	t->slots = slots;
	for (uint32_t i = n; i-- > t->n_slots;) {
		slots[i] = (struct handle_slot){ .next_free = t->first_free };
		t->first_free = i + 1;
	}
	t->n_slots = n;
	return 0;
}

uint64_t handle_add(struct handle_table *t, uint8_t type, void *object)
{
	struct handle_slot *s;
	uint32_t i;

	if (!t->first_free && table_grow(t) < 0)
		return 0;
	i = t->first_free - 1;
	s = &t->slots[i];
	t->first_free = s->next_free;
	t->n_used++;
	s->object = object;
	s->type = type;
	s->generation++;
	return (uint64_t)s->generation << 32 | (uint64_t)type << INDEX_BITS | (i + 1);
}

static struct handle_slot *slot_find(const struct handle_table *t, uint64_t handle, uint8_t type)
{
	uint32_t low = (uint32_t)handle, i = low & INDEX_MASK;
	struct handle_slot *s;

	if (i == 0 || i > t->n_slots)
		return NULL;
	s = &t->slots[i - 1];
	if (!s->object || s->type != type || low >> INDEX_BITS != type || s->generation != handle >> 32)
		return NULL;
	return s;
}

void *handle_get(const struct handle_table *t, uint64_t handle, uint8_t type)
{
	const struct handle_slot *s = slot_find(t, handle, type);

	return s ? s->object : NULL;
}

void *handle_remove(struct handle_table *t, uint64_t handle, uint8_t type)
{
	struct handle_slot *s = slot_find(t, handle, type);
	void *object;

	if (!s)
		return NULL;
	object = s->object;
	s->object = NULL;
	s->next_free = t->first_free;
	t->first_free = (uint32_t)(s - t->slots) + 1;
	t->n_used--;
	return object;
}

void *handle_next(const struct handle_table *t, uint8_t type, uint32_t *pos)
{
	while (*pos < t->n_slots) {
		const struct handle_slot *s = &t->slots[(*pos)++];

		if (s->object && s->type == type)
			return s->object;
	}
	return NULL;
}
