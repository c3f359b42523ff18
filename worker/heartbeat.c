/* SPDX-License-Identifier: MIT */
/*
 * See heartbeat.h. A guest whose door died gets no fence any more; all it has is the word. The beat says that worker and
 * door both live: it stops while the door's own stands still, and once the door has hung up the word says so for good.
 *
 * The worker must not outlive its door either: a computation that would go on for longer than a moment after the
 * hang-up is cut off.
 */
#include "worker/heartbeat.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "proto/worker_wire.h"

#define HANG_UP_GRACE_MS 3000
#define DOOR_STILL_MS    800 /* counted in our own beats, so that we don't take our absence for the door's */

static _Atomic(_Atomic uint32_t *) beating, doors; /* the two words; doors: NULL, there is one only */
static int door_fd;

/* A door that never wrote there doesn't beat: an older one. */
static bool door_moves(void)
{
	static uint32_t seen, still;
	const _Atomic uint32_t *word = atomic_load(&doors);
	uint32_t now = word ? atomic_load_explicit(word, memory_order_relaxed) : 0; /* apir's beat_tick() stores */

	if (now != seen)
		still = 0;
	else if (still < DOOR_STILL_MS)
		still += APIR_HEARTBEAT_MS;
	seen = now;
	return !now || still < DOOR_STILL_MS;
}

/* The door may say at any time that we are gone, and that stays. */
static void word_change(_Atomic uint32_t *word)
{
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	while (old != APIR_HEARTBEAT_GONE &&
		!atomic_compare_exchange_weak_explicit(word, &old, old + 1 == APIR_HEARTBEAT_GONE ? 1 : old + 1,
			memory_order_relaxed, memory_order_relaxed)) /* the guest only compares: guest/pulse.c */
		;
}

static void *heartbeat_run(void *unused)
{
	struct pollfd p = { .events = 0 };

	(void)unused;
	p.fd = door_fd;
	for (;;) {
		_Atomic uint32_t *word = atomic_load(&beating);

		if (poll(&p, 1, APIR_HEARTBEAT_MS) > 0 && (p.revents & (POLLHUP | POLLERR)))
			break;
		if (word && door_moves())
			word_change(word);
	}
	heartbeat_end();
	usleep(HANG_UP_GRACE_MS * 1000);
	_exit(0);
}

void heartbeat_end(void)
{
	_Atomic uint32_t *word = atomic_load(&beating);

	if (word)
		atomic_store(word, APIR_HEARTBEAT_GONE);
}

int heartbeat_start(int door)
{
	pthread_t t;
	int err;

	door_fd = door;
	err = pthread_create(&t, NULL, heartbeat_run, NULL);
	if (err)
		return -err;
	pthread_detach(t);
	return 0;
}

void heartbeat_beat(_Atomic uint32_t *words, bool pair, uint32_t res_id, uint32_t offset)
{
	const struct worker_msg m = { .type = WORKER_BEAT, .id = res_id, .value = offset };

	atomic_store(&doors, pair ? words + 1 : NULL);
	atomic_store(&beating, words);
	if (pair)
		(void)send(door_fd, &m, sizeof m, MSG_NOSIGNAL); /* a door that is gone is noticed anyway */
}
