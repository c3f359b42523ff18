/* SPDX-License-Identifier: MIT */
/*
 * See channel.h. How a wait ends: the reply word is set; or the transport knows that the host is gone (a fence without
 * an answer, a closed socket); or the host's pulse tells it (pulse.h); or, where it has none, CHANNEL_BEATLESS_MS are over.
 */
#include "guest/channel.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/word.h"
#include "proto/util.h"

#define SLICE_MS      100
#define PAUSE_MOST_MS 256
#define SPIN_NS       100000 /* a short command's answer comes within this; sleeping would cost more */
#define SPIN_LATE_NS  10000
#define EARLY_NS      150000 /* a sleep is over so much later than it was to be, at most, mostly */
#define OVERDUE_NS    300000
#define DOZE_NS       (SLICE_MS * INT64_C(1000000)) /* meanwhile nobody asks whether the host lives */
#define SPARE_FROM    4                             /* processors: with fewer, looking takes time from who computes */

static bool word_spin(const _Atomic uint32_t *word, int64_t until)
{
	do {
		for (int i = 0; i < 32; i++) {
			if (atomic_load_explicit(word, memory_order_acquire))
				return true;
			cpu_relax();
		}
	} while (clock_ns() < until);
	return false;
}

/*
 * Before who waits for the word sleeps until woken, which costs as much as the rest of a token: an answer that comes soon is
 * looked out for; one whose time is known is slept for, and then looked out for, unless that sleep ended early: by a signal, or
 * in memory where nobody can sleep, as a virtio-gpu device's is. Whether it came.
 */
static bool word_look(const _Atomic uint32_t *word, int64_t expected)
{
	static int spare = -1; /* several threads find out the same */
	int64_t now = clock_ns();

	if (spare < 0)
		spare = sysconf(_SC_NPROCESSORS_ONLN) >= SPARE_FROM;
	if (expected == CHANNEL_SOON)
		return word_spin(word, now + SPIN_NS);
	if (word_spin(word, now + SPIN_LATE_NS))
		return true;
	if (expected == CHANNEL_LATE || !spare || now > expected + OVERDUE_NS || expected - now > DOZE_NS)
		return false;
	if (now < expected - EARLY_NS) {
		word_sleep(word, expected - EARLY_NS - now);
		if (clock_ns() < expected - EARLY_NS)
			return atomic_load_explicit(word, memory_order_acquire);
	}
	return word_spin(word, expected + OVERDUE_NS);
}

/* For want of memory, say. The host knows nothing of it, so only time is lost, and in the end this command. */
static int door_submit(struct transport *t, const void *cmd, size_t size, unsigned flags)
{
	int err = t->ops->submit(t, cmd, size, flags);

	for (long ms = 1; transport_passing(err) && ms <= PAUSE_MOST_MS; ms *= 2) {
		nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
		err = t->ops->submit(t, cmd, size, flags);
	}
	return transport_passing(err) ? -EAGAIN : err;
}

static int door_send(struct channel *c, const void *cmd, size_t size, unsigned flags)
{
	int err = door_submit(c->pulse->connection->transport, cmd, size, flags);

	if (err)
		return err;
	c->by_door++;
	c->counters->by_door++;
	c->counters->command_bytes += size;
	c->blobs_known = c->blobs->made;
	return 0;
}

/* The host's worker is to look into the ring: where it has gone to sleep the door wakes it. What a door can't do now is tried
 * again by who waits. 0, or the transport's error. */
static int ring_bell(struct channel *c)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE];
	int err = 0;

	if (c->past.unwoken || ring_wakes(&c->past.ring)) {
		err = door_send(c, cmd, channel_header(c, cmd, APIR_DOORBELL, 0, &c->reply), 0);
		c->counters->doorbells += !err;
	}
	c->past.held = false;
	c->past.unwoken = err == -EAGAIN;
	return c->past.unwoken ? 0 : err;
}

static int ring_send(struct channel *c, size_t size, bool more)
{
	struct transport *t = c->pulse->connection->transport;

	c->counters->by_ring++;
	c->counters->command_bytes += size;
	if (t->ops->passed)
		t->ops->passed(t);
	c->past.held = more;
	return more ? 0 : ring_bell(c);
}

/* Past the door where that can be: the host must know every blob by then, and there must be room. */
static bool ring_takes(struct channel *c, const void *cmd, size_t size)
{
	return c->past.open && c->blobs_known == c->blobs->made &&
	       ring_write(&c->past.ring, cmd, (uint32_t)size, c->by_door);
}

static int send(struct channel *c, const void *cmd, size_t size, unsigned flags)
{
	if (ring_takes(c, cmd, size))
		return ring_send(c, size, flags & SUBMIT_MORE);
	/* Nothing is held back for what may go past the door. */
	return door_send(c, cmd, size, c->past.open ? flags & ~SUBMIT_MORE : flags);
}

int channel_send(struct channel *c, const struct shm *reply, const void *cmd, size_t size, unsigned flags)
{
	struct connection *connection = c->pulse->connection;
	_Atomic uint32_t *word = reply->ptr;
	int err;

	if (!connection_alive(connection))
		return -EPIPE;
	if (pulse_wait(c->pulse, false) < 0) {
		atomic_store(&connection->dead, true);
		return -EPIPE;
	}
	atomic_store_explicit(word, 0, memory_order_relaxed); /* the submission orders it before the host's store */
	err = send(c, cmd, size, flags);
	if (!err || err == -EAGAIN)
		return err;
	atomic_store(&connection->dead, true);
	return -EPIPE;
}

/* Who was not woken for what is in the ring, because another command was to follow, or couldn't be. */
static int ring_wake(struct channel *c)
{
	return c->past.held || c->past.unwoken ? ring_bell(c) : 0;
}

/* limit_ms bounds the whole wait where there is no heartbeat; 0: none. 0 or -EPIPE, -ETIMEDOUT. */
static int reply_wait(struct channel *c, const _Atomic uint32_t *word, int64_t expected, uint32_t limit_ms)
{
	struct transport *t = c->pulse->connection->transport;
	uint32_t waited = 0;

	if (word_look(word, expected))
		return 0;
	c->counters->parked++;
	for (;;) {
		int64_t start = clock_ns();
		int r = t->ops->wait(t, word, SLICE_MS);
		int64_t took_ns = clock_ns() - start, took = took_ns / 1000000;

		c->counters->parked_ns += (uint64_t)took_ns;
		if (r > 0)
			return 0;
		if ((r < 0 && r != -EINTR) || ring_wake(c) < 0)
			return -EPIPE;
		/* A slice counts for what it took, but a pause of the whole guest counts for little. */
		if (took > 2 * SLICE_MS)
			took = 2 * SLICE_MS;
		waited += (uint32_t)took;
		if (limit_ms && waited >= limit_ms)
			return -ETIMEDOUT;
		/* The answer may have come before the end. */
		if (pulse_waited(c->pulse, (uint32_t)took) < 0)
			return atomic_load_explicit(word, memory_order_acquire) ? 0 : -EPIPE;
	}
}

static uint32_t limit_of(const struct channel *c, uint32_t limit_ms)
{
	return limit_ms || c->pulse->word ? limit_ms : CHANNEL_BEATLESS_MS;
}

/* What is there needn't be waited for. */
static void wait_count(struct channel *c, const struct shm *reply)
{
	if (!atomic_load_explicit((const _Atomic uint32_t *)reply->ptr, memory_order_relaxed))
		c->counters->waits++;
}

void channel_expect(struct channel *c, const struct shm *reply, int64_t expected)
{
	wait_count(c, reply);
	if (connection_alive(c->pulse->connection) && ring_wake(c) == 0)
		(void)reply_wait(c, reply->ptr, expected, limit_of(c, 0));
}

static int64_t answer_await(struct channel *c, const struct shm *reply, int64_t expected, uint32_t limit_ms)
{
	struct connection *connection = c->pulse->connection;
	const _Atomic uint32_t *word = reply->ptr;
	uint32_t answer;
	int err;

	err = connection_alive(connection) ? ring_wake(c) : -EPIPE;
	if (!err)
		err = reply_wait(c, word, expected, limit_of(c, limit_ms));
	answer = err ? 0 : atomic_load_explicit(word, memory_order_acquire); /* pairs with the worker's release */
	if (answer) {
		pulse_answered(c->pulse);
		return (int64_t)answer - 1;
	}
	atomic_store(&connection->dead, true);
	return err ? err : -EPIPE;
}

int64_t channel_await(struct channel *c, const struct shm *reply, int64_t expected, uint32_t limit_ms)
{
	wait_count(c, reply);
	return answer_await(c, reply, expected, limit_ms);
}

int64_t channel_run(struct channel *c, const void *cmd, size_t size, int64_t expected, uint32_t limit_ms)
{
	int err = channel_send(c, &c->reply, cmd, size, expected == CHANNEL_SOON ? 0 : SUBMIT_FENCE);

	if (err)
		return err;
	c->counters->waits++; /* however soon it comes */
	return answer_await(c, &c->reply, expected, limit_ms);
}

size_t channel_header(
	const struct channel *c, uint8_t *out, enum apir_type type, int32_t flags, const struct shm *reply)
{
	bool venus = c->pulse->connection->transport->capset_id == APIR_CAPSET_VENUS;
	int32_t words[3] = { (int32_t)type + (venus ? APIR_VENUS_TYPE_BASE : 0), flags, (int32_t)reply->res_id };

	static_assert(sizeof words == APIR_CMD_HEADER_SIZE, "wire");
	memcpy(out, words, sizeof words);
	return sizeof words;
}

void channel_close(struct channel *c)
{
	if (c->past.shm.ptr)
		blob_drop(c->blobs, &c->past.shm);
	if (c->reply.ptr)
		blob_drop(c->blobs, &c->reply);
}
