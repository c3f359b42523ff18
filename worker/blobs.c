/* SPDX-License-Identifier: MIT */
/*
 * See blobs.h. A plain array: a context has a handful of blobs, and the newest are asked for most.
 */
#include "worker/blobs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "platform/self.h"
#include "proto/util.h"

/* What the guest writes to is no memory of ours, to the kernel; yet it is there because of us. */
static void bytes_tell(struct blobs *b)
{
	if (b->memory.total || memory_look(&b->memory))
		self_holds(b->bytes, b->memory.total);
}

static struct mapping *mapping_find(const struct blobs *b, uint32_t res_id)
{
	for (size_t i = b->n; i-- > 0;) {
		if (b->maps[i].res_id == res_id)
			return &b->maps[i];
	}
	return NULL;
}

int blobs_add(struct blobs *b, uint32_t res_id, int taken, uint64_t size)
{
	AUTO_CLOSE int fd = taken;
	struct stat st;
	void *p;

	if (mapping_find(b, res_id))
		return -EEXIST;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < size || size == 0)
		return -EINVAL;
	if (b->n == b->room) {
		size_t more = b->room ? b->room * 2 : 16;
		struct mapping *maps = realloc(b->maps, more * sizeof *maps);

		if (!maps)
			return -ENOMEM;
		b->maps = maps;
		b->room = more;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	b->maps[b->n++] = (struct mapping){ .res_id = res_id, .ptr = p, .size = size, .serial = ++b->added };
	b->bytes += size;
	bytes_tell(b);
	return 0;
}

void blobs_remove(struct blobs *b, uint32_t res_id)
{
	struct mapping *m = mapping_find(b, res_id);

	if (!m)
		return;
	if (!m->pinned)
		munmap(m->ptr, m->size);
	b->bytes -= m->size;
	bytes_tell(b);
	*m = b->maps[--b->n];
	b->dropped++;
}

const struct mapping *blobs_find(const struct blobs *b, uint32_t res_id)
{
	return mapping_find(b, res_id);
}

bool blobs_pin(struct blobs *b, uint32_t res_id)
{
	struct mapping *m = mapping_find(b, res_id);

	if (!m || m->size > BLOBS_PIN_MOST)
		return false;
	m->pinned = true;
	return true;
}
