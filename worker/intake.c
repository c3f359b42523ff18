/* SPDX-License-Identifier: MIT */
/*
 * See intake.h. It looks for a while before it sleeps: commands come in bursts, and waking up costs more than looking. While it
 * sleeps the ring is parked, so that its writer sends a doorbell by the door.
 */
#include "worker/intake.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

#include "platform/clock.h"
#include "platform/parcel.h"
#include "proto/util.h"
#include "worker/sequence.h"

#define SPIN_NS    600000 /* what a program does between two tokens; on a machine that has processors to spare, */
#define SPIN_MORE  4      /* times as long */
#define SPARE_FROM 4      /* processors */
#define LOOKS      64     /* at the ring, between two at the door */

static int64_t spin_ns(void)
{
	static int64_t ns;

	if (!ns)
		ns = sysconf(_SC_NPROCESSORS_ONLN) < SPARE_FROM ? SPIN_NS : SPIN_NS * SPIN_MORE;
	return ns;
}

/* Something that parcel_recv() fills. */
struct letter {
	struct iovec iov[2];
	int *fd;
};

static ssize_t letter_take(const struct letter *l, int flags)
{
	int n_fds = 1;
	ssize_t n = parcel_recv(WORKER_FD, l->iov, ARRAY_SIZE(l->iov), l->fd, &n_fds, flags);

	if (n_fds != 1)
		*l->fd = -1;
	return n;
}

/* -EAGAIN: nothing comes. */
static ssize_t intake_spin(struct worker *w, const struct letter *l)
{
	int64_t until = clock_ns() + spin_ns();
	ssize_t n;

	do {
		n = letter_take(l, MSG_DONTWAIT);
		for (int i = 0; n == -EAGAIN && i < LOOKS; i++) {
			if (sequence_ready(w))
				return n;
			cpu_relax();
		}
		sched_yield(); /* whoever has something to do comes first */
	} while (n == -EAGAIN && clock_ns() < until);
	return n;
}

static ssize_t intake_sleep(struct worker *w, const struct letter *l)
{
	const int64_t since = clock_ns();
	ssize_t n = -EAGAIN;

	w->counters.parked++;
	inbox_park(&w->inbox);
	while ((n == -EAGAIN || n == -EINTR) && !sequence_ready(w))
		n = letter_take(l, 0);
	inbox_unpark(&w->inbox);
	w->counters.parked_ns += (uint64_t)(clock_ns() - since);
	return n;
}

ssize_t intake_wait(struct worker *w, struct worker_msg *m, uint8_t *payload, int *fd)
{
	const struct letter l = { { { m, sizeof *m }, { payload, WORKER_PAYLOAD_MAX } }, fd };
	ssize_t n = intake_spin(w, &l);

	if ((n == -EAGAIN || n == -EINTR) && !sequence_ready(w))
		n = intake_sleep(w, &l);
	if (n == -EINTR || (n < 0 && sequence_ready(w)))
		return -EAGAIN;
	return n > 0 && n < (ssize_t)sizeof *m ? -EBADMSG : n;
}
