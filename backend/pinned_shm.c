/* SPDX-License-Identifier: MIT */
/* See pinned_shm.h. Whether a blob is still the one that it was the host tells: without that nothing is pinned. */
#include "backend/pinned_shm.h"

#include "backend/context.h"

void *pinned_shm(struct backend_context *ctx, uint32_t res, uint64_t off, uint64_t n)
{
	char *shm = context_shm(ctx, res, off, n);
	struct pinned *p = &ctx->pinned;
	uint64_t serial, size;

	if (!shm || !p->by)
		return shm;
	for (uint32_t i = 0; i < p->n; i++) {
		if (p->blobs[i].res == res) /* pinned_sweep() has seen to it that it is this one */
			return range_ok(off, n, p->blobs[i].size) ? p->blobs[i].ptr + off : shm;
	}
	serial = p->in_vain ? 0 : context_blob_serial(ctx, res);
	if (!serial || !context_shm_size(ctx, res, &size) || !pinned_has_room(p, size))
		return shm;
	return pinned_add(p, shm - off, res, serial, size) ? p->blobs[p->n - 1].ptr + off : shm;
}

void pinned_sweep(struct backend_context *ctx)
{
	struct pinned *p = &ctx->pinned;
	uint64_t dropped = p->n ? context_blobs_dropped(ctx) : p->dropped;

	if (dropped == p->dropped)
		return;
	for (uint32_t i = p->n; i-- > 0;) {
		if (p->blobs[i].serial == context_blob_serial(ctx, p->blobs[i].res))
			continue;
		context_drain(ctx); /* it may be at work with it */
		pinned_drop(p, i);
	}
	p->dropped = dropped;
}
