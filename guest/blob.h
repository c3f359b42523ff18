/* SPDX-License-Identifier: MIT */
/* Memory shared with the host: made, guarded against its going away, given back. Under the session's lock. */
#ifndef GUEST_BLOB_H
#define GUEST_BLOB_H

#include "guest/complaint.h"

struct blobs {
	struct pulse *pulse;
	struct complaints *complaints;
	bool guarded, masked; /* some of it may go away; for guard_leave() */
	bool spare_told;      /* that there is none for what goes faster with it */
	uint64_t made;        /* so many, so far */
};

/* At least `size` bytes, zeroed. 0 or -errno; -EPIPE: the connection is dead, and nothing was asked of the host. */
int blob_make(struct blobs *b, size_t size, struct shm *out);
/* The same in the middle of a call: a failure is told, but for a dead connection's. what: it is wanted for. */
int blob_need(struct blobs *b, size_t size, const char *what, struct shm *out);
/* The same for what there is something else for, only slower: that is told once. */
int blob_spare(struct blobs *b, size_t size, const char *what, struct shm *out);
/* The line about such a failure: what was wanted, the reason, the cure. */
void blob_fault(const struct blobs *b, int err, size_t size, const char *what, char *line, size_t line_size);
void blob_drop(struct blobs *b, struct shm *shm);
/* Between both, this thread may touch them. */
void blobs_enter(struct blobs *b);
void blobs_leave(struct blobs *b);

#endif
