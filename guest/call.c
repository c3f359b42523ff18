/* SPDX-License-Identifier: MIT */
/* See call.h. Commands are executed in order: an answer says that everything sent before is done too. */
#include "guest/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/blob.h"
#include "guest/command.h"
#include "guest/say.h"

void call_header(struct call *c, enum apir_fn fn)
{
	struct session *s = c->session;
	size_t n = command_header(s, s->command, APIR_FORWARD, (int32_t)fn, &s->reply);

	c->broken = false;
	c->expects = ANSWER_MAX;
	c->args = cursor_over(s->command, sizeof s->command);
	c->args.pos = n;
}

/* The first of those that were posted, up to that turn; NULL: none. */
static struct slot *slot_first(struct session *s, uint64_t turn)
{
	struct slot *first = NULL;

	for (size_t i = 0; i < SESSION_SLOTS; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->posted && slot->turn <= turn && (!first || slot->turn < first->turn))
			first = slot;
	}
	return first;
}

void call_enter(struct call *c, struct session *s, const char *name)
{
	c->session = s;
	c->name = name;
	session_lock(s);
	if (slot_first(s, UINT64_MAX)) /* else nothing is touched */
		blobs_enter(s);
}

void call_begin(struct call *c, struct session *s, enum apir_fn fn, const char *name)
{
	c->session = s;
	c->name = name;
	session_lock(s);
	blobs_enter(s);
	/* What is pending must be there before anything that could see that it isn't. */
	if (fn >= APIR_FN_BUFFER_BASE && s->pending.n)
		pending_flush(s);
	call_header(c, fn);
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

static void complain_of_death(const struct session *s, const char *name)
{
	const char *why = "its worker or device process ended", *cure = "see the host's log";
	char silence[64];

	if (atomic_load(&s->torn)) {
		why = "the device was reset or unbound";
		cure = "see the system's log";
	} else if (atomic_load(&s->pulse.spent)) {
		snprintf(silence, sizeof silence, "it has not answered for %u s", s->pulse.patience_ms / 1000);
		why = silence;
		cure = "see what became of it";
	}
	say_error("%s: %s: the host is gone (%s): %s, then start this program again", s->transport->where, name, why,
		cure);
}

/* At most a few lines a session: a program that loops must not flood its log. */
static void complain(struct session *s, const char *name, int64_t code)
{
	static const char *const reasons[] = {
		[APIR_FORWARD_NO_DISPATCH] = "its library isn't loaded",
		[APIR_FORWARD_TIMEOUT] = "it took too long",
		[APIR_FORWARD_NO_SYNC] = "its answer is not complete",
		[APIR_FORWARD_BASE + APIR_FN_FAILED] = "it could not be done",
		[APIR_FORWARD_BASE + APIR_FN_REFUSED] = "it was refused",
		[APIR_FORWARD_BASE + APIR_FN_INVALID] = "it doesn't know the function",
	};

	if (code < 0 && code != -EAGAIN) {
		if (session_death_untold(s))
			complain_of_death(s, name);
		return;
	}
	if (atomic_fetch_add(&s->complaints, 1) >= SESSION_COMPLAINTS)
		return;
	if (code < 0)
		say_error(COMMAND_UNSENT, s->transport->where, name);
	else
		say_error("%s: %s failed on the host: %s (code %lld): see the host's log", s->transport->where, name,
			code < (int64_t)ARRAY_SIZE(reasons) && reasons[code] ? reasons[code] : "unknown",
			(long long)code);
}

/* Waits for what was posted in the slot; where that failed it is reported, and what is lost by it is noted. */
static void slot_settle(struct session *s, struct slot *slot)
{
	int32_t status = 0;
	int64_t code = command_await(s, &slot->reply, slot->has_status, 0);

	if (apir_forward_ok(code) && slot->has_status)
		memcpy(&status, (char *)slot->reply.ptr + sizeof(uint32_t), sizeof status);
	if (apir_forward_ok(code) && !session_alive(s)) /* what was read may be none of the host's */
		code = -EPIPE;
	if (!apir_forward_ok(code))
		complain(s, slot->posted, code);
	if (!apir_forward_ok(code) || status)
		loss_note(slot->owner, &slot->touched);
	else if (slot->owner)
		loss_follow(slot->owner, &slot->touched);
	if (slot->bulk) {
		slot->bulk->failed = !apir_forward_ok(code);
		slot->bulk->slot = NULL;
	}
	slot->posted = NULL;
}

/* In the order in which they were posted, so that what follows from a loss is lost, too. */
static void settle_up_to(struct session *s, uint64_t turn)
{
	struct slot *first;

	while ((first = slot_first(s, turn)))
		slot_settle(s, first);
}

/* Those that have their answers: a slot that serves again is one blob less, and each is a mapping in the guest. */
static void settle_answered(struct session *s)
{
	struct slot *first;

	while ((first = slot_first(s, UINT64_MAX)) &&
		atomic_load_explicit((const _Atomic uint32_t *)first->reply.ptr, memory_order_relaxed))
		slot_settle(s, first);
}

void call_settle(struct call *c)
{
	settle_up_to(c->session, UINT64_MAX);
}

void call_settle_slot(struct call *c, struct slot *slot)
{
	if (slot->posted)
		settle_up_to(c->session, slot->turn);
}

/* The memory that it needs, made when it serves for the first time. */
static bool slot_equip(struct session *s, struct slot *slot, bool data)
{
	if (!slot->reply.ptr && blob_spare(s, APIR_BLOB_GRANULE, "an answer", &slot->reply) < 0)
		return false;
	return !data || slot->data.ptr || blob_spare(s, PENDING_RUN, "small writes", &slot->data) == 0;
}

/* One that has served before; there is no memory for another. NULL: none has. */
static struct slot *slot_again(struct call *c, bool data)
{
	struct session *s = c->session;

	call_settle(c);
	for (size_t i = 0; session_alive(s) && i < SESSION_SLOTS; i++) {
		if (s->slots[i].reply.ptr && (!data || s->slots[i].data.ptr))
			return &s->slots[i];
	}
	return NULL;
}

struct slot *call_slot(struct call *c, bool data)
{
	struct session *s = c->session;
	struct slot *slot = &s->slots[0];

	settle_answered(s);
	for (size_t i = 0; i < SESSION_SLOTS && slot->posted; i++)
		slot = &s->slots[i];
	if (slot->posted)
		call_settle(c);
	if (!session_alive(s))
		return NULL;
	if (!slot_equip(s, slot, data))
		slot = slot_again(c, data);
	if (!slot)
		return NULL;
	slot->owner = NULL;
	slot->touched = (struct touched){ .buffers = slot->few };
	slot->bulk = NULL;
	return slot;
}

bool call_slot_writes(struct slot *slot, struct buffer *b)
{
	size_t n = slot->touched.n;

	for (size_t i = 0; i < n; i++) {
		if (slot->few[i] == b)
			return true;
	}
	if (n == SLOT_BUFFERS)
		return false;
	slot->few[n] = b;
	slot->touched.n = slot->touched.n_written = n + 1;
	return true;
}

/* Where the answer to the command at hand goes. */
static void answer_in(struct session *s, const struct shm *reply)
{
	memcpy(s->command + 2 * sizeof(int32_t), &reply->res_id, sizeof reply->res_id);
}

bool call_post(struct call *c, struct slot *slot, unsigned flags)
{
	struct session *s = c->session;

	int err = -EPIPE;

	answer_in(s, &slot->reply);
	if (!c->broken)
		err = command_send(s, &slot->reply, s->command, c->args.pos, flags & POST_MORE ? SUBMIT_MORE : 0);
	if (!err) {
		slot->posted = c->name;
		slot->turn = ++s->turns;
		slot->has_status = flags & POST_STATUS;
		return true;
	}
	answer_in(s, &s->reply); /* it may be waited for instead */
	complain(s, c->name, err);
	return false;
}

static int run(struct call *c, bool long_wait, bool quiet)
{
	struct session *s = c->session;
	int64_t code;

	if (c->broken)
		return -EMSGSIZE;
	for (size_t i = 0; i < SESSION_SLOTS; i++)
		long_wait |= s->slots[i].posted && s->slots[i].has_status; /* a graph is computed first */
	code = command_run(s, s->command, c->args.pos, long_wait, 0);
	/* Commands are executed in order: what was posted before has its answer now. */
	if (code >= 0)
		call_settle(c);
	if (!apir_forward_ok(code) && !(quiet && code > 0))
		complain(s, c->name, code);
	if (code < 0)
		return code == -EAGAIN ? -EAGAIN : -EPIPE;
	if (!apir_forward_ok(code))
		return -EREMOTEIO;
	memcpy(s->answer, (char *)s->reply.ptr + sizeof(uint32_t), c->expects);
	c->reply = cursor_over(s->answer, c->expects);
	return session_alive(s) ? 0 : -EPIPE;
}

int call_run(struct call *c)
{
	return run(c, false, false);
}

int call_run_long(struct call *c)
{
	return run(c, true, false);
}

int call_try(struct call *c)
{
	return run(c, false, true);
}

void call_end(struct call *c)
{
	blobs_leave(c->session);
	session_unlock(c->session);
}
