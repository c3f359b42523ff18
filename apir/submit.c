/* SPDX-License-Identifier: MIT */
/* What goes to a worker: commands, gathered in bursts, and everything else behind them, in order. */
#include "apir/internal.h"

#include <errno.h>
#include <string.h>

#include "proto/apir_wire.h"
#include "proto/util.h"

/* Sends, or gives the context up; what happened is the listener's to hear, not the caller's. */
static int message_send(
	struct apir *a, struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err = link_send(&c->link, m, payload, size, fd);

	if (err < 0) {
		context_lose(a, c, err == -ENOBUFS ? "it floods its worker" : NULL);
		return err;
	}
	if (link_waits(&c->link) && !c->wants_write &&
		events_want_write(a->events, c->link.sock, EV(EV_SOCK, c - a->contexts), true) == 0)
		c->wants_write = true;
	return 0;
}

int burst_send(struct apir *a, struct context *c)
{
	const struct worker_msg m = { .type = WORKER_SUBMIT };
	size_t n = c->n_burst;

	c->n_burst = 0;
	return n && c->state == CTX_LIVE ? message_send(a, c, &m, c->burst, n, -1) : 0;
}

int context_send(
	struct apir *a, struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err = burst_send(a, c);

	return err < 0 ? err : message_send(a, c, m, payload, size, fd);
}

void apir_kick(struct apir *a)
{
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		if (a->contexts[i].n_burst)
			burst_send(a, &a->contexts[i]);
	}
}

int apir_submit(struct apir *a, uint32_t ctx_id, uint32_t ring, const void *cmd, size_t size)
{
	struct context *c = context_find(a, ctx_id);
	struct worker_cmd head = { .ring = ring, .size = (uint32_t)size };
	size_t padded;
	int err;

	if (!c || c->state != CTX_LIVE)
		return -ENOENT;
	if (size > APIR_CMD_MAX)
		return -EMSGSIZE;
	if (size == 0) /* somebody only wants its fence */
		return 0;
	padded = round_up(size, 8);
	if (c->n_burst + sizeof head + padded > WORKER_PAYLOAD_MAX) {
		err = burst_send(a, c);
		if (err < 0)
			return err == -EPIPE ? -ENOENT : err;
	}
	if (!c->burst && !(c->burst = malloc(WORKER_PAYLOAD_MAX)))
		return -ENOMEM;
	memcpy(c->burst + c->n_burst, &head, sizeof head);
	memset(c->burst + c->n_burst + sizeof head + padded - 8, 0, 8);
	memcpy(c->burst + c->n_burst + sizeof head, cmd, size);
	c->n_burst += sizeof head + padded;
	return 0;
}
