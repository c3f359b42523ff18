/* SPDX-License-Identifier: MIT */
/* See queue.h. */
#include "guest/queue.h"

#include <errno.h>
#include <string.h>

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

/* A computation may take long, and so may the next that waits for it. */
static bool slot_is_long(const struct queue *q, const struct slot *slot)
{
	return q->async ? q->computing && slot->turn > q->computing : slot->has_status;
}

/* Waits for what was posted in the slot; where that failed it is reported, and what is lost by it is noted. */
static void slot_settle(struct queue *q, struct slot *slot)
{
	int32_t status = 0;
	int64_t code = channel_await(q->channel, &slot->reply, slot_is_long(q, slot), 0);

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

/* In the order in which they were posted, so that what follows from a loss is lost, too. One wait does for all: they are
 * answered in that order as well. */
static void settle_up_to(struct queue *q, uint64_t turn)
{
	const struct slot *last = slot_last(q, turn);
	struct slot *first;

	if (last && q->async)
		channel_expect(q->channel, &last->reply, slot_is_long(q, last));
	while ((first = slot_first(q, turn)))
		slot_settle(q, first);
}

/* Those that have their answers: a slot that serves again is one blob less, and each is a mapping in the guest. */
static void settle_answered(struct queue *q)
{
	struct slot *first;

	while ((first = slot_first(q, UINT64_MAX)) &&
		atomic_load_explicit((const _Atomic uint32_t *)first->reply.ptr, memory_order_relaxed))
		slot_settle(q, first);
}

void queue_settle(struct queue *q)
{
	settle_up_to(q, UINT64_MAX);
}

void queue_settle_slot(struct queue *q, struct slot *slot)
{
	if (slot->posted)
		settle_up_to(q, slot->turn);
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

/* A graph is computed before the next answer comes. */
static bool queue_computes(const struct queue *q)
{
	bool computes = q->computing != 0;

	for (size_t i = 0; i < QUEUE_SLOTS; i++)
		computes |= q->slots[i].posted && q->slots[i].has_status;
	return computes;
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
	int64_t code = channel_run(q->channel, cmd, size, flags & POST_STATUS || queue_computes(q), 0);

	if (code < 0)
		return code;
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
