/* SPDX-License-Identifier: MIT */
/* The session's shared memory: made, guarded against its going away, given back. Under the session's lock. */
#ifndef GUEST_BLOB_H
#define GUEST_BLOB_H

#include "guest/session.h"

/* At least `size` bytes, zeroed. 0 or -errno; -EPIPE: the session is dead, and nothing was asked of the host. */
int blob_make(struct session *s, size_t size, struct shm *out);
void blob_drop(struct session *s, struct shm *shm);

#endif
