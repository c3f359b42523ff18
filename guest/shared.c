/* SPDX-License-Identifier: MIT */
/* See shared.h. */
#include "guest/shared.h"

#include <stdlib.h>

#include "platform/memory.h"

/* The host, as a rule on this machine, gives a program's blobs three quarters of the memory; graphs need theirs. */
static size_t shared_bytes(void)
{
	struct memory m;

	return memory_look(&m) && m.total / SHARED_PART < SHARED_BYTES ? m.total / SHARED_PART : SHARED_BYTES;
}

static bool shared_fits(const struct shared_list *l, size_t size)
{
	size_t most = shared_bytes();

	return l->n < SHARED_NUMBER && size <= SHARED_MOST && l->bytes <= most && size <= most - l->bytes;
}

void *shared_make(struct shared_list *l, struct blobs *blobs, size_t size)
{
	struct shared *m = shared_fits(l, size) ? malloc(sizeof *m) : NULL;

	if (!m || blob_make(blobs, size, &m->shm) < 0) {
		free(m);
		return NULL;
	}
	if (!m->shm.stays) {
		blob_drop(blobs, &m->shm);
		free(m);
		return NULL;
	}
	m->next = l->first;
	l->first = m;
	l->n++;
	l->bytes += m->shm.size;
	return m->shm.ptr;
}

void shared_drop(struct shared_list *l, struct blobs *blobs, const void *ptr)
{
	struct shared **link = &l->first, *m;

	while ((*link)->shm.ptr != ptr)
		link = &(*link)->next;
	m = *link;
	*link = m->next;
	l->n--;
	l->bytes -= m->shm.size;
	if (!connection_alive(blobs->pulse->connection))
		m->shm.res_id = 0; /* nobody is asked anything any more */
	blob_drop(blobs, &m->shm);
	free(m);
}

const struct shm *shared_find(const struct shared_list *l, const void *p, size_t n, uint64_t *at)
{
	for (const struct shared *m = l->first; m; m = m->next) {
		uintptr_t start = (uintptr_t)m->shm.ptr, from = (uintptr_t)p;

		if (from >= start && from - start <= m->shm.size && n <= m->shm.size - (from - start)) {
			*at = from - start;
			return &m->shm;
		}
	}
	return NULL;
}
