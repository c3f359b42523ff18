/* SPDX-License-Identifier: MIT */
/* Blobs: memory that the guest, the VMM and the workers it is attached to share, within quotas. */
#include "apir/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "apir/log.h"
#include "proto/util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* An unsealed memfd lets whoever holds it shrink it, and SIGBUS everybody who has it mapped: QEMU too. */
static int blob_memfd(uint64_t size)
{
	AUTO_CLOSE int fd = memfd_create("apir-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("apir-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (size > INT64_MAX || ftruncate(fd, (off_t)size) < 0)
		return -ENOMEM;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return fd_steal(&fd);
}

static struct blob *blob_find(const struct apir *a, uint32_t res_id)
{
	for (size_t i = 0; res_id && i < a->limits.blobs; i++) {
		if (a->blobs[i].res_id == res_id)
			return &a->blobs[i];
	}
	return NULL;
}

int apir_blob_create(struct apir *a, uint32_t res_id, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), rounded = round_up(size, page);
	struct blob *b = NULL;
	int fd;

	if (!res_id || !rounded)
		return -EINVAL;
	if (blob_find(a, res_id))
		return -EEXIST;
	for (size_t i = 0; !b && i < a->limits.blobs; i++) {
		if (!a->blobs[i].res_id)
			b = &a->blobs[i];
	}
	if (!b || !range_ok(a->blob_bytes, rounded, a->limits.blob_bytes)) {
		log_warn("blob %" PRIu32 " of %" PRIu64 " bytes is over the quota (%" PRIu32 " blobs, %" PRIu64
			 " bytes)",
			res_id, rounded, a->limits.blobs, a->limits.blob_bytes);
		return -EDQUOT;
	}
	fd = blob_memfd(rounded);
	if (fd < 0)
		return fd;
	*b = (struct blob){ .res_id = res_id, .fd = fd, .size = rounded };
	a->blob_bytes += rounded;
	return 0;
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

static void blob_detach(struct apir *a, struct context *c, struct blob *b)
{
	struct worker_msg m = { .type = WORKER_BLOB_DEL, .id = b->res_id };
	uint64_t bit = UINT64_C(1) << (c - a->contexts);

	if (!(b->attached & bit))
		return;
	b->attached &= ~bit;
	if (c->state == CTX_LIVE)
		context_send(a, c, &m, NULL, 0, -1);
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
	*b = (struct blob){ 0 };
	return 0;
}
