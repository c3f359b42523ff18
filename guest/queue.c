/* SPDX-License-Identifier: MIT */
/* See queue.h. */
#include "guest/queue.h"

#include <errno.h>
#include <string.h>

#include "platform/clock.h"

/* The first of those that were posted, up to that turn; NULL: none. */
static struct slot *slot_first(struct queue *q, uint64_t turn)
{
	struct slot *first = NULL;

	for (size_t i = 0; i < QUEUE_SLOTS; i++) {
		struct slot *slot = &q->slots[i];

		if (slot->posted && slot->turn <= turn && (!first || slot->turn < first->turn))
			first = slot;
	}
	return first;
}

/* When the last computation is over. */
static int64_t queue_end(const struct queue *q)
{
	return q->expected ? q->expected : CHANNEL_LATE;
}

/* A computation takes its time, and so does the next command that waits for it: the computation's turn; 0: it is neither. */
static uint64_t slot_computation(const struct queue *q, const struct slot *slot)
{
	if (!q->async)
		return slot->has_status ? slot->turn : 0;
	return slot->turn > q->computing ? q->computing : 0;
}

/* The last computation is known to be over, by an answer that was waited for. */
static void queue_timed(struct queue *q, uint64_t computation)
{
	q->timed = computation;
	q->took = clock_ns() - q->sent;
}

void queue_expect(struct queue *q, int64_t ns)
{
	q->sent = clock_ns();
	q->expected = ns ? q->sent + ns : 0;
}

static bool slot_answered(const struct slot *slot)
{
	return atomic_load_explicit((const _Atomic uint32_t *)slot->reply.ptr, memory_order_relaxed);
}

/* Waits for what was posted in the slot; where that failed it is reported, and what is lost by it is noted. */
static void slot_settle(struct queue *q, struct slot *slot)
{
	int32_t status = 0;
	int64_t code = channel_await(q->channel, &slot->reply, CHANNEL_SOON, 0);

	if (apir_forward_ok(code) && slot->has_status)
		memcpy(&status, (char *)slot->reply.ptr + sizeof(uint32_t), sizeof status);
	if (apir_forward_ok(code) && !connection_alive(q->channel->pulse->connection))
		code = -EPIPE; /* what was read may be none of the host's */
	if (!slot->has_status && slot->turn > q->computing)
		q->computing = 0;
	if (!apir_forward_ok(code))
		complaint_about(q->complaints, slot->posted, code);
	if (!apir_forward_ok(code) || status)
		loss_note(slot->owner, &slot->touched);
	else if (slot->owner)
		loss_follow(slot->owner, &slot->touched);
	if (slot->done)
		slot->done(slot, q->channel->pulse->connection, apir_forward_ok(code));
	slot->posted = NULL;
}

/* The last of them, likewise. */
static const struct slot *slot_last(const struct queue *q, uint64_t turn)
{
	const struct slot *last = NULL;

	for (size_t i = 0; i < QUEUE_SLOTS; i++) {
		const struct slot *slot = &q->slots[i];

		if (slot->posted && slot->turn <= turn && (!last || slot->turn > last->turn))
			last = slot;
	}
	return last;
}

/* One wait does for all that come before it: they are answered in order. */
static void slot_expect(struct queue *q, const struct slot *last)
{
	uint64_t computation = slot_computation(q, last);

	channel_expect(q->channel, &last->reply, computation ? queue_end(q) : CHANNEL_SOON);
	if (computation)
		queue_timed(q, computation);
}

/* In the order in which they were posted, so that what follows from a loss is lost, too. */
void queue_settle_up_to(struct queue *q, uint64_t turn)
{
	const struct slot *last = slot_last(q, turn);
	struct slot *first;

	if (last && !slot_answered(last))
		slot_expect(q, last);
	while ((first = slot_first(q, turn)))
		slot_settle(q, first);
}

/* Those that have their answers: a slot that serves again is one blob less, and each is a mapping in the guest. */
static void settle_answered(struct queue *q)
{
	struct slot *first;

	while ((first = slot_first(q, UINT64_MAX)) && slot_answered(first))
		slot_settle(q, first);
}

void queue_settle(struct queue *q)
{
	queue_settle_up_to(q, UINT64_MAX);
}

void queue_settle_slot(struct queue *q, struct slot *slot)
{
	if (slot->posted)
		queue_settle_up_to(q, slot->turn);
}

bool queue_busy(const struct queue *q)
{
	bool busy = q->computing != 0;

	for (size_t i = 0; i < QUEUE_SLOTS; i++)
		busy |= q->slots[i].posted != NULL;
	return busy;
}

bool queue_tells_end(const struct queue *q)
{
	bool tells = !q->computing;

	for (size_t i = 0; i < QUEUE_SLOTS; i++)
		tells |= q->slots[i].posted && !q->slots[i].has_status && q->slots[i].turn > q->computing;
	return tells;
}

/* A graph is computed before the next answer comes: the last one's turn; 0: none. */
static uint64_t queue_computes(const struct queue *q)
{
	uint64_t turn = q->computing;

	for (size_t i = 0; i < QUEUE_SLOTS; i++) {
		if (q->slots[i].posted && q->slots[i].has_status && q->slots[i].turn > turn)
			turn = q->slots[i].turn;
	}
	return turn;
}

/* The memory that it needs, made when it serves for the first time. */
static bool slot_equip(struct queue *q, struct slot *slot, bool data)
{
	struct blobs *blobs = q->channel->blobs;

	if (!slot->reply.ptr && blob_spare(blobs, APIR_BLOB_GRANULE, "an answer", &slot->reply) < 0)
		return false;
	return !data || slot->data.ptr || blob_spare(blobs, SLOT_DATA, "small writes", &slot->data) == 0;
}

/* One that has served before; there is no memory for another. NULL: none has. */
static struct slot *slot_again(struct queue *q, bool data)
{
	queue_settle(q);
	for (size_t i = 0; connection_alive(q->channel->pulse->connection) && i < QUEUE_SLOTS; i++) {
		if (q->slots[i].reply.ptr && (!data || q->slots[i].data.ptr))
			return &q->slots[i];
	}
	return NULL;
}

struct slot *queue_slot(struct queue *q, bool data)
{
	struct slot *slot = &q->slots[0];

	settle_answered(q);
	for (size_t i = 0; i < QUEUE_SLOTS && slot->posted; i++)
		slot = &q->slots[i];
	if (slot->posted)
		queue_settle(q);
	if (!connection_alive(q->channel->pulse->connection))
		return NULL;
	if (!slot_equip(q, slot, data))
		slot = slot_again(q, data);
	if (!slot)
		return NULL;
	slot->owner = NULL;
	slot->touched = (struct touched){ .buffers = slot->few };
	slot->done = NULL;
	slot->bulk = NULL;
	slot->to = NULL;
	return slot;
}

bool slot_writes(struct slot *slot, struct buffer *b)
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

int queue_post(struct queue *q, struct slot *slot, const char *name, const void *cmd, size_t size, unsigned flags)
{
	int err = channel_send(q->channel, &slot->reply, cmd, size, flags & POST_MORE ? SUBMIT_MORE : 0);

	if (err) {
		complaint_about(q->complaints, name, err);
		return err;
	}
	slot->posted = name;
	slot->turn = ++q->turns;
	slot->has_status = flags & POST_STATUS;
	if (slot->has_status && q->async)
		q->computing = slot->turn;
	return 0;
}

int64_t queue_run(struct queue *q, const void *cmd, size_t size, unsigned flags)
{
	uint64_t computing = queue_computes(q);
	int64_t expected = flags & POST_STATUS ? CHANNEL_LATE : computing ? queue_end(q) : CHANNEL_SOON;
	int64_t asked = clock_ns(), code = channel_run(q->channel, cmd, size, expected, 0);

	if (code < 0)
		return code;
	/* Where the program was elsewhere for most of the time it may long have been over. */
	if (computing && !(flags & (POST_STATUS | POST_ASIDE)) && clock_ns() - asked > asked - q->sent)
		queue_timed(q, computing);
	queue_settle(q);
	q->turns++;
	if (!(flags & POST_ASIDE))
		q->computing = flags & POST_STATUS && q->async ? q->turns : 0;
	return code;
}

void queue_close(struct queue *q)
{
	for (size_t i = 0; i < QUEUE_SLOTS; i++) {
		if (q->slots[i].data.ptr)
			blob_drop(q->channel->blobs, &q->slots[i].data);
		if (q->slots[i].reply.ptr)
			blob_drop(q->channel->blobs, &q->slots[i].reply);
	}
}
