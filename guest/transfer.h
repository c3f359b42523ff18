/* SPDX-License-Identifier: MIT */
/* Moving a tensor's bytes between the program and the host, in pieces through shared memory. */
#ifndef GUEST_TRANSFER_H
#define GUEST_TRANSFER_H

#include "guest/call.h"

/* Sends bytes [offset, offset + size) of tensor w, which lies in buffer `handle`. False: not all was sent. A failure on
 * the host is noted as a loss. */
bool transfer_set(
	struct session *s, uint64_t handle, const struct apir_tensor *w, const void *data, size_t offset, size_t size);
/* Fetches them; returns how many of the first bytes arrived. */
size_t transfer_get(
	struct session *s, uint64_t handle, const struct apir_tensor *w, void *data, size_t offset, size_t size);

#endif
