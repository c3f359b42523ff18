/* SPDX-License-Identifier: MIT */
/*
 * One command to the host, and its answer. A command goes through the door, or past it by a ring that the host's worker
 * reads; whichever way, they are executed in the order in which they were sent. Under the session's lock.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H

#include "guest/blob.h"
#include "guest/counters.h"
#include "guest/past_door.h"
#include "proto/apir_wire.h"

#define CHANNEL_BEATLESS_MS 600000                      /* for one command of a host that gives no sign of life */
#define CHANNEL_HEARTBEAT   (APIR_REPLY_BLOB_SIZE - 64) /* the heartbeat word's offset in the reply blob */
#define CHANNEL_ANSWER_MAX  (CHANNEL_HEARTBEAT - sizeof(uint32_t)) /* what fits between the reply word and that */

struct channel {
	struct pulse *pulse;
	struct blobs *blobs;
	struct ggml_backend_virtgpu_counters *counters;
	struct shm reply; /* what somebody waits for is answered here */
	struct past_door past;
	uint32_t by_door;     /* commands that went through the door */
	uint64_t blobs_known; /* so many of those that were made the host knows for sure */
};

/* Writes a command's header, answered in `reply`; returns its size. */
size_t channel_header(
	const struct channel *c, uint8_t *out, enum apir_type type, int32_t flags, const struct shm *reply);
/* Sends a command whose answer goes to `reply`; flags: SUBMIT_*. 0; -EPIPE: the connection is dead; -EAGAIN: it is as
 * before, and this command wasn't sent, for want of memory in this system. */
int channel_send(struct channel *c, const struct shm *reply, const void *cmd, size_t size, unsigned flags);
/* When an answer is expected: within a moment; nobody knows when; else at about that time (clock_ns()). */
#define CHANNEL_SOON 0
#define CHANNEL_LATE INT64_MAX
/* Waits for an answer behind others, so that channel_await() finds them all; how it ended is for that one to say. */
void channel_expect(struct channel *c, const struct shm *reply, int64_t expected);
/* The host's code once it has answered there, or -errno, and the connection is dead. limit_ms bounds the wait though the
 * host lives; 0: nothing does. */
int64_t channel_await(struct channel *c, const struct shm *reply, int64_t expected, uint32_t limit_ms);
/* Both, with the channel's own reply blob; -EAGAIN as above. */
int64_t channel_run(struct channel *c, const void *cmd, size_t size, int64_t expected, uint32_t limit_ms);

/* Gives its memory back. */
void channel_close(struct channel *c);

#endif
