/* SPDX-License-Identifier: MIT */
/*
 * A door's hand in a context's heartbeat (proto/apir_wire.h): while the door lives it changes its own word, which the
 * worker watches, and when the worker has ended it says so in the word that the guest watches.
 *
 * The worker says where the words are, and may lie: they lie in a blob of the context's own, where the worker and the
 * guest can write anyway, and nothing is believed that is read there.
 */
#ifndef APIR_BEAT_H
#define APIR_BEAT_H

#include <stdatomic.h>
#include <stdint.h>

struct beat {
	void *page; /* mapped; NULL: none */
	_Atomic uint32_t *words;
	uint32_t res_id, count;
	int64_t next; /* when to change the word, clock_ms() */
};

/* The words lie at `offset` of this memfd, whose size is known to be enough. 0 or -errno. */
int beat_start(struct beat *b, uint32_t res_id, int fd, uint64_t offset);
/* Changes our word when it is time; now in ms. */
void beat_tick(struct beat *b, int64_t now);
/* The worker has ended: tells the guest. */
void beat_gone(struct beat *b);
/* Nobody watches any more. */
void beat_stop(struct beat *b);

#endif
