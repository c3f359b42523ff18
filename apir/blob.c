/* SPDX-License-Identifier: MIT */
/* Blobs: memory that the guest, the VMM and the workers it is attached to share, within quotas. */
#include "apir/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "log/log.h"
#include "platform/clock.h"
#include "platform/shm.h"
#include "proto/util.h"

static struct blob *blob_find(const struct apir *a, uint32_t res_id)
{
	for (size_t i = 0; res_id && i < a->n_blobs; i++) {
		if (a->blobs[i].res_id == res_id)
			return &a->blobs[i];
	}
	return NULL;
}

/* One more slot. */
static int slot_make(struct apir *a)
{
	size_t room = a->room_blobs ? a->room_blobs * 2 : 16;
	struct blob *b;

	if (a->n_blobs < a->room_blobs)
		return 0;
	b = reallocarray(a->blobs, room, sizeof *b);
	if (!b)
		return -ENOMEM;
	a->blobs = b;
	a->room_blobs = room;
	return 0;
}

/* What was taken away lives on until its worker has heard of it, and one that computes hears nothing. A guest may have as
 * much of that as of blobs. */
static bool leaves_room(const struct apir *a, uint64_t size)
{
	uint64_t left = a->limits.blob_bytes - a->blob_bytes;

	left = range_ok(left, a->limits.blob_bytes, UINT64_MAX) ? left + a->limits.blob_bytes : UINT64_MAX;
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		uint64_t leaving = a->contexts[i].leaving;

		left -= leaving < left ? leaving : left;
	}
	return size <= left;
}

/* A slot for a blob of `size` bytes, within the quota; slot_fill() takes it. */
static int slot_find(struct apir *a, uint32_t res_id, uint64_t size, struct blob **out)
{
	int err;

	if (!res_id || !size)
		return -EINVAL;
	if (blob_find(a, res_id))
		return -EEXIST;
	if (a->n_blobs >= a->limits.blobs || !range_ok(a->blob_bytes, size, a->limits.blob_bytes)) {
		log_warn("blob %" PRIu32 " of %" PRIu64 " bytes is over the quota (%" PRIu32 " blobs, %" PRIu64
			 " bytes)",
			res_id, size, a->limits.blobs, a->limits.blob_bytes);
		return -EDQUOT;
	}
	if (!leaves_room(a, size)) {
		log_warn("blob %" PRIu32 " of %" PRIu64
			 " bytes is over the quota: what was given up before is still its worker's, which is busy",
			res_id, size);
		return -EDQUOT;
	}
	err = slot_make(a);
	if (!err)
		*out = &a->blobs[a->n_blobs];
	return err;
}

static void slot_fill(struct apir *a, struct blob *b, uint32_t res_id, int fd, uint64_t size)
{
	*b = (struct blob){ .res_id = res_id, .fd = fd, .size = size };
	a->n_blobs++;
	a->blob_bytes += size;
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

int apir_blob_create(struct apir *a, uint32_t res_id, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), rounded = round_up(size, page);
	struct blob *b;
	int err = slot_find(a, res_id, rounded, &b), fd;

	if (err)
		return err;
	fd = shm_create("apir-blob", rounded);
	if (fd < 0) {
		log_error("blob %" PRIu32 " of %" PRIu64 " bytes can't be made: %s: %s", res_id, rounded, strerror(-fd),
			blob_cure(fd));
		return fd;
	}
	slot_fill(a, b, res_id, fd, rounded);
	return 0;
}

int apir_blob_adopt(struct apir *a, uint32_t res_id, int fd)
{
	AUTO_CLOSE int ours = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
	struct blob *b;
	uint64_t size;
	int err;

	if (ours < 0)
		return -errno;
	err = shm_seal(ours, &size);
	if (!err)
		err = slot_find(a, res_id, size, &b);
	if (!err)
		slot_fill(a, b, res_id, fd_steal(&ours), size);
	return err;
}

int apir_blob_fd(const struct apir *a, uint32_t res_id, uint64_t *size)
{
	const struct blob *b = blob_find(a, res_id);

	if (!b)
		return -ENOENT;
	*size = b->size;
	return b->fd;
}

int apir_blob_attach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	struct context *c = context_find(a, ctx_id);
	struct blob *b = blob_find(a, res_id);
	struct worker_msg m = { .type = WORKER_BLOB_ADD, .id = res_id };
	uint64_t bit;

	if (!c || !b)
		return -ENOENT;
	bit = UINT64_C(1) << (c - a->contexts);
	if (b->attached & bit)
		return 0;
	b->attached |= bit;
	m.value = b->size;
	if (c->state == CTX_LIVE)
		context_send(a, c, &m, NULL, 0, b->fd);
	return 0;
}

void context_beat(struct apir *a, struct context *c, uint32_t res_id, uint64_t offset)
{
	const struct blob *b = blob_find(a, res_id);

	if (c->beat.page || !b || !(b->attached & UINT64_C(1) << (c - a->contexts)) ||
		offset % (2 * sizeof(uint32_t)) || !range_ok(offset, 2 * sizeof(uint32_t), b->size) ||
		beat_start(&c->beat, res_id, b->fd, offset) < 0) {
		log_debug("context %" PRIu32 ": no heartbeat can lie there", c->id);
		return;
	}
	beat_tick(&c->beat, clock_ms());
	alarm_set(a);
}

static void blob_detach(struct apir *a, struct context *c, struct blob *b)
{
	struct worker_msg m = { .type = WORKER_BLOB_DEL, .id = b->res_id };
	uint64_t bit = UINT64_C(1) << (c - a->contexts);

	if (!(b->attached & bit))
		return;
	b->attached &= ~bit;
	if (c->beat.res_id == b->res_id) /* the memory is not to live on by us */
		beat_stop(&c->beat);
	if (c->state == CTX_LIVE && context_send(a, c, &m, NULL, 0, -1) == 0)
		context_leaves(a, c, b->size);
}

int apir_blob_detach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	struct context *c = context_find(a, ctx_id);
	struct blob *b = blob_find(a, res_id);

	if (!c || !b)
		return -ENOENT;
	blob_detach(a, c, b);
	return 0;
}

int apir_blob_unref(struct apir *a, uint32_t res_id)
{
	struct blob *b = blob_find(a, res_id);

	if (!b)
		return -ENOENT;
	for (size_t i = 0; i < MAX_CONTEXTS; i++)
		blob_detach(a, &a->contexts[i], b);
	a->blob_bytes -= b->size;
	close(b->fd);
	*b = a->blobs[--a->n_blobs];
	return 0;
}
