/* SPDX-License-Identifier: MIT */
/*
 * See blobs.h. A plain array: a context has a handful of blobs, and the newest are asked for most.
 */
#include "worker/blobs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "platform/memory.h"
#include "platform/self.h"
#include "proto/util.h"

struct blob {
	uint32_t res_id;
	bool pinned;
	void *ptr;
	uint64_t size;
	uint64_t serial; /* no other that we had, or will have, has it: a guest may use a number again */
};

static struct blob *blobs;
static size_t n_blobs, room;
static uint64_t added, dropped;

/* What the guest writes to is no memory of ours, to the kernel; yet it is there because of us. */
static void hold(uint64_t more, uint64_t fewer)
{
	static uint64_t bytes;
	static struct memory memory;

	if (!memory.total && !memory_look(&memory))
		return;
	bytes += more - fewer;
	self_holds(bytes, memory.total);
}

static struct blob *blob_find(uint32_t res_id)
{
	for (size_t i = n_blobs; i-- > 0;) {
		if (blobs[i].res_id == res_id)
			return &blobs[i];
	}
	return NULL;
}

int blob_add(uint32_t res_id, int taken, uint64_t size)
{
	AUTO_CLOSE int fd = taken;
	struct stat st;
	void *p;

	if (blob_find(res_id))
		return -EEXIST;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < size || size == 0)
		return -EINVAL;
	if (n_blobs == room) {
		size_t more = room ? room * 2 : 16;
		struct blob *b = realloc(blobs, more * sizeof *b);

		if (!b)
			return -ENOMEM;
		blobs = b;
		room = more;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	blobs[n_blobs++] = (struct blob){ .res_id = res_id, .ptr = p, .size = size, .serial = ++added };
	hold(size, 0);
	return 0;
}

void blob_del(uint32_t res_id)
{
	struct blob *b = blob_find(res_id);

	if (!b)
		return;
	if (!b->pinned)
		munmap(b->ptr, b->size);
	hold(0, b->size);
	*b = blobs[--n_blobs];
	dropped++;
}

void *blob_ptr(uint32_t res_id, uint64_t *size)
{
	const struct blob *b = blob_find(res_id);

	if (!b)
		return NULL;
	if (size)
		*size = b->size;
	return b->ptr;
}

bool blob_serial(uint32_t res_id, uint64_t *serial)
{
	const struct blob *b = blob_find(res_id);

	if (b)
		*serial = b->serial;
	return b != NULL;
}

uint64_t blobs_dropped(void)
{
	return dropped;
}

bool blob_pin(uint32_t res_id)
{
	struct blob *b = blob_find(res_id);

	if (!b || b->size > BLOB_PIN_MOST)
		return false;
	b->pinned = true;
	return true;
}
