/* SPDX-License-Identifier: MIT */
/*
 * See blob.h. A virtio-gpu device that is reset or unbound takes its mappings along, in the middle of whatever a thread
 * does with them. The connection is dead then and says so before anybody reads a zero: whoever took something out of shared
 * memory asks connection_alive() afterwards. What a socket brings is sealed as a rule: it stays, and costs nothing of that.
 */
#include "guest/blob.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/say.h"
#include "platform/guard.h"

/* Nothing was guarded yet, perhaps: then blobs_enter() hasn't done it. */
static int blob_guard(struct blobs *b, const struct shm *shm)
{
	if (!b->guarded)
		b->masked = guard_enter();
	b->guarded = true;
	return guard_add(shm->ptr, shm->size, &b->pulse->connection->torn);
}

int blob_make(struct blobs *b, size_t size, struct shm *out)
{
	struct connection *c = b->pulse->connection;
	int err;

	if (!connection_alive(c))
		return -EPIPE;
	/* From a host that is gone the ioctl might not return. */
	err = pulse_wait(b->pulse, true);
	if (err < 0) {
		atomic_store(&c->dead, true);
		return err;
	}
	err = c->transport->ops->blob_create(c->transport, size, out);
	if (err == -EPIPE)
		atomic_store(&c->dead, true);
	if (err < 0)
		return err;
	/* A child would keep the memory, and a virtio-gpu device's mapping even the connection. */
	err = madvise(out->ptr, out->size, MADV_DONTFORK) < 0 ? -errno : 0;
	if (!err && !out->stays)
		err = blob_guard(b, out);
	if (err < 0)
		c->transport->ops->blob_destroy(c->transport, out);
	else
		b->made++;
	return err;
}

/* What this side lacks. */
static const char *own_cure(int err)
{
	switch (err) {
	case -EMFILE:
		return "raise this program's limit of descriptors (ulimit -n)";
	case -ENFILE:
		return "the system has no more descriptors (fs.file-max)";
	case -ENOMEM:
	case -ENOSPC:
		return "this program has no more memory, address space (ulimit -v) or mappings (vm.max_map_count)";
	case -ETIMEDOUT:
	case -EPIPE:
		return "the host doesn't answer any more: see its log";
	default:
		return "update the older one of plugin and host";
	}
}

void blob_fault(const struct blobs *b, int err, size_t size, const char *what, char *line, size_t line_size)
{
	const struct transport *t = b->pulse->connection->transport;

	if (err == -EREMOTEIO)
		snprintf(line, line_size, "%s: the host gives no shared memory (%zu bytes for %s): %s", t->where, size,
			what, t->ops->no_blob);
	else
		snprintf(line, line_size, "%s: no shared memory here (%zu bytes for %s): %s: %s", t->where, size, what,
			strerror(-err), own_cure(err));
}

int blob_need(struct blobs *b, size_t size, const char *what, struct shm *out)
{
	int err = blob_make(b, size, out);
	char line[384];

	if (err < 0 && err != -EPIPE && complaints_left(b->complaints)) {
		blob_fault(b, err, size, what, line, sizeof line);
		say_error("%s", line);
	}
	return err;
}

int blob_spare(struct blobs *b, size_t size, const char *what, struct shm *out)
{
	int err = b->spare_told ? blob_make(b, size, out) : blob_need(b, size, what, out);

	b->spare_told |= err < 0;
	return err;
}

void blob_drop(struct blobs *b, struct shm *shm)
{
	struct transport *t = b->pulse->connection->transport;

	guard_remove(shm->ptr);
	t->ops->blob_destroy(t, shm);
}

void blobs_enter(struct blobs *b)
{
	if (b->guarded)
		b->masked = guard_enter();
}

void blobs_leave(struct blobs *b)
{
	guard_leave(b->masked);
	b->masked = false;
}
