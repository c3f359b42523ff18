/* SPDX-License-Identifier: MIT */
/* See beat.h. One page is mapped; the memfd is sealed, so it stays. */
#include "apir/beat.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/apir_wire.h"

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int beat_start(struct beat *b, uint32_t res_id, int fd, uint64_t offset)
{
	uint64_t start = offset & ~(uint64_t)(page_size() - 1);
	void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);

	if (page == MAP_FAILED)
		return -errno;
	*b = (struct beat){ .page = page, .res_id = res_id };
	b->words = (_Atomic uint32_t *)(void *)((char *)page + (offset - start));
	return 0;
}

void beat_tick(struct beat *b, int64_t now)
{
	if (!b->page || now < b->next)
		return;
	if (++b->count == 0)
		b->count = 1;
	atomic_store_explicit(&b->words[1], b->count, memory_order_relaxed); /* the worker only compares */
	b->next = now + APIR_HEARTBEAT_MS;
}

void beat_gone(struct beat *b)
{
	if (b->page)
		atomic_store(&b->words[0], APIR_HEARTBEAT_GONE);
}

void beat_stop(struct beat *b)
{
	if (b->page)
		munmap(b->page, page_size());
	*b = (struct beat){ 0 };
}
