/* SPDX-License-Identifier: MIT */
/* What comes back: fences from workers, their ends, and our own reminders. */
#include "apir/internal.h"

#include <errno.h>
#include <sys/epoll.h>

#include "proto/util.h"

int apir_fd(const struct apir *a)
{
	return a->epoll;
}

static void socket_serve(struct apir *a, struct context *c, uint32_t events)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = EV(EV_SOCK, c - a->contexts) };
	struct worker_msg m;
	int r = 0;

	/* Bounded, so that one chatty worker can't keep the door from its other work. */
	for (int i = 0; i < 256 && (r = link_recv(&c->link, &m)) > 0; i++) {
		if (m.type == WORKER_FENCE_DONE)
			fence_done(a, c, m.id, m.value);
	}
	if (r >= 0 && (events & EPOLLOUT)) {
		r = link_flush(&c->link);
		if (r == 0 && !link_waits(&c->link) && epoll_ctl(a->epoll, EPOLL_CTL_MOD, c->link.sock, &ev) == 0)
			c->epoll_out = false;
	}
	if (r < 0)
		context_lose(a, c, NULL);
}

static void own_serve(struct apir *a, uint32_t which)
{
	uint64_t n;

	if (read(which ? a->timer : a->wake, &n, sizeof n) < 0)
		return;
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		struct context *c = &a->contexts[i];

		if (c->state == CTX_LOST) {
			fences_flush(a, c);
			if (c->untold)
				a->listener->context_lost(a->user, c->id);
			c->untold = false;
		}
		if (c->state == CTX_LEAVING && c->leave_by <= now_ms()) {
			link_kill(&c->link);
			c->leave_by = now_ms() + WORKER_GRACE_MS;
		}
	}
	timer_set(a);
}

int apir_dispatch(struct apir *a)
{
	struct epoll_event evs[16];
	int n = epoll_wait(a->epoll, evs, ARRAY_SIZE(evs), 0);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		uint32_t kind = (uint32_t)(evs[i].data.u64 >> 32), which = (uint32_t)evs[i].data.u64;
		struct context *c = &a->contexts[which];

		if (kind == EV_OWN)
			own_serve(a, which);
		else if (kind == EV_SOCK && c->state == CTX_LIVE)
			socket_serve(a, c, evs[i].events);
		else if (kind == EV_PROCESS)
			context_reap(a, c);
	}
	return 0;
}
