/* SPDX-License-Identifier: MIT */
/* Contexts: their slots, and the end of their workers. */
#include "apir/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log/log.h"
#include "platform/clock.h"

struct context *context_find(const struct apir *a, uint32_t ctx_id)
{
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		const struct context *c = &a->contexts[i];

		if (c->id == ctx_id && (c->state == CTX_LIVE || c->state == CTX_LOST))
			return (struct context *)(uintptr_t)c;
	}
	return NULL;
}

void context_lose(struct apir *a, struct context *c, const char *why)
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
	events_wake(a->events); /* the listener hears of it from apir_dispatch() */
}

/* From the server that is configured, else started here. */
static int worker_get(struct apir *a, struct context *c)
{
	const char *server = config_get(&a->config, c->id, "apir.server.path");
	int err;

	if (server && !*server)
		server = NULL;
	err = server ? link_ask(&c->link, server, c->id) : link_start(&c->link, a->worker, c->id);

	if (err && server)
		log_error("cannot get a worker from the server at '%s' (VIRGL_APIR_SERVER): %s: start `ggml-virtgpu "
			  "serve "
			  "--workers` there",
			server, strerror(-err));
	else if (err)
		log_error("cannot start the worker '%s': %s: %s", a->worker, strerror(-err),
			err == -EPERM
				? "this process may not start programs; VIRGL_APIR_SERVER names a server that does"
				: "install it there, or name it with VIRGL_APIR_WORKER");
	return err;
}

int apir_context_create(struct apir *a, uint32_t ctx_id, const char *name)
{
	struct context *c = NULL;
	size_t live = 0;
	int err;

	if (!ctx_id || context_find(a, ctx_id))
		return -EEXIST;
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		if (a->contexts[i].state == CTX_FREE) {
			if (!c)
				c = &a->contexts[i];
		} else {
			live++;
		}
	}
	if (!c || live >= a->limits.contexts)
		return -EDQUOT;
	*c = (struct context){ .id = ctx_id, .fences = c->fences, .room_fences = c->room_fences, .burst = c->burst };
	log_escape(c->name, sizeof c->name, name && *name ? name : "unnamed");
	err = worker_get(a, c);
	if (err)
		return err;
	err = events_add(a->events, c->link.sock, EV(EV_SOCK, c - a->contexts));
	if (!err && link_watch(&c->link) >= 0)
		err = events_add(a->events, link_watch(&c->link), EV(EV_PROCESS, c - a->contexts));
	c->state = CTX_LIVE;
	if (!err)
		err = context_configure(a, c);
	if (err) {
		apir_context_destroy(a, ctx_id);
		return err;
	}
	if (c->link.server < 0)
		log_info("context %" PRIu32 " (%s): worker %d", ctx_id, c->name, (int)c->link.process.pid);
	else
		log_info("context %" PRIu32 " (%s): a worker of the server's", ctx_id, c->name);
	return 0;
}

void alarm_set(struct apir *a)
{
	int64_t first = 0;

	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		const struct context *c = &a->contexts[i];

		if (c->state == CTX_LEAVING && (!first || c->leave_by < first))
			first = c->leave_by;
		if (c->state == CTX_LIVE && c->retry_at && (!first || c->retry_at < first))
			first = c->retry_at;
		if (c->state == CTX_LIVE && c->beat.page && (!first || c->beat.next < first))
			first = c->beat.next;
	}
	events_alarm(a->events, first);
}

void context_reap(struct apir *a, struct context *c)
{
	if (!link_reap(&c->link))
		return;
	c->leaving = 0;
	if (c->state == CTX_LEAVING)
		c->state = CTX_FREE;
	else
		context_lose(a, c, NULL);
}

void apir_context_destroy(struct apir *a, uint32_t ctx_id)
{
	struct context *c = context_find(a, ctx_id);
	uint64_t bit;

	if (!c)
		return;
	beat_stop(&c->beat);
	bit = UINT64_C(1) << (c - a->contexts);
	for (size_t i = 0; i < a->n_blobs; i++) {
		if (a->blobs[i].attached & bit)
			c->leaving += a->blobs[i].size; /* until its worker has ended */
		a->blobs[i].attached &= ~bit;
	}
	burst_send(a, c);
	link_flush(&c->link);
	link_hang_up(&c->link);
	fences_flush(a, c);
	config_forget(&a->config, ctx_id);
	c->state = CTX_LEAVING;
	c->leave_by = clock_ms() + WORKER_GRACE_MS;
	context_reap(a, c);
	alarm_set(a);
}
