/* SPDX-License-Identifier: MIT */
/* See blob.h. */
#include "apir/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "log/log.h"
#include "platform/memory.h"
#include "platform/shm.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define MIN_BLOBS 16
#define MAX_BLOBS 32768 /* a worker may have some 65000 mappings, two for a buffer that is a blob */

/* Three quarters of what there is: a host that swaps for one guest's blobs, or ends others for them, serves nobody. */
static uint64_t bytes_default(void)
{
	struct memory m;

	return memory_look(&m) ? m.total / 4 * 3 : UINT64_C(64) << 30;
}

/*
 * The limit is the memory: a guest may make its buffers of blobs and free none. What each costs beside its bytes is a
 * descriptor here; half of what this process may have is left for all else.
 */
static uint32_t blobs_default(uint64_t bytes)
{
	uint64_t n = bytes / APIR_BLOB_GRANULE;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 2 < n)
		n = files.rlim_cur / 2;
	return n < MIN_BLOBS ? MIN_BLOBS : n > MAX_BLOBS ? MAX_BLOBS : (uint32_t)n;
}

void blob_table_init(struct blob_table *t, uint64_t most_bytes, uint32_t most)
{
	*t = (struct blob_table){ .most_bytes = most_bytes ? most_bytes : bytes_default() };
	t->most = most ? most : blobs_default(t->most_bytes);
}

void blob_table_fini(struct blob_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		close(t->blobs[i].fd);
	free(t->blobs);
}

struct blob *blob_find(const struct blob_table *t, uint32_t res_id)
{
	for (size_t i = 0; res_id && i < t->n; i++) {
		if (t->blobs[i].res_id == res_id)
			return &t->blobs[i];
	}
	return NULL;
}

/* One more slot. */
static int slot_make(struct blob_table *t)
{
	size_t room = t->room ? t->room * 2 : 16;
	struct blob *b;

	if (t->n < t->room)
		return 0;
	b = reallocarray(t->blobs, room, sizeof *b);
	if (!b)
		return -ENOMEM;
	t->blobs = b;
	t->room = room;
	return 0;
}

/* What was taken away lives on until its worker has heard of it, and one that computes hears nothing. A guest may have as
 * much of that as of blobs. */
static bool leaves_room(const struct blob_table *t, uint64_t size, uint64_t leaving)
{
	uint64_t left = t->most_bytes - t->bytes;

	left = range_ok(left, t->most_bytes, UINT64_MAX) ? left + t->most_bytes : UINT64_MAX;
	return range_ok(leaving, size, left);
}

/* A slot for a blob of `size` bytes, within the quota; slot_fill() takes it. */
static int slot_find(struct blob_table *t, uint32_t res_id, uint64_t size, uint64_t leaving, struct blob **out)
{
	int err;

	if (!res_id || !size)
		return -EINVAL;
	if (blob_find(t, res_id))
		return -EEXIST;
	if (t->n >= t->most || !range_ok(t->bytes, size, t->most_bytes)) {
		log_warn("blob %" PRIu32 " of %" PRIu64 " bytes is over the quota (%" PRIu32 " blobs, %" PRIu64
			 " bytes)",
			res_id, size, t->most, t->most_bytes);
		return -EDQUOT;
	}
	if (!leaves_room(t, size, leaving)) {
		log_warn("blob %" PRIu32 " of %" PRIu64
			 " bytes is over the quota: what was given up before is still its worker's, which is busy",
			res_id, size);
		return -EDQUOT;
	}
	err = slot_make(t);
	if (!err)
		*out = &t->blobs[t->n];
	return err;
}

static void slot_fill(struct blob_table *t, struct blob *b, uint32_t res_id, int fd, uint64_t size)
{
	*b = (struct blob){ .res_id = res_id, .fd = fd, .size = size };
	t->n++;
	t->bytes += size;
}

/* The guest learns no more than that there is none. */
static const char *blob_cure(int err)
{
	switch (err) {
	case -EMFILE:
	case -ENFILE:
		return "raise the limit of open files (RLIMIT_NOFILE) of the process that serves this guest";
	case -EFBIG:
		return "raise the limit of file sizes (RLIMIT_FSIZE) of the process that serves this guest";
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		return "something forbids memfd_create here: a filter of system calls (a container's seccomp profile), "
		       "maybe";
	default:
		return "this host has no memory for it";
	}
}

int blob_create(struct blob_table *t, uint32_t res_id, uint64_t size, uint64_t leaving)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), rounded = round_up(size, page);
	struct blob *b;
	int err = slot_find(t, res_id, rounded, leaving, &b), fd;

	if (err)
		return err;
	fd = shm_create("apir-blob", rounded);
	if (fd < 0) {
		log_error("blob %" PRIu32 " of %" PRIu64 " bytes can't be made: %s: %s", res_id, rounded, strerror(-fd),
			blob_cure(fd));
		return fd;
	}
	slot_fill(t, b, res_id, fd, rounded);
	return 0;
}

int blob_adopt(struct blob_table *t, uint32_t res_id, int fd, uint64_t leaving)
{
	AUTO_CLOSE int ours = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
	struct blob *b;
	uint64_t size;
	int err;

	if (ours < 0)
		return -errno;
	err = shm_seal(ours, &size);
	if (!err)
		err = slot_find(t, res_id, size, leaving, &b);
	if (!err)
		slot_fill(t, b, res_id, fd_steal(&ours), size);
	return err;
}

void blob_drop(struct blob_table *t, struct blob *b)
{
	t->bytes -= b->size;
	close(b->fd);
	*b = t->blobs[--t->n];
}
