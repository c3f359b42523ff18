/* SPDX-License-Identifier: MIT */
/*
 * See transfer.h. Two blobs take turns, so that one piece is copied here while the host works on the other: posted
 * commands, each in a slot, and a blob is free again when its slot's command is done.
 */
#include "guest/transfer.h"

#include <string.h>

#include "guest/blob.h"

/* The blob's turn: its last piece is done, and the memory is there. */
static struct bulk *bulk_ready(struct call *c, size_t turn)
{
	struct session *s = c->session;
	struct bulk *b = &s->bulk[turn % BULK_BLOBS];

	if (b->slot)
		call_settle_slot(c, b->slot);
	if (!session_alive(s))
		return NULL;
	if (!b->shm.ptr && blob_need(s, BULK_PIECE, "tensors' bytes", &b->shm) < 0)
		return NULL;
	return b;
}

static void piece_encode(struct call *c, enum apir_fn fn, uint64_t handle, const struct apir_tensor *w,
	const struct bulk *b, size_t at, size_t n)
{
	call_header(c, fn);
	call_u64(c, handle);
	call_bytes(c, w, sizeof *w);
	call_u32(c, b->shm.res_id);
	call_u64(c, at);
	call_u64(c, n);
}

static size_t piece_size(size_t left)
{
	return left < BULK_PIECE ? left : BULK_PIECE;
}

/* On its way in the slot, which tells the blob how it went. */
static bool piece_post(struct call *c, struct slot *slot, struct bulk *b)
{
	slot->bulk = b;
	if (!call_post(c, slot, 0))
		return false;
	b->slot = slot;
	return true;
}

bool transfer_set(struct session *s, struct buffer *buffer, const struct apir_tensor *w, const void *data,
	size_t offset, size_t size)
{
	size_t done = 0;
	struct call c;

	call_begin(&c, s, APIR_FN_BUFFER_SET_TENSOR, "set_tensor");
	for (size_t turn = 0; done < size; turn++) {
		size_t n = piece_size(size - done);
		struct bulk *b = bulk_ready(&c, turn);
		struct slot *slot = b ? call_slot(&c, false) : NULL;

		if (!slot)
			break;
		memcpy(b->shm.ptr, (const char *)data + done, n);
		piece_encode(&c, APIR_FN_BUFFER_SET_TENSOR, buffer->handle, w, b, offset + done, n);
		call_slot_writes(slot, buffer);
		if (!piece_post(&c, slot, b))
			break;
		done += n;
	}
	call_end(&c);
	return done == size;
}

/* One piece, waited for: most reads are small. */
static bool piece_get(
	struct call *c, struct buffer *buffer, const struct apir_tensor *w, void *data, size_t at, size_t n)
{
	struct bulk *b = bulk_ready(c, 0);

	if (!b)
		return false;
	piece_encode(c, APIR_FN_BUFFER_GET_TENSOR, buffer->handle, w, b, at, n);
	c->expects = 0;
	/* What was posted before has its answer now: the buffer may have been tainted by it. */
	if (call_run(c) < 0 || loss_hides(buffer))
		return false;
	memcpy(data, b->shm.ptr, n);
	return session_alive(c->session);
}

size_t transfer_get(
	struct session *s, struct buffer *buffer, const struct apir_tensor *w, void *data, size_t offset, size_t size)
{
	size_t asked = 0, done = 0, turn = 0;
	struct call c;

	call_begin(&c, s, APIR_FN_BUFFER_GET_TENSOR, "get_tensor");
	if (size <= BULK_PIECE) {
		done = piece_get(&c, buffer, w, data, offset, size) ? size : 0;
		call_end(&c);
		return done;
	}
	/* Ahead by one piece: the host fills a blob while the other is emptied here. */
	while (done < size) {
		size_t n = piece_size(size - asked);

		if (n) {
			struct bulk *b = bulk_ready(&c, turn);
			struct slot *slot = b ? call_slot(&c, false) : NULL;

			if (!slot)
				break;
			piece_encode(&c, APIR_FN_BUFFER_GET_TENSOR, buffer->handle, w, b, offset + asked, n);
			if (!piece_post(&c, slot, b))
				break;
			asked += n;
		}
		turn++;
		if (turn > 1 || asked == size) {
			struct bulk *b = &s->bulk[(done / BULK_PIECE) % BULK_BLOBS];

			n = piece_size(size - done);
			if (b->slot)
				call_settle_slot(&c, b->slot);
			if (b->failed || loss_hides(buffer))
				break;
			memcpy((char *)data + done, b->shm.ptr, n);
			if (!session_alive(s))
				break;
			done += n;
		}
	}
	call_end(&c);
	return done;
}
