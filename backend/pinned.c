/* SPDX-License-Identifier: MIT */
/* See pinned.h. Whether a blob is still the one that it was the host tells: without that nothing is pinned. */
#include "backend/pinned.h"

#include <sys/mman.h>

#include "backend/context.h"

static void pinned_drop(struct backend_context *ctx, uint32_t i)
{
	struct pinned *p = &ctx->pinned;

	context_drain(ctx); /* it may be at work with it */
	p->by->unpin(p->blobs[i].ptr);
	munmap(p->blobs[i].ptr, p->blobs[i].size);
	p->bytes -= p->blobs[i].size;
	p->blobs[i] = p->blobs[--p->n];
}

/* What is pinned stays so for as long as its blob is there: to change it for another with every command would cost more than
 * both are worth. */
static bool pinned_has_room(const struct pinned *p, uint64_t size)
{
	return p->n < PINNED_BLOBS && size >= PINNED_LEAST && size <= PINNED_BYTES - p->bytes;
}

/* A mapping of our own: of size 0 mremap() duplicates a shared one. */
static bool pinned_add(struct pinned *p, void *shm, uint32_t res, uint64_t serial, uint64_t size)
{
	char *own = mremap(shm, 0, size, MREMAP_MAYMOVE);

	if (own == MAP_FAILED)
		return false;
	if (!p->by->pin(own, size)) {
		munmap(own, size);
		p->in_vain = true; /* it would be again, and each try costs */
		return false;
	}
	p->blobs[p->n].res = res;
	p->blobs[p->n].serial = serial;
	p->blobs[p->n].ptr = own;
	p->blobs[p->n++].size = size;
	p->bytes += size;
	return true;
}

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
		if (p->blobs[i].serial != context_blob_serial(ctx, p->blobs[i].res))
			pinned_drop(ctx, i);
	}
	p->dropped = dropped;
}

void pinned_fini(struct backend_context *ctx)
{
	while (ctx->pinned.n)
		pinned_drop(ctx, 0);
}
