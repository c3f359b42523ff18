/* SPDX-License-Identifier: MIT */
/*
 * See heartbeat.h. A guest whose door died gets no fence any more; all it can see is that the word stands still.
 * The worker must not outlive its door either: a computation that would go on for longer than a moment after the
 * hang-up is cut off.
 */
#include "worker/heartbeat.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "proto/apir_wire.h"

#define HANG_UP_GRACE_MS 3000

static _Atomic(_Atomic uint32_t *) beating;
static int door_fd;

static void *heartbeat_run(void *unused)
{
	int left = HANG_UP_GRACE_MS;

	(void)unused;
	for (;;) {
		struct pollfd p = { .fd = door_fd, .events = 0 };
		_Atomic uint32_t *word = atomic_load(&beating);
		int r = poll(&p, 1, left == HANG_UP_GRACE_MS ? APIR_HEARTBEAT_MS : 0);

		if (r > 0 && (p.revents & (POLLHUP | POLLERR))) {
			/* No beat any more: the guest is to notice. */
			usleep(APIR_HEARTBEAT_MS * 1000);
			left -= APIR_HEARTBEAT_MS;
			if (left <= 0)
				_exit(0);
			continue;
		}
		if (word)
			atomic_fetch_add_explicit(
				word, 1, memory_order_relaxed); /* the guest only compares: session.c */
	}
	return NULL;
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

void heartbeat_beat(_Atomic uint32_t *word)
{
	atomic_store(&beating, word);
}
