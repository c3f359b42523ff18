/* SPDX-License-Identifier: MIT */
/* See call.h. */
#include "guest/call.h"

#include <errno.h>
#include <string.h>

void call_header(struct call *c, enum apir_fn fn)
{
	struct session *s = c->session;
	size_t n = channel_header(&s->channel, s->command, APIR_FORWARD, (int32_t)fn, &s->channel.reply);

	c->broken = false;
	c->expects = CHANNEL_ANSWER_MAX;
	c->args = cursor_over(s->command, sizeof s->command);
	c->args.pos = n;
}

void call_u32(struct call *c, uint32_t v)
{
	c->broken |= !cursor_write_u32(&c->args, v);
}

void call_u64(struct call *c, uint64_t v)
{
	c->broken |= !cursor_write_u64(&c->args, v);
}

void call_bytes(struct call *c, const void *p, size_t n)
{
	c->broken |= !cursor_write(&c->args, p, n);
}

/* Where the answer goes. */
static void answer_in(struct call *c, const struct shm *reply)
{
	memcpy(c->session->command + 2 * sizeof(int32_t), &reply->res_id, sizeof reply->res_id);
}

bool call_post(struct call *c, struct slot *slot, unsigned flags)
{
	struct session *s = c->session;

	answer_in(c, &slot->reply);
	if (!c->broken && queue_post(&s->queue, slot, c->name, s->command, c->args.pos, flags) == 0)
		return true;
	answer_in(c, &s->channel.reply);
	return false;
}

static int run(struct call *c, unsigned flags, bool quiet)
{
	struct session *s = c->session;
	int64_t code;

	if (c->broken)
		return -EMSGSIZE;
	code = queue_run(&s->queue, s->command, c->args.pos, flags);
	if (!apir_forward_ok(code) && !(quiet && code > 0))
		complaint_about(&s->complaints, c->name, code);
	if (code < 0)
		return code == -EAGAIN ? -EAGAIN : -EPIPE;
	if (!apir_forward_ok(code))
		return -EREMOTEIO;
	memcpy(s->answer, (char *)s->channel.reply.ptr + sizeof(uint32_t), c->expects);
	c->reply = cursor_over(s->answer, c->expects);
	return session_alive(s) ? 0 : -EPIPE;
}

int call_run(struct call *c)
{
	return run(c, 0, false);
}

int call_run_graph(struct call *c)
{
	return run(c, POST_STATUS, false);
}

int call_try(struct call *c)
{
	return run(c, POST_ASIDE, true);
}
