/* SPDX-License-Identifier: MIT */
/* What a door hears of its contexts. */
#ifndef APIR_LISTENER_H
#define APIR_LISTENER_H

#include <stdint.h>

/* Called from apir_dispatch() and apir_context_destroy(); must not call back into apir, but may queue. */
struct apir_listener {
	/* Every command submitted to this ring before the fence is done, or will never be. */
	void (*fence_done)(void *user, uint32_t ctx_id, uint32_t ring, uint64_t fence_id);
	/* The context's worker is gone; its pending fences were reported just before. The context stays, dead,
	 * until the door destroys it: submissions are dropped and fences are done at once. */
	void (*context_lost)(void *user, uint32_t ctx_id);
};

#endif
