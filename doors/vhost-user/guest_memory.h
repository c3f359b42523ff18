/* SPDX-License-Identifier: MIT */
/* The guest's memory as QEMU shares it: a table of regions, and checked copies by guest address. */
#ifndef VHOST_USER_GUEST_MEMORY_H
#define VHOST_USER_GUEST_MEMORY_H

#include "proto/util.h"

#include "protocol.h"

/* What we tell QEMU; every mapped blob takes one. */
#define GUEST_MEMORY_SLOTS 509u

struct guest_region {
	uint64_t gpa, size, uva;
	uint8_t *base; /* where gpa lies here; NULL: a region that is none of this device's business */
	void *map;
	size_t map_size;
};

struct guest_memory {
	struct guest_region regions[GUEST_MEMORY_SLOTS];
	unsigned count, last; /* last: the region that the last look-up hit */
	uint32_t generation;  /* changes with every change of the table: pointers into it are stale */
};

/* Takes the region up. fd is borrowed; -1: remember it without mapping it. */
int guest_memory_add(struct guest_memory *m, const struct vu_region *r, int fd);
int guest_memory_remove(struct guest_memory *m, const struct vu_region *r);
void guest_memory_clear(struct guest_memory *m);

/* `len` bytes that lie in one region, by QEMU's address, or NULL. */
void *guest_memory_at_uva(struct guest_memory *m, uint64_t uva, uint64_t len);

/* Copies that may cross from one region into the next; false when a part of the range isn't memory. */
bool guest_memory_read(struct guest_memory *m, void *dst, uint64_t gpa, size_t len);
bool guest_memory_write(struct guest_memory *m, uint64_t gpa, const void *src, size_t len);

#endif
