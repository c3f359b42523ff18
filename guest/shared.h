/* SPDX-License-Identifier: MIT */
/*
 * Memory of the program's that the host can copy from and to: blobs, found again by address. Only such as nobody can take away:
 * the program uses it as it does any other; a forked child hasn't got it (blob.c). Under the session's lock.
 */
#ifndef GUEST_SHARED_H
#define GUEST_SHARED_H

#include "guest/blob.h"

#define SHARED_MOST   ((size_t)256 << 20) /* bytes, of one */
#define SHARED_BYTES  ((size_t)512 << 20) /* of all */
#define SHARED_PART   8                   /* and at most one in so many of the memory that there is */
#define SHARED_NUMBER 64                  /* the host gives a program some 500 blobs, and graphs need them, too */

struct shared {
	struct shm shm;
	struct shared *next;
};

struct shared_list {
	struct shared *first;
	size_t n, bytes;
};

/* At least `size` bytes; NULL: there is none, and nothing was told. */
void *shared_make(struct shared_list *l, struct blobs *blobs, size_t size);
/* Nothing is on its way from or to it. */
void shared_drop(struct shared_list *l, struct blobs *blobs, const void *ptr);
/* The blob that [p, p + n) lies in, from *at on; NULL: none. */
const struct shm *shared_find(const struct shared_list *l, const void *p, size_t n, uint64_t *at);

#endif
