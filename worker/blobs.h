/* SPDX-License-Identifier: MIT */
/* The blobs that the door gave this worker, mapped. */
#ifndef WORKER_BLOBS_H
#define WORKER_BLOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/memory.h"

#define BLOBS_PIN_MOST UINT64_C(0x40000)

struct mapping {
	uint32_t res_id;
	bool pinned;
	void *ptr;
	uint64_t size;
	uint64_t serial; /* no other that we had, or will have, has it: a guest may use a number again */
};

struct blobs {
	struct mapping *maps;
	size_t n, room;
	uint64_t added, dropped; /* how many there ever were, and are no more */
	uint64_t bytes;
	struct memory memory; /* of this machine; total 0: not looked at yet */
};

/* Maps it; takes the descriptor. The size is checked against the memfd's own. 0 or -errno. */
int blobs_add(struct blobs *b, uint32_t res_id, int fd, uint64_t size);
void blobs_remove(struct blobs *b, uint32_t res_id);
/* NULL: unknown. What it points to is guest-writable memory. Valid until the next blobs_add() or blobs_remove(). */
const struct mapping *blobs_find(const struct blobs *b, uint32_t res_id);
/* The mapping outlives blobs_remove(): somebody keeps a pointer into it. It counts nowhere from then on, so one of more than
 * BLOBS_PIN_MOST bytes can't: false. */
bool blobs_pin(struct blobs *b, uint32_t res_id);

#endif
