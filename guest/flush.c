/* SPDX-License-Identifier: MIT */
/*
 * See flush.h. Writes go in the order of their addresses; since none overlaps another, the order among them
 * doesn't matter. A host that knows WRITE gets them all in one command. For others, two are put together when they
 * touch, or when the second starts at the first aligned address behind the first one's tensor: only padding lies
 * between them then. One SET_TENSOR writes them as a row of bytes.
 */
#include "guest/flush.h"

#include <string.h>

#include "guest/bytes.h"

/* Without a slot, for which there was no memory, it is waited for. */
static bool sent(struct call *c, struct slot *slot)
{
	return slot ? call_post(c, slot, POST_MORE) : session_alive(c->session) && call_run(c) == 0;
}

/* One run of writes as one command, from writes[first] on, which isn't there yet; returns the next run's first. */
static size_t run_post(struct call *c, size_t first)
{
	const struct pending *p = &c->session->pending;
	const struct pending_write *w = &p->writes[first];
	uint64_t start = w->start, end = start;
	struct buffer *b = w->buffer;
	struct apir_tensor t;
	struct slot *slot = queue_slot(&c->session->queue, true);
	size_t i = first;
	/* Nothing is on its way where there is no slot. */
	const struct shm *data = slot ? &slot->data : &c->session->bulk[0].shm;
	uint8_t *out = data->ptr;

	for (uint64_t pad = 0; i < p->n && w->buffer == b; i++, w++) {
		if ((w->start != end && w->start != end + pad) || w->start - start + w->size > SLOT_DATA)
			break;
		memset(out + (end - start), 0, w->start - end);
		memcpy(out + (w->start - start), p->bytes + w->at, w->size);
		end = w->start + w->size;
		pad = w->pad;
	}
	t = bytes_encode(b->handle, start, (uint32_t)(end - start));
	call_header(c, APIR_FN_BUFFER_SET_TENSOR);
	call_u64(c, t.buffer);
	call_bytes(c, &t, sizeof t);
	call_u32(c, data->res_id);
	call_u64(c, 0);
	call_u64(c, t.ne[0]);
	if (slot)
		slot_writes(slot, b);
	return sent(c, slot) ? i : first;
}

/* As many as one command holds, each as it is, from writes[first] on; returns the first that isn't in it. */
static size_t writes_post(struct call *c, size_t first)
{
	static const uint8_t zeros[8];
	const struct pending *p = &c->session->pending;
	struct slot *slot = queue_slot(&c->session->queue, false);
	size_t i = first;

	call_header(c, APIR_FN_WRITE);
	for (; i < p->n; i++) {
		const struct pending_write *w = &p->writes[i];
		const struct apir_write head = { w->buffer->handle, w->start, w->size };

		if (cursor_left(&c->args) < sizeof head + w->size + sizeof zeros ||
			(slot && !slot_writes(slot, w->buffer)))
			break;
		call_bytes(c, &head, sizeof head);
		call_bytes(c, p->bytes + w->at, w->size);
		call_bytes(c, zeros, -w->size & 7);
	}
	return sent(c, slot) ? i : first;
}

void flush_pending(struct session *s)
{
	const bool as_writes = s->features & APIR_FEATURE_WRITE;
	struct call c = { .session = s, .name = as_writes ? "write" : "set_tensor" };
	size_t i = 0;

	while (i < s->pending.n && session_alive(s)) {
		size_t next = as_writes ? writes_post(&c, i) : run_post(&c, i);

		if (next == i)
			break;
		i = next;
	}
	for (; i < s->pending.n; i++)
		loss_note_write(s->pending.writes[i].buffer);
	s->pending.n = s->pending.used = 0;
}
