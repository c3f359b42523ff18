/* SPDX-License-Identifier: MIT */
/* The ring that the guest writes commands to, where it has one (proto/ring.h). */
#ifndef WORKER_INBOX_H
#define WORKER_INBOX_H

#include "proto/ring.h"
#include "worker/blobs.h"

/* Zeroed: there was none yet. */
struct inbox {
	struct ring ring;
	bool open, was_open;
};

/* It is in this blob from now on, which stays mapped; at most once. False: it can't be there. */
bool inbox_open(struct inbox *in, struct blobs *blobs, uint32_t res_id);
/* What the next command is, which stays there. False: there is none. */
bool inbox_peek(struct inbox *in, struct ring_record *record);
/* From here on the guest has to wake us through the door; look again afterwards. No matter without a ring. */
void inbox_park(struct inbox *in);
void inbox_unpark(struct inbox *in);

#endif
