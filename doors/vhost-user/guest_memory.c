/* SPDX-License-Identifier: MIT */
/*
 * Guest memory. QEMU is trusted with the table, the guest with nothing: an address from a descriptor is
 * looked up for every copy, and no pointer into guest memory leaves this file but those of the rings, which
 * are resolved anew whenever the table's generation changes. A region larger than its file is refused,
 * because touching it would raise SIGBUS; that QEMU doesn't shrink its memory later is part of trusting it.
 *
 * Blobs become regions too. Those are registered without a mapping: the device has no business in them, and a
 * descriptor that points there is refused.
 */
#include "guest_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int guest_memory_add(struct guest_memory *m, const struct vu_region *r, int fd)
{
	struct guest_region g = { .gpa = r->gpa, .size = r->size, .uva = r->uva };
	uint64_t end, last;

	if (r->size == 0 || __builtin_add_overflow(r->size, r->offset, &end) || end > SIZE_MAX / 2 ||
		__builtin_add_overflow(r->gpa, r->size - 1, &last) ||
		__builtin_add_overflow(r->uva, r->size - 1, &last))
		return -EINVAL;
	if (m->count == GUEST_MEMORY_SLOTS)
		return -ENOSPC;
	if (fd >= 0) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			return -errno;
		if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < end)
			return -ENXIO;
		/* From 0, not from the offset, which need not be a multiple of a huge page. */
		g.map_size = end;
		g.map = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (g.map == MAP_FAILED)
			return -errno;
		g.base = (uint8_t *)g.map + r->offset;
	}
	m->regions[m->count++] = g;
	m->generation++;
	return 0;
}

static void region_drop(struct guest_region *g)
{
	if (g->map)
		munmap(g->map, g->map_size);
}

int guest_memory_remove(struct guest_memory *m, const struct vu_region *r)
{
	for (unsigned i = 0; i < m->count; i++) {
		struct guest_region *g = &m->regions[i];

		if (g->gpa != r->gpa || g->size != r->size || g->uva != r->uva)
			continue;
		region_drop(g);
		*g = m->regions[--m->count];
		m->generation++;
		return 0;
	}
	return -ENOENT;
}

void guest_memory_clear(struct guest_memory *m)
{
	for (unsigned i = 0; i < m->count; i++)
		region_drop(&m->regions[i]);
	m->count = 0;
	m->generation++;
}

void *guest_memory_at_uva(struct guest_memory *m, uint64_t uva, uint64_t len)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct guest_region *g = &m->regions[i];

		if (g->base && uva >= g->uva && range_ok(uva - g->uva, len, g->size))
			return g->base + (uva - g->uva);
	}
	return NULL;
}

/* Where gpa lies, and how many bytes of its region follow; NULL when it isn't memory. */
static uint8_t *at_gpa(struct guest_memory *m, uint64_t gpa, uint64_t *rest)
{
	const struct guest_region *g;
	unsigned i = m->last;

	if (i >= m->count || !m->regions[i].base || gpa - m->regions[i].gpa >= m->regions[i].size)
		for (i = 0; i < m->count; i++)
			if (m->regions[i].base && gpa - m->regions[i].gpa < m->regions[i].size)
				break;
	if (i == m->count)
		return NULL;
	m->last = i;
	g = &m->regions[i];
	*rest = g->size - (gpa - g->gpa);
	return g->base + (gpa - g->gpa);
}

bool guest_memory_read(struct guest_memory *m, void *dst, uint64_t gpa, size_t len)
{
	while (len) {
		uint64_t n;
		const uint8_t *p = at_gpa(m, gpa, &n);

		if (!p)
			return false;
		if (n > len)
			n = len;
		memcpy(dst, p, n);
		dst = (uint8_t *)dst + n;
		len -= n;
		if (len && __builtin_add_overflow(gpa, n, &gpa))
			return false;
	}
	/* What was copied is what gets checked: the compiler may not go back and read it again. */
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

bool guest_memory_write(struct guest_memory *m, uint64_t gpa, const void *src, size_t len)
{
	while (len) {
		uint64_t n;
		uint8_t *p = at_gpa(m, gpa, &n);

		if (!p)
			return false;
		if (n > len)
			n = len;
		memcpy(p, src, n);
		src = (const uint8_t *)src + n;
		len -= n;
		if (len && __builtin_add_overflow(gpa, n, &gpa))
			return false;
	}
	return true;
}
