/* SPDX-License-Identifier: MIT */
/* Moving a tensor's bytes between the program and the host, in pieces through shared memory. */
#ifndef GUEST_TRANSFER_H
#define GUEST_TRANSFER_H

#include "guest/call.h"

/* Sends bytes [offset, offset + size) of tensor w, which lies in the buffer. False: not all was sent. A failure on the
 * host is noted in loss.h. */
bool transfer_set(struct session *s, struct buffer *buffer, const struct apir_tensor *w, const void *data,
	size_t offset, size_t size);
/* The same where the host has the bytes too, without waiting. False: it hasn't, or they can't be sent so now. */
bool transfer_set_later(struct session *s, struct buffer *buffer, const struct apir_tensor *w, const void *data,
	size_t offset, size_t n);
/* Fetches them; returns how many of the first bytes arrived. What is tainted doesn't. */
size_t transfer_get(
	struct session *s, struct buffer *buffer, const struct apir_tensor *w, void *data, size_t offset, size_t size);

/* Asks for n of them, and puts them there when their answer is waited for: what doesn't arrive is zeros, as in loss.h. False:
 * too many, or not to be asked for now. */
bool transfer_get_later(
	struct session *s, struct buffer *buffer, const struct apir_tensor *w, void *data, size_t offset, size_t n);
/* Whether some of what was asked for so, and hasn't been put there yet, goes to these bytes. */
bool transfer_reads_into(struct session *s, const void *data, size_t size);
/* In a forked child, which has no lock: what was asked for before is its parent's, and zeros here. */
void transfer_abandon(struct session *s);

/* The first blob, of BULK_PIECE bytes, when nothing is on its way in it: for whatever else has so many to send, in a turn of its
 * own. NULL: the session is dead. */
struct shm *transfer_blob(struct call *c);

#endif
