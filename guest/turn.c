/* SPDX-License-Identifier: MIT */
/* See turn.h. */
#include "guest/turn.h"

#include "guest/flush.h"

static void turn_take(struct call *c, struct session *s, const char *name)
{
	c->session = s;
	c->name = name;
	pthread_mutex_lock(&s->lock);
}

void turn_begin(struct call *c, struct session *s, enum apir_fn fn, const char *name)
{
	turn_take(c, s, name);
	blobs_enter(&s->blobs);
	if (fn >= APIR_FN_BUFFER_BASE && s->pending.n)
		flush_pending(s);
	call_header(c, fn);
}

void turn_enter(struct call *c, struct session *s, const char *name)
{
	turn_take(c, s, name);
	if (queue_busy(&s->queue)) /* else nothing is touched */
		blobs_enter(&s->blobs);
}

void turn_end(struct call *c)
{
	blobs_leave(&c->session->blobs);
	pthread_mutex_unlock(&c->session->lock);
}

void turn_settle(struct call *c, uint64_t turn)
{
	struct queue *q = &c->session->queue;

	if (q->computing && q->computing <= turn) {
		if (!queue_tells_end(q)) {
			call_header(c, APIR_FN_SYNCHRONIZE);
			(void)call_run(c);
		}
		turn = UINT64_MAX; /* its end is told by what came behind it */
	}
	queue_settle_up_to(q, turn); /* what was asked for is there, or zeros, whether that could be sent or not */
}

bool turn_collect(struct session *s, struct buffer *b, uint64_t start, uint64_t size, uint64_t pad, const void *data)
{
	bool taken;

	pthread_mutex_lock(&s->lock);
	taken = pending_add(&s->pending, b, start, size, pad, data);
	if (!taken) {
		blobs_enter(&s->blobs);
		flush_pending(s);
		blobs_leave(&s->blobs);
		taken = pending_add(&s->pending, b, start, size, pad, data);
	}
	if (taken)
		s->counters.set_bytes += size;
	pthread_mutex_unlock(&s->lock);
	return taken;
}
