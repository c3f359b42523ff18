/* SPDX-License-Identifier: MIT */
/* What comes back: fences from workers, their ends, and our own reminders. */
#include "apir/internal.h"

#include <errno.h>

#include "platform/clock.h"

#define RETRY_MS 20

int apir_fd(const struct apir *a)
{
	return events_fd(a->events);
}

static void socket_serve(struct apir *a, struct context *c, bool writable)
{
	struct worker_msg m;
	int r = 0;

	/* Bounded, so that one chatty worker can't keep the door from its other work. */
	for (int i = 0; i < 256 && (r = link_recv(&c->link, &m)) > 0; i++) {
		if (m.type == WORKER_FENCE_DONE)
			fence_done(a, c, m.id, m.value);
		else if (m.type == WORKER_BEAT)
			context_beat(a, c, m.id, m.value);
	}
	if (r >= 0 && writable) {
		r = link_flush(&c->link);
		/* Its socket takes more, and yet it can't be sent: looking again at once would be all that we do. */
		if (r == -EBUSY) {
			c->retry_at = clock_ms() + RETRY_MS;
			alarm_set(a);
			r = 0;
		}
		if (r == 0 && (!link_waits(&c->link) || c->retry_at) &&
			events_want_write(a->events, c->link.sock, EV(EV_SOCK, c - a->contexts), false) == 0)
			c->wants_write = false;
		if (r == 0 && link_waits(&c->link) && !c->retry_at && !c->wants_write &&
			events_want_write(a->events, c->link.sock, EV(EV_SOCK, c - a->contexts), true) == 0)
			c->wants_write = true;
	}
	if (r < 0)
		context_lose(a, c, NULL);
}

static void own_serve(struct apir *a)
{
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		struct context *c = &a->contexts[i];

		if (c->state == CTX_LOST) {
			fences_flush(a, c);
			if (c->untold)
				a->listener->context_lost(a->user, c->id);
			c->untold = false;
		}
		if (c->state == CTX_LIVE)
			beat_tick(&c->beat, clock_ms());
		if (c->state == CTX_LIVE && c->retry_at && c->retry_at <= clock_ms()) {
			c->retry_at = 0;
			socket_serve(a, c, true);
		}
		if (c->state == CTX_LEAVING && c->leave_by <= clock_ms()) {
			link_kill(&c->link);
			c->leave_by = clock_ms() + WORKER_GRACE_MS;
		}
	}
	alarm_set(a);
}

int apir_dispatch(struct apir *a)
{
	struct event evs[EVENTS_MAX];
	int n = events_take(a->events, evs);

	for (int i = 0; i < n; i++) {
		uint32_t kind = (uint32_t)(evs[i].word >> 32), which = (uint32_t)evs[i].word;

		if (evs[i].word == EVENTS_OWN)
			own_serve(a);
		else if (kind == EV_SOCK && a->contexts[which].state == CTX_LIVE)
			socket_serve(a, &a->contexts[which], evs[i].writable);
		else if (kind == EV_PROCESS)
			context_reap(a, &a->contexts[which]);
	}
	return n < 0 ? n : 0;
}
