/* SPDX-License-Identifier: MIT */
/* See door.h. */
#include "doors/virgl/door.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/util.h"

struct door door;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void door_lock(void)
{
	pthread_mutex_lock(&lock);
}

void door_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void door_wake(void)
{
	if (door.thread)
		events_wake(door.thread);
}

struct virgl_context *door_context_find(uint32_t ctx_id)
{
	for (size_t i = 0; ctx_id && i < door.n_contexts; i++) {
		if (door.contexts[i].id == ctx_id)
			return &door.contexts[i];
	}
	return NULL;
}

bool door_context_is_ours(uint32_t ctx_id, struct virgl_context **c)
{
	struct virgl_context *found = door_context_find(ctx_id);

	if (c)
		*c = found;
	return found && found->owner == OWNER_APIR;
}

/* Room for one more in a table of slots that starts with a uint32_t id, where 0 is free; NULL: no memory. */
static void *slot_take(void **table, size_t *n, size_t size)
{
	char *slots = *table;

	for (size_t i = 0; i < *n; i++) {
		uint32_t id;

		memcpy(&id, slots + i * size, sizeof id);
		if (!id)
			return slots + i * size;
	}
	slots = realloc(slots, (*n + 16) * size);
	if (!slots)
		return NULL;
	memset(slots + *n * size, 0, 16 * size);
	*table = slots;
	*n += 16;
	return slots + (*n - 16) * size;
}

struct virgl_context *door_context_add(uint32_t ctx_id, uint32_t capset, enum owner owner)
{
	void *table = door.contexts;
	struct virgl_context *c = slot_take(&table, &door.n_contexts, sizeof *c);

	door.contexts = table;
	if (c)
		*c = (struct virgl_context){ .id = ctx_id, .capset = capset, .owner = owner };
	return c;
}

void door_context_remove(struct virgl_context *c)
{
	events_destroy(c->poll);
	c->poll = NULL;
	c->id = 0;
}

struct virgl_resource *door_resource_find(uint32_t res_id)
{
	for (size_t i = 0; res_id && i < door.n_resources; i++) {
		if (door.resources[i].id == res_id)
			return &door.resources[i];
	}
	return NULL;
}

struct virgl_resource *door_resource_add(uint32_t res_id, enum kind kind)
{
	void *table = door.resources;
	struct virgl_resource *r = slot_take(&table, &door.n_resources, sizeof *r);

	door.resources = table;
	if (r)
		*r = (struct virgl_resource){ .id = res_id, .kind = kind };
	return r;
}

void door_resource_remove(struct virgl_resource *r)
{
	if (r->map && mmap(r->map, r->size, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0) != MAP_FAILED)
		door.walled += r->size;
	r->map = NULL;
	r->id = 0;
}

void door_context_leave(struct virgl_context *c)
{
	for (size_t i = 0; i < door.n_resources; i++) {
		if (door.resources[i].id && door.resources[i].kind == RES_EARLY && door.resources[i].ctx_id == c->id)
			door_resource_remove(&door.resources[i]);
	}
	door_context_remove(c);
}

void door_clear(void)
{
	for (size_t i = 0; i < door.n_contexts; i++) {
		if (!door.contexts[i].id)
			continue;
		if (door.contexts[i].owner == OWNER_APIR)
			apir_context_destroy(door.apir, door.contexts[i].id);
		door_context_remove(&door.contexts[i]);
	}
	for (size_t i = 0; i < door.n_resources; i++) {
		if (!door.resources[i].id)
			continue;
		if (door.resources[i].kind != RES_EARLY)
			apir_blob_unref(door.apir, door.resources[i].id);
		door_resource_remove(&door.resources[i]);
	}
}
