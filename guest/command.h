/* SPDX-License-Identifier: MIT */
/* One command to the host and its answer, under the session's lock. */
#ifndef GUEST_COMMAND_H
#define GUEST_COMMAND_H

#include "guest/session.h"

/* The line about -EAGAIN: where, and what it was. */
#define COMMAND_UNSENT "%s: %s: not sent: this system has no memory for it: end other programs, or give it more memory"

/* Writes a command's header, answered in `reply`; returns its size. */
size_t command_header(
	const struct session *s, uint8_t *out, enum apir_type type, int32_t flags, const struct shm *reply);
/* Sends a command whose answer goes to `reply`; flags: SUBMIT_*. 0; -EPIPE: the session is dead; -EAGAIN: it is as before,
 * and this command wasn't sent, for want of memory in this system. */
int command_send(struct session *s, const struct shm *reply, const void *cmd, size_t size, unsigned flags);
/* The host's code once it has answered there, or -errno, and the session is dead. long_wait: don't spin for it.
 * limit_ms bounds the wait though the host lives; 0: nothing does. */
int64_t command_await(struct session *s, const struct shm *reply, bool long_wait, uint32_t limit_ms);
/* Both, with the session's own reply blob; -EAGAIN as above. */
int64_t command_run(struct session *s, const void *cmd, size_t size, bool long_wait, uint32_t limit_ms);

#endif
