/* SPDX-License-Identifier: MIT */
#include "backend/pinned.h"

#include <sys/mman.h>

/* What is pinned stays so for as long as its blob is there: to change it for another with every command would cost more than
 * both are worth. */
bool pinned_has_room(const struct pinned *p, uint64_t size)
{
	return p->n < PINNED_BLOBS && size >= PINNED_LEAST && size <= PINNED_BYTES - p->bytes;
}

/* A mapping of our own: of size 0 mremap() duplicates a shared one. */
bool pinned_add(struct pinned *p, void *shm, uint32_t res, uint64_t serial, uint64_t size)
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

void pinned_drop(struct pinned *p, uint32_t i)
{
	p->by->unpin(p->blobs[i].ptr);
	munmap(p->blobs[i].ptr, p->blobs[i].size);
	p->bytes -= p->blobs[i].size;
	p->blobs[i] = p->blobs[--p->n];
}

void pinned_fini(struct pinned *p)
{
	while (p->n)
		pinned_drop(p, 0);
}
