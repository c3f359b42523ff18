/* SPDX-License-Identifier: MIT */
/*
 * See command.h. How a wait ends: the reply word is set; or the transport knows that the host is gone (a fence without
 * an answer, a closed socket); or the host's pulse tells it (pulse.h); or, where it has none, SESSION_BEATLESS_MS are over.
 */
#include "guest/command.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "platform/clock.h"
#include "proto/util.h"

#define SLICE_MS      100
#define PAUSE_MOST_MS 256
#define SPIN_NS       100000 /* a short command's answer comes within this; sleeping would cost more */
#define SPIN_LONG_NS  10000

static bool word_spin(const _Atomic uint32_t *word, int64_t ns)
{
	int64_t until = clock_ns() + ns;

	do {
		for (int i = 0; i < 32; i++) {
			if (atomic_load_explicit(word, memory_order_acquire))
				return true;
			cpu_relax();
		}
	} while (clock_ns() < until);
	return false;
}

/* For want of memory, say. The host knows nothing of it, so only time is lost, and in the end this command. */
static int submit(struct session *s, const void *cmd, size_t size, unsigned flags)
{
	int err = s->transport->ops->submit(s->transport, cmd, size, flags);

	for (long ms = 1; transport_passing(err) && ms <= PAUSE_MOST_MS; ms *= 2) {
		nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
		err = s->transport->ops->submit(s->transport, cmd, size, flags);
	}
	return transport_passing(err) ? -EAGAIN : err;
}

static int by_door(struct session *s, const void *cmd, size_t size, unsigned flags)
{
	int err = submit(s, cmd, size, flags);

	if (err)
		return err;
	s->past.by_door++;
	s->past.door_first = false;
	return 0;
}

/* The host's worker is to look into the ring: where it has gone to sleep the door wakes it. What a door can't do now is tried
 * again by who waits. 0, or the transport's error. */
static int doorbell(struct session *s)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE];
	int err = 0;

	if (s->past.unwoken || ring_wakes(&s->past.ring))
		err = by_door(s, cmd, command_header(s, cmd, APIR_DOORBELL, 0, &s->reply), 0);
	s->past.held = false;
	s->past.unwoken = err == -EAGAIN;
	return s->past.unwoken ? 0 : err;
}

/* Past the door where that can be: the host must have been told of every blob by then, and there must be room. */
static int send(struct session *s, const void *cmd, size_t size, unsigned flags)
{
	if (!s->past.open || s->past.door_first || !ring_write(&s->past.ring, cmd, (uint32_t)size, s->past.by_door))
		return by_door(
			s, cmd, size, s->past.open ? flags & ~SUBMIT_MORE : flags); /* what follows may pass it */
	if (s->transport->ops->passed)
		s->transport->ops->passed(s->transport);
	s->past.held = flags & SUBMIT_MORE;
	return s->past.held ? 0 : doorbell(s);
}

int command_send(struct session *s, const struct shm *reply, const void *cmd, size_t size, unsigned flags)
{
	_Atomic uint32_t *word = reply->ptr;
	int err;

	if (!session_alive(s))
		return -EPIPE;
	if (pulse_wait(s, false) < 0) {
		atomic_store(&s->dead, true);
		return -EPIPE;
	}
	atomic_store_explicit(word, 0, memory_order_relaxed); /* the submission orders it before the host's store */
	err = send(s, cmd, size, flags);
	if (!err || err == -EAGAIN)
		return err;
	atomic_store(&s->dead, true);
	return -EPIPE;
}

/* Whoever was not woken for what is in the ring, because another command was to follow, or couldn't be. */
static int wake(struct session *s)
{
	return s->past.held || s->past.unwoken ? doorbell(s) : 0;
}

/* limit_ms bounds the whole wait where there is no heartbeat; 0: none. 0 or -EPIPE, -ETIMEDOUT. */
static int reply_wait(struct session *s, const _Atomic uint32_t *word, bool long_wait, uint32_t limit_ms)
{
	uint32_t waited = 0;

	if (word_spin(word, long_wait ? SPIN_LONG_NS : SPIN_NS))
		return 0;
	for (;;) {
		int64_t start = clock_ns();
		int r = s->transport->ops->wait(s->transport, word, SLICE_MS);
		int64_t took = (clock_ns() - start) / 1000000;

		if (r > 0)
			return 0;
		if ((r < 0 && r != -EINTR) || wake(s) < 0)
			return -EPIPE;
		/* A slice counts for what it took, but a pause of the whole guest counts for little. */
		if (took > 2 * SLICE_MS)
			took = 2 * SLICE_MS;
		waited += (uint32_t)took;
		if (limit_ms && waited >= limit_ms)
			return -ETIMEDOUT;
		/* The answer may have come before the end. */
		if (pulse_waited(s, (uint32_t)took) < 0)
			return atomic_load_explicit(word, memory_order_acquire) ? 0 : -EPIPE;
	}
}

int64_t command_await(struct session *s, const struct shm *reply, bool long_wait, uint32_t limit_ms)
{
	const _Atomic uint32_t *word = reply->ptr;
	uint32_t answer;
	int err;

	if (!limit_ms && !s->pulse.word)
		limit_ms = SESSION_BEATLESS_MS;
	err = session_alive(s) ? wake(s) : -EPIPE;
	if (!err)
		err = reply_wait(s, word, long_wait, limit_ms);
	answer = err ? 0 : atomic_load_explicit(word, memory_order_acquire); /* pairs with the worker's release */
	if (answer) {
		pulse_answered(&s->pulse);
		return (int64_t)answer - 1;
	}
	atomic_store(&s->dead, true);
	return err ? err : -EPIPE;
}

int64_t command_run(struct session *s, const void *cmd, size_t size, bool long_wait, uint32_t limit_ms)
{
	int err = command_send(s, &s->reply, cmd, size, long_wait ? SUBMIT_FENCE : 0);

	return err ? err : command_await(s, &s->reply, long_wait, limit_ms);
}

size_t command_header(
	const struct session *s, uint8_t *out, enum apir_type type, int32_t flags, const struct shm *reply)
{
	int32_t base = s->transport->capset_id == APIR_CAPSET_VENUS ? APIR_VENUS_TYPE_BASE : 0;
	int32_t words[3] = { (int32_t)type + base, flags, (int32_t)reply->res_id };

	static_assert(sizeof words == APIR_CMD_HEADER_SIZE, "wire");
	memcpy(out, words, sizeof words);
	return sizeof words;
}
