/* SPDX-License-Identifier: MIT */
/* The session's shared memory: made, guarded against its going away, given back. Under the session's lock. */
#ifndef GUEST_BLOB_H
#define GUEST_BLOB_H

#include "guest/session.h"

/* At least `size` bytes, zeroed. 0 or -errno; -EPIPE: the session is dead, and nothing was asked of the host. */
int blob_make(struct session *s, size_t size, struct shm *out);
/* The same in the middle of a call: a failure is told, but for a dead session's. what: it is wanted for. */
int blob_need(struct session *s, size_t size, const char *what, struct shm *out);
/* The same for what there is something else for, only slower: that is told once. */
int blob_spare(struct session *s, size_t size, const char *what, struct shm *out);
/* The line about such a failure: what was wanted, the reason, the cure. */
void blob_fault(const struct session *s, int err, size_t size, const char *what, char *line, size_t line_size);
void blob_drop(struct session *s, struct shm *shm);
/* Between both, this thread may touch the session's shared memory. */
void blobs_enter(struct session *s);
void blobs_leave(struct session *s);

#endif
