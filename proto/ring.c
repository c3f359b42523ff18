/* SPDX-License-Identifier: MIT */
/* See ring.h. */
#include "proto/ring.h"

#include <errno.h>
#include <string.h>

static uint32_t padded(uint32_t size)
{
	return (size + 7) & ~UINT32_C(7);
}

void ring_open(struct ring *r, void *memory)
{
	*r = (struct ring){ .head = memory, .bytes = (uint8_t *)memory + sizeof(struct ring_head) };
}

static void bytes_in(const struct ring *r, uint32_t at, const void *from, uint32_t n)
{
	uint32_t start = at % RING_BYTES, first = RING_BYTES - start < n ? RING_BYTES - start : n;

	memcpy(r->bytes + start, from, first);
	memcpy(r->bytes, (const uint8_t *)from + first, n - first);
}

static void bytes_out(const struct ring *r, uint32_t at, void *to, uint32_t n)
{
	uint32_t start = at % RING_BYTES, first = RING_BYTES - start < n ? RING_BYTES - start : n;

	memcpy(to, r->bytes + start, first);
	memcpy((uint8_t *)to + first, r->bytes, n - first);
}

bool ring_write(struct ring *r, const void *cmd, uint32_t size, uint32_t after)
{
	const struct ring_record record = { size, after };
	/* pairs with ring_take()'s release: what lay there has been copied */
	uint32_t used = r->at - atomic_load_explicit(&r->head->read, memory_order_acquire);
	uint32_t n = (uint32_t)sizeof record + padded(size);

	if (size > RING_COMMAND || used > RING_BYTES || n > RING_BYTES - used)
		return false;
	bytes_in(r, r->at, &record, sizeof record);
	bytes_in(r, r->at + (uint32_t)sizeof record, cmd, size);
	r->at += n;
	/* pairs with ring_peek()'s load, and is ordered before ring_wakes()'s */
	atomic_store_explicit(&r->head->written, r->at, memory_order_seq_cst);
	return true;
}

bool ring_wakes(struct ring *r)
{
	return atomic_load_explicit(&r->head->parked, memory_order_seq_cst) == 1 &&
	       atomic_exchange_explicit(&r->head->parked, 0, memory_order_relaxed) == 1;
}

int ring_peek(const struct ring *r, struct ring_record *out)
{
	/* pairs with ring_write()'s store; behind ring_park() it is ordered after that one's */
	uint32_t there = atomic_load_explicit(&r->head->written, memory_order_seq_cst) - r->at;

	if (there == 0)
		return 0;
	if (there < sizeof *out || there > RING_BYTES)
		return -EBADMSG;
	bytes_out(r, r->at, out, sizeof *out);
	if (out->size > RING_COMMAND || sizeof *out + padded(out->size) > there)
		return -EBADMSG;
	return 1;
}

void ring_take(struct ring *r, const struct ring_record *record, void *cmd)
{
	bytes_out(r, r->at + (uint32_t)sizeof *record, cmd, record->size);
	r->at += (uint32_t)sizeof *record + padded(record->size);
	atomic_store_explicit(&r->head->read, r->at, memory_order_release);
}

void ring_park(struct ring *r)
{
	atomic_store_explicit(&r->head->parked, 1, memory_order_seq_cst);
}

void ring_unpark(struct ring *r)
{
	atomic_store_explicit(&r->head->parked, 0, memory_order_relaxed);
}
