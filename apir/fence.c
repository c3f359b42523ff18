/* SPDX-License-Identifier: MIT */
/* Fences: pending until the worker says that they are done, or until nobody will. */
#include "apir/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"

#define MAX_FENCES 16384 /* pending, in one context */

void fences_flush(struct apir *a, struct context *c)
{
	size_t n = c->n_fences;

	c->n_fences = 0;
	for (size_t i = 0; i < n; i++)
		a->listener->fence_done(a->user, c->id, c->fences[i].ring, c->fences[i].id);
}

int apir_fence(struct apir *a, uint32_t ctx_id, uint32_t ring, uint64_t fence_id)
{
	struct context *c = context_find(a, ctx_id);
	struct worker_msg m = { .type = WORKER_FENCE, .id = ring, .value = fence_id };

	if (ring == RING_OURS)
		return -EINVAL;
	if (!c)
		return -ENOENT;
	if (c->n_fences == c->room_fences) {
		size_t room = c->room_fences ? c->room_fences * 2 : 64;
		struct fence *f = room <= MAX_FENCES ? realloc(c->fences, room * sizeof *f) : NULL;

		if (!f) {
			context_lose(a, c, "it has too many fences pending");
			return -ENOENT;
		}
		c->fences = f;
		c->room_fences = room;
	}
	c->fences[c->n_fences++] = (struct fence){ ring, fence_id };
	if (c->state == CTX_LIVE)
		context_send(a, c, &m, NULL, 0, -1);
	if (c->state == CTX_LOST && c->n_fences)
		events_wake(a->events); /* reported from apir_dispatch() */
	return 0;
}

void context_leaves(struct apir *a, struct context *c, uint64_t bytes)
{
	const struct worker_msg m = { .type = WORKER_FENCE, .id = RING_OURS, .value = bytes };

	c->leaving += bytes;
	context_send(a, c, &m, NULL, 0, -1);
}

void fence_done(struct apir *a, struct context *c, uint32_t ring, uint64_t id)
{
	if (ring == RING_OURS) { /* who lies here could as well keep the memory */
		c->leaving -= id < c->leaving ? id : c->leaving;
		return;
	}
	for (size_t i = 0; i < c->n_fences; i++) {
		if (c->fences[i].ring == ring && c->fences[i].id == id) {
			c->n_fences--;
			memmove(&c->fences[i], &c->fences[i + 1], (c->n_fences - i) * sizeof *c->fences);
			a->listener->fence_done(a->user, c->id, ring, id);
			return;
		}
	}
	log_debug("context %" PRIu32 ": its worker completed a fence that isn't pending", c->id);
}
