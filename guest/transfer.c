/* SPDX-License-Identifier: MIT */
/*
 * See transfer.h. Two blobs take turns, so that one piece is copied here while the host works on the other: posted
 * commands, each in a slot, and a blob is free again when its slot's command is done. The first blob is there from the
 * start; where the second, or a slot, can't be had, each piece is waited for instead.
 */
#include "guest/transfer.h"

#include <string.h>

#include "guest/turn.h"

/* How many blobs can take turns. The other is made when it is wanted first. */
static size_t bulk_blobs(struct session *s, size_t size)
{
	struct shm *other = &s->bulk[1].shm;

	if (size > BULK_PIECE && !other->ptr)
		(void)blob_spare(&s->blobs, BULK_PIECE, "tensors' bytes", other);
	return size > BULK_PIECE && other->ptr ? BULK_BLOBS : 1;
}

/* The blob, when its last piece is done. NULL: the session is dead. */
static struct bulk *bulk_ready(struct call *c, size_t which)
{
	struct bulk *b = &c->session->bulk[which];

	if (b->slot)
		queue_settle_slot(&c->session->queue, b->slot);
	return session_alive(c->session) ? b : NULL;
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

/* All at once, from or to memory of the program's that the host has too. */
static void at_encode(struct call *c, enum apir_fn fn, uint64_t handle, const struct apir_tensor *w,
	const struct shm *shm, uint64_t at, size_t offset, size_t n)
{
	call_header(c, fn);
	call_u64(c, handle);
	call_bytes(c, w, sizeof *w);
	call_u32(c, shm->res_id);
	call_u64(c, at);
	call_u64(c, offset);
	call_u64(c, n);
}

static size_t piece_size(size_t left)
{
	return left < BULK_PIECE ? left : BULK_PIECE;
}

/* A read that nobody waited for: what should be there, or zeros. */
static void read_done(struct slot *slot, const struct connection *c, bool ok)
{
	bool arrived = ok && !loss_hides(slot->from);

	if (arrived && slot->bulk)
		memcpy(slot->to, slot->bulk->shm.ptr, slot->n);
	if (!arrived || !connection_alive(c)) {
		memset(slot->to, 0, slot->n);
		loss_note_read(slot->from);
	}
}

static void piece_done(struct slot *slot, const struct connection *c, bool ok)
{
	slot->bulk->failed = !ok;
	slot->bulk->slot = NULL;
	if (slot->to)
		read_done(slot, c, ok);
}

/* On its way in the slot, which tells the blob how it went. */
static bool piece_post(struct call *c, struct slot *slot, struct bulk *b)
{
	slot->done = piece_done;
	slot->bulk = b;
	if (!call_post(c, slot, 0))
		return false;
	b->slot = slot;
	return true;
}

/* In turns; false: one wasn't sent, or, where it had to be waited for, failed. */
static bool pieces_set(struct call *c, struct buffer *buffer, const struct apir_tensor *w, const char *data,
	size_t offset, size_t size)
{
	const size_t blobs = bulk_blobs(c->session, size);
	size_t done = 0;

	for (size_t turn = 0; done < size; turn++) {
		size_t n = piece_size(size - done);
		struct bulk *b = bulk_ready(c, turn % blobs);
		struct slot *slot = b ? queue_slot(&c->session->queue, false) : NULL;

		if (!session_alive(c->session))
			return false;
		memcpy(b->shm.ptr, data + done, n);
		piece_encode(c, APIR_FN_BUFFER_SET_TENSOR, buffer->handle, w, b, offset + done, n);
		if (slot)
			slot_writes(slot, buffer);
		if (slot ? !piece_post(c, slot, b) : call_run(c) < 0)
			return false;
		done += n;
	}
	return true;
}

bool transfer_set(struct session *s, struct buffer *buffer, const struct apir_tensor *w, const void *data,
	size_t offset, size_t size)
{
	const struct shm *shm;
	struct call c;
	uint64_t at;
	bool done;

	turn_begin(&c, s, APIR_FN_BUFFER_SET_TENSOR, "set_tensor");
	s->counters.set_bytes += size;
	shm = shared_find(&s->shared, data, size, &at);
	if (shm) {
		at_encode(&c, APIR_FN_SET_TENSOR_AT, buffer->handle, w, shm, at, offset, size);
		done = call_run(&c) == 0; /* the caller may change it at once */
	} else {
		done = pieces_set(&c, buffer, w, data, offset, size);
	}
	turn_end(&c);
	return done;
}

bool transfer_set_later(struct session *s, struct buffer *buffer, const struct apir_tensor *w, const void *data,
	size_t offset, size_t n)
{
	const struct shm *shm;
	bool posted = false;
	struct slot *slot;
	struct call c;
	uint64_t at;

	turn_begin(&c, s, APIR_FN_BUFFER_SET_TENSOR, "set_tensor");
	shm = shared_find(&s->shared, data, n, &at);
	slot = shm ? queue_slot(&s->queue, false) : NULL;
	if (slot) {
		at_encode(&c, APIR_FN_SET_TENSOR_AT, buffer->handle, w, shm, at, offset, n);
		slot_writes(slot, buffer);
		posted = call_post(&c, slot, 0);
	}
	turn_end(&c);
	return posted;
}

/* One piece, waited for: most reads are small. */
static bool piece_get(
	struct call *c, struct buffer *buffer, const struct apir_tensor *w, char *data, size_t at, size_t n)
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

/* What was asked for in the blob's turn arrives. */
static bool piece_arrive(struct call *c, struct bulk *b, const struct buffer *buffer, char *data, size_t n)
{
	if (b->slot)
		queue_settle_slot(&c->session->queue, b->slot);
	if (b->failed || loss_hides(buffer))
		return false;
	memcpy(data, b->shm.ptr, n);
	return session_alive(c->session);
}

/* Ahead by one piece: the host fills a blob while the other is emptied here. */
static size_t pieces_get(
	struct call *c, struct buffer *buffer, const struct apir_tensor *w, char *data, size_t offset, size_t size)
{
	size_t asked = 0, done = 0;

	for (size_t turn = 0; done < size; turn++) {
		size_t n = piece_size(size - asked);

		if (n) {
			struct bulk *b = bulk_ready(c, turn % BULK_BLOBS);
			struct slot *slot = b ? queue_slot(&c->session->queue, false) : NULL;

			if (!slot)
				break;
			piece_encode(c, APIR_FN_BUFFER_GET_TENSOR, buffer->handle, w, b, offset + asked, n);
			if (!piece_post(c, slot, b))
				break;
			asked += n;
		}
		if (turn > 0) {
			n = piece_size(size - done);
			if (!piece_arrive(c, &c->session->bulk[(turn - 1) % BULK_BLOBS], buffer, data + done, n))
				break;
			done += n;
		}
	}
	return done;
}

size_t transfer_get(
	struct session *s, struct buffer *buffer, const struct apir_tensor *w, void *data, size_t offset, size_t size)
{
	const struct shm *shm;
	size_t done = 0;
	struct call c;
	uint64_t at;

	turn_begin(&c, s, APIR_FN_BUFFER_GET_TENSOR, "get_tensor");
	s->counters.get_bytes += size;
	shm = shared_find(&s->shared, data, size, &at);
	if (shm) {
		at_encode(&c, APIR_FN_GET_TENSOR_AT, buffer->handle, w, shm, at, offset, size);
		done = call_run(&c) == 0 && !loss_hides(buffer) ? size : 0;
	} else if (bulk_blobs(s, size) == BULK_BLOBS && queue_slot(&s->queue, false)) {
		done = pieces_get(&c, buffer, w, data, offset, size);
	} else {
		while (done < size &&
			piece_get(&c, buffer, w, (char *)data + done, offset + done, piece_size(size - done)))
			done += piece_size(size - done);
	}
	turn_end(&c);
	return done;
}

/* One that nothing is on its way in, waiting for the oldest if need be. NULL: the session is dead. */
static struct bulk *bulk_free(struct call *c)
{
	struct session *s = c->session;
	struct bulk *b = s->bulk;

	if (b[0].slot && (b[1].shm.ptr || blob_spare(&s->blobs, BULK_PIECE, "tensors' bytes", &b[1].shm) == 0) &&
		(!b[1].slot || b[1].slot->turn < b[0].slot->turn))
		b = &b[1];
	return bulk_ready(c, (size_t)(b - s->bulk));
}

bool transfer_get_later(
	struct session *s, struct buffer *buffer, const struct apir_tensor *w, void *data, size_t offset, size_t n)
{
	const struct shm *shm;
	struct bulk *b = NULL;
	bool posted = false;
	struct slot *slot;
	struct call c;
	uint64_t at;

	turn_begin(&c, s, APIR_FN_BUFFER_GET_TENSOR, "get_tensor");
	shm = shared_find(&s->shared, data, n, &at);
	if (!shm && n <= BULK_PIECE)
		b = bulk_free(&c);
	slot = shm || b ? queue_slot(&s->queue, false) : NULL;
	if (slot) {
		slot->from = buffer;
		slot->to = data;
		slot->n = n;
		slot->done = read_done;
	}
	if (slot && shm) {
		at_encode(&c, APIR_FN_GET_TENSOR_AT, buffer->handle, w, shm, at, offset, n);
		posted = call_post(&c, slot, 0);
	} else if (slot) {
		piece_encode(&c, APIR_FN_BUFFER_GET_TENSOR, buffer->handle, w, b, offset, n);
		posted = piece_post(&c, slot, b);
	}
	if (posted)
		s->counters.get_bytes += n;
	turn_end(&c);
	return posted;
}

bool transfer_reads_into(struct session *s, const void *data, size_t size)
{
	const uintptr_t from = (uintptr_t)data;
	bool reads = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < QUEUE_SLOTS; i++) {
		const struct slot *slot = &s->queue.slots[i];
		uintptr_t to = (uintptr_t)slot->to;

		reads |= slot->posted && to && from < to + slot->n && to < from + size;
	}
	pthread_mutex_unlock(&s->lock);
	return reads;
}

void transfer_abandon(struct session *s)
{
	for (size_t i = 0; i < QUEUE_SLOTS; i++) {
		struct slot *slot = &s->queue.slots[i];

		if (slot->posted && slot->bulk && slot->to)
			memset(slot->to, 0, slot->n);
		slot->to = NULL;
	}
}

static_assert(APIR_OPTIMIZE_MAX <= BULK_PIECE, "a graph that is asked about");

struct shm *transfer_blob(struct call *c)
{
	struct bulk *b = bulk_ready(c, 0);

	return b ? &b->shm : NULL;
}
