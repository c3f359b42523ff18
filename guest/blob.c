/* SPDX-License-Identifier: MIT */
/*
 * See blob.h. A virtio-gpu device that is reset or unbound takes its mappings along, in the middle of whatever a thread
 * does with them. The session is dead then and says so before anybody reads a zero: whoever took something out of shared
 * memory asks session_alive() afterwards.
 */
#include "guest/blob.h"

#include <errno.h>
#include <sys/mman.h>

#include "platform/guard.h"

int blob_make(struct session *s, size_t size, struct shm *out)
{
	int err;

	if (!session_alive(s))
		return -EPIPE;
	/* From a host that is gone the ioctl might not return. */
	err = pulse_wait(s, true);
	if (err < 0) {
		atomic_store(&s->dead, true);
		return err;
	}
	err = s->transport->ops->blob_create(s->transport, size, out);
	if (err == -EPIPE)
		atomic_store(&s->dead, true);
	if (err < 0)
		return err;
	/* A child would keep the memory, and a virtio-gpu device's mapping even the connection. */
	err = madvise(out->ptr, out->size, MADV_DONTFORK) < 0 ? -errno : 0;
	if (!err)
		err = guard_add(out->ptr, out->size, &s->torn);
	if (err < 0)
		s->transport->ops->blob_destroy(s->transport, out);
	return err;
}

void blob_drop(struct session *s, struct shm *shm)
{
	guard_remove(shm->ptr);
	s->transport->ops->blob_destroy(s->transport, shm);
}
