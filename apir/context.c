/* SPDX-License-Identifier: MIT */
/* See context.h. */
#include "apir/context.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log/log.h"
#include "platform/clock.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define RING_OURS       (UINT32_MAX - 1) /* of fences that we ask for ourselves; nobody else's */
#define WORKER_GRACE_MS 6000             /* from hanging up on a worker to killing it */
#define RETRY_MS        20

void context_init(struct context *c, struct context_owner *owner, unsigned slot)
{
	*c = (struct context){ .owner = owner, .slot = slot };
	link_init(&c->link);
}

static void context_lose(struct context *c, const char *why)
{
	char end[256];

	if (c->state != CTX_LIVE)
		return;
	log_error("context %" PRIu32 " (%s): %s: the context is lost, others go on", c->id, c->name,
		why ? why : link_end(&c->link, end, sizeof end));
	c->state = CTX_LOST;
	c->untold = true;
	link_kill(&c->link);
	link_hang_up(&c->link);
	beat_gone(&c->beat);
	events_wake(c->owner->events); /* the listener hears of it from apir_dispatch() */
}

static void owner_alarm(struct context_owner *o, int64_t at)
{
	if (o->alarm && o->alarm <= at)
		return;
	o->alarm = at;
	events_alarm(o->events, at);
}

static void context_want_write(struct context *c, bool want)
{
	if (c->wants_write != want &&
		events_want_write(c->owner->events, c->link.sock, CONTEXT_WORD(CONTEXT_SOCKET, c->slot), want) == 0)
		c->wants_write = want;
}

/* Sends, or gives the context up; what happened is the listener's to hear, not the caller's. */
static int context_send_now(struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err = link_send(&c->link, m, payload, size, fd);

	if (err < 0) {
		context_lose(c, err == -ENOBUFS ? "it floods its worker" : NULL);
		return err;
	}
	if (link_waits(&c->link))
		context_want_write(c, true);
	return 0;
}

int context_kick(struct context *c)
{
	const struct worker_msg m = { .type = WORKER_SUBMIT };
	size_t n = c->burst.n;

	c->burst.n = 0;
	return n && c->state == CTX_LIVE ? context_send_now(c, &m, c->burst.bytes, n, -1) : 0;
}

/* Anything but commands goes behind the commands that came before it. */
static int context_send(struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err = context_kick(c);

	return err < 0 ? err : context_send_now(c, m, payload, size, fd);
}

int context_submit(struct context *c, uint32_t ring, const void *cmd, size_t size)
{
	int err;

	if (c->state != CTX_LIVE)
		return -ENOENT;
	if (size > APIR_CMD_MAX)
		return -EMSGSIZE;
	if (size == 0) /* somebody only wants its fence */
		return 0;
	err = burst_add(&c->burst, ring, cmd, size);
	if (err != -ENOSPC)
		return err;
	err = context_kick(c);
	if (err < 0)
		return err == -EPIPE ? -ENOENT : err;
	return burst_add(&c->burst, ring, cmd, size);
}

int context_configure(struct context *c, const char *key, const char *value)
{
	const struct worker_msg m = { .type = WORKER_CONFIG };
	size_t nk = strlen(key) + 1, nv = strlen(value) + 1;
	AUTO_FREE char *both = malloc(nk + nv);

	if (!both)
		return -ENOMEM;
	memcpy(both, key, nk);
	memcpy(both + nk, value, nv);
	return context_send(c, &m, both, nk + nv, -1);
}

static int context_configure_key(void *context, const char *key, const char *value)
{
	return context_configure(context, key, value);
}

int context_fence(struct context *c, uint32_t ring, uint64_t id)
{
	const struct worker_msg m = { .type = WORKER_FENCE, .id = ring, .value = id };

	if (ring == RING_OURS)
		return -EINVAL;
	if (!fence_list_add(&c->fences, ring, id)) {
		context_lose(c, "it has too many fences pending");
		return -ENOENT;
	}
	if (c->state == CTX_LIVE)
		context_send(c, &m, NULL, 0, -1);
	if (c->state == CTX_LOST && c->fences.n)
		events_wake(c->owner->events); /* reported from apir_dispatch() */
	return 0;
}

static void context_fence_tell(const struct context *c, uint32_t ring, uint64_t id)
{
	c->owner->listener->fence_done(c->owner->user, c->id, ring, id);
}

/* The worker says that this one is done. */
static void context_fence_done(struct context *c, uint32_t ring, uint64_t id)
{
	if (ring == RING_OURS) /* who lies here could as well keep the memory */
		c->leaving -= id < c->leaving ? id : c->leaving;
	else if (fence_list_remove(&c->fences, ring, id))
		context_fence_tell(c, ring, id);
	else
		log_debug("context %" PRIu32 ": its worker completed a fence that isn't pending", c->id);
}

/* Reports, oldest first, every fence that nobody will complete any more. */
static void context_fences_flush(struct context *c)
{
	size_t n = c->fences.n;

	c->fences.n = 0;
	for (size_t i = 0; i < n; i++)
		context_fence_tell(c, c->fences.fences[i].ring, c->fences.fences[i].id);
}

static uint64_t context_bit(const struct context *c)
{
	return UINT64_C(1) << c->slot;
}

void context_attach(struct context *c, struct blob *b)
{
	const struct worker_msg m = { .type = WORKER_BLOB_ADD, .id = b->res_id, .value = b->size };

	if (b->attached & context_bit(c))
		return;
	b->attached |= context_bit(c);
	if (c->state == CTX_LIVE)
		context_send(c, &m, NULL, 0, b->fd);
}

/* The worker is to say when it has done what came before: then its memory is gone. */
void context_detach(struct context *c, struct blob *b)
{
	const struct worker_msg m = { .type = WORKER_BLOB_DEL, .id = b->res_id };
	const struct worker_msg gone = { .type = WORKER_FENCE, .id = RING_OURS, .value = b->size };

	if (!(b->attached & context_bit(c)))
		return;
	b->attached &= ~context_bit(c);
	if (c->beat.res_id == b->res_id) /* the memory is not to live on by us */
		beat_stop(&c->beat);
	if (c->state == CTX_LIVE && context_send(c, &m, NULL, 0, -1) == 0) {
		c->leaving += b->size;
		context_send(c, &gone, NULL, 0, -1);
	}
}

/* The worker says where its heartbeat is; once a context. */
static void context_beat(struct context *c, const struct blob_table *blobs, uint32_t res_id, uint64_t offset)
{
	const struct blob *b = blob_find(blobs, res_id);

	if (c->beat.page || !b || !(b->attached & context_bit(c)) || offset % (2 * sizeof(uint32_t)) ||
		!range_ok(offset, 2 * sizeof(uint32_t), b->size) || beat_start(&c->beat, res_id, b->fd, offset) < 0) {
		log_debug("context %" PRIu32 ": no heartbeat can lie there", c->id);
		return;
	}
	beat_tick(&c->beat, clock_ms());
	owner_alarm(c->owner, c->beat.next);
}

/* From the server that is configured, else started here. */
static int context_worker_get(struct context *c, const char *server, const char *worker)
{
	int err;

	if (server && !*server)
		server = NULL;
	err = server ? link_ask(&c->link, server, c->id) : link_start(&c->link, worker, c->id);

	if (err && server)
		log_error("cannot get a worker from the server at '%s' (VIRGL_APIR_SERVER): %s: start `ggml-virtgpu "
			  "serve "
			  "--workers` there",
			server, strerror(-err));
	else if (err)
		log_error("cannot start the worker '%s': %s: %s", worker, strerror(-err),
			err == -EPERM
				? "this process may not start programs; VIRGL_APIR_SERVER names a server that does"
				: "install it there, or name it with VIRGL_APIR_WORKER");
	return err;
}

int context_start(struct context *c, uint32_t id, const char *name, const struct config *config, const char *worker)
{
	int err;

	*c = (struct context){
		.owner = c->owner, .slot = c->slot, .id = id, .fences = c->fences, .burst = { c->burst.bytes, 0 }
	};
	log_escape(c->name, sizeof c->name, name && *name ? name : "unnamed");
	err = context_worker_get(c, config_get(config, id, "apir.server.path"), worker);
	if (err)
		return err;
	c->state = CTX_LIVE;
	err = events_add(c->owner->events, c->link.sock, CONTEXT_WORD(CONTEXT_SOCKET, c->slot));
	if (!err && link_watch(&c->link) >= 0)
		err = events_add(c->owner->events, link_watch(&c->link), CONTEXT_WORD(CONTEXT_PROCESS, c->slot));
	if (!err)
		err = config_each(config, id, context_configure_key, c);
	if (err)
		return err;
	if (c->link.server < 0)
		log_info("context %" PRIu32 " (%s): worker %d", id, c->name, (int)c->link.process.pid);
	else
		log_info("context %" PRIu32 " (%s): a worker of the server's", id, c->name);
	return 0;
}

void context_leave(struct context *c, const struct blob_table *blobs)
{
	beat_stop(&c->beat);
	for (size_t i = 0; i < blobs->n; i++) {
		if (blobs->blobs[i].attached & context_bit(c))
			c->leaving += blobs->blobs[i].size; /* until its worker has ended */
		blobs->blobs[i].attached &= ~context_bit(c);
	}
	context_kick(c);
	link_flush(&c->link);
	link_hang_up(&c->link);
	context_fences_flush(c);
	c->state = CTX_LEAVING;
	c->leave_by = clock_ms() + WORKER_GRACE_MS;
	context_reap(c);
	if (c->state == CTX_LEAVING)
		owner_alarm(c->owner, c->leave_by);
}

void context_hang_up(struct context *c)
{
	link_hang_up(&c->link);
	beat_gone(&c->beat);
	beat_stop(&c->beat);
	fence_list_free(&c->fences);
	burst_free(&c->burst);
}

void context_end(struct context *c, int64_t by)
{
	int64_t left = by - clock_ms();

	if (link_watch(&c->link) < 0)
		return;
	link_wait(&c->link, left > 0 ? (int)left : 0);
	if (!link_reap(&c->link)) {
		link_kill(&c->link);
		link_wait(&c->link, CONTEXT_END_MS);
		link_reap(&c->link);
	}
}

void context_reap(struct context *c)
{
	if (!link_reap(&c->link))
		return;
	c->leaving = 0;
	if (c->state == CTX_LEAVING)
		c->state = CTX_FREE;
	else
		context_lose(c, NULL);
}

/* 0, or -EPIPE. */
static int context_flush(struct context *c)
{
	int err = link_flush(&c->link);

	/* Its socket takes more, and yet it can't be sent: looking again at once would be all that we do. */
	if (err == -EBUSY) {
		c->retry_at = clock_ms() + RETRY_MS;
		owner_alarm(c->owner, c->retry_at);
		err = 0;
	}
	if (err == 0)
		context_want_write(c, link_waits(&c->link) && !c->retry_at);
	return err;
}

void context_serve(struct context *c, const struct blob_table *blobs, bool writable)
{
	struct worker_msg m;
	int r = 0;

	if (c->state != CTX_LIVE)
		return;
	/* Bounded, so that one chatty worker can't keep the door from its other work. */
	for (int i = 0; i < 256 && (r = link_recv(&c->link, &m)) > 0; i++) {
		if (m.type == WORKER_FENCE_DONE)
			context_fence_done(c, m.id, m.value);
		else if (m.type == WORKER_BEAT)
			context_beat(c, blobs, m.id, m.value);
	}
	if (r >= 0 && writable)
		r = context_flush(c);
	if (r < 0)
		context_lose(c, NULL);
}

void context_tick(struct context *c, const struct blob_table *blobs)
{
	int64_t now = clock_ms();

	switch (c->state) {
	case CTX_LOST:
		context_fences_flush(c);
		if (c->untold)
			c->owner->listener->context_lost(c->owner->user, c->id);
		c->untold = false;
		break;
	case CTX_LIVE:
		beat_tick(&c->beat, now);
		if (c->beat.page)
			owner_alarm(c->owner, c->beat.next);
		if (c->retry_at && c->retry_at <= now) {
			c->retry_at = 0;
			context_serve(c, blobs, true);
		} else if (c->retry_at) {
			owner_alarm(c->owner, c->retry_at);
		}
		break;
	case CTX_LEAVING:
		if (c->leave_by <= now) {
			link_kill(&c->link);
			c->leave_by = now + WORKER_GRACE_MS;
		}
		owner_alarm(c->owner, c->leave_by);
		break;
	case CTX_FREE:
		break;
	}
}
