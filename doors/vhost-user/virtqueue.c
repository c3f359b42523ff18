/* SPDX-License-Identifier: MIT */
/*
 * The split virtqueue. The guest writes the descriptor table and the avail ring at any time, so each value is
 * read once, into a variable, and then checked; every chain's length is bounded by its table's. A ring that
 * makes no sense is stopped with one line in the log: only the guest's driver can mend it, by a reset.
 *
 * Ordering: the guest publishes chains by a release of avail->idx, which virtqueue_pop() acquires; we publish
 * used elements by a release of used->idx, which the guest acquires. Whether to interrupt is asked after a
 * full fence, paired with the guest's own between its enabling interrupts and its last look at used->idx.
 */
#include "virtqueue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "log/log.h"

void virtqueue_init(struct virtqueue *q, unsigned index)
{
	*q = (struct virtqueue){ .index = index, .kick = -1, .call = -1 };
}

void virtqueue_close(struct virtqueue *q)
{
	if (q->kick >= 0)
		close(q->kick);
	if (q->call >= 0)
		close(q->call);
	q->kick = q->call = -1;
}

void virtqueue_start(struct virtqueue *q)
{
	q->started = true;
	q->broken = false;
	q->resolved = q->lost = false;
}

void virtqueue_stop(struct virtqueue *q)
{
	q->started = false;
	q->notify = false;
}

static int break_queue(struct virtqueue *q, const char *why)
{
	log_warn("virtqueue %u: %s; stopped until the guest resets the device", q->index, why);
	q->broken = true;
	return -EBADMSG;
}

/* Finds the rings in our address space, again whenever the memory table has changed. That they aren't there
 * may pass: QEMU changes the table one region at a time. */
static bool resolve(struct virtqueue *q, struct guest_memory *m)
{
	bool first = !q->resolved;
	uint64_t num = q->num;

	if (q->resolved && q->generation == m->generation)
		return true;
	q->desc = guest_memory_at_uva(m, q->addr.desc, sizeof *q->desc * num);
	q->avail = guest_memory_at_uva(m, q->addr.avail, sizeof *q->avail + sizeof(__virtio16) * num);
	q->used = guest_memory_at_uva(m, q->addr.used, sizeof *q->used + sizeof(struct vring_used_elem) * num);
	if (!q->desc || !q->avail || !q->used || num == 0) {
		if (!q->lost)
			log_warn("virtqueue %u: its rings aren't in the guest's memory", q->index);
		q->lost = true;
		return false;
	}
	q->generation = m->generation;
	q->resolved = true;
	q->lost = false;
	if (first) {
		q->used_next = __atomic_load_n(&q->used->idx, __ATOMIC_RELAXED);
		__atomic_store_n(&q->used->flags, 0, __ATOMIC_RELAXED);
	}
	return true;
}

bool virtqueue_writable(struct virtqueue *q, struct guest_memory *m)
{
	return q->started && (q->broken || resolve(q, m));
}

bool virtqueue_runs(struct virtqueue *q, struct guest_memory *m)
{
	return q->started && q->enabled && !q->broken && resolve(q, m);
}

/* The table that a chain's descriptors come from: the ring's own, or an indirect one in guest memory. */
struct table {
	const struct vring_desc *ring; /* NULL: indirect */
	uint64_t gpa;
	uint32_t count;
};

static bool table_read(struct guest_memory *m, const struct table *t, uint32_t i, struct vring_desc *d)
{
	if (!t->ring)
		return guest_memory_read(m, d, t->gpa + i * sizeof *d, sizeof *d);
	memcpy(d, &t->ring[i], sizeof *d);
	/* as in guest_memory_read(): never fetched twice */
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

static int walk(struct virtqueue *q, struct guest_memory *m, struct chain *c, uint8_t *buf, size_t cap)
{
	struct table t = { .ring = q->desc, .count = q->num };
	uint32_t i = c->head;
	struct vring_desc d;
	bool writable = false;

	if (i >= t.count)
		return break_queue(q, "a chain starts outside the table");
	table_read(m, &t, i, &d);
	if (d.flags & VRING_DESC_F_INDIRECT) {
		uint64_t end;

		if (d.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE))
			return break_queue(q, "an indirect descriptor with a successor");
		if (d.len == 0 || d.len % sizeof d || __builtin_add_overflow(d.addr, d.len, &end))
			return break_queue(q, "an indirect table of a wrong size");
		t = (struct table){ .gpa = d.addr, .count = d.len / (uint32_t)sizeof d };
		/* `next` has 16 bits: no chain gets further */
		if (t.count > UINT16_MAX + 1u)
			t.count = UINT16_MAX + 1u;
		i = 0;
		if (!table_read(m, &t, i, &d))
			return break_queue(q, "an indirect table outside the guest's memory");
	}
	for (uint32_t seen = 1;; seen++) {
		if (d.flags & VRING_DESC_F_INDIRECT)
			return break_queue(q, "an indirect descriptor within a chain");
		if (d.flags & VRING_DESC_F_WRITE) {
			writable = true;
			if (c->part_count < CHAIN_PARTS_MAX)
				c->parts[c->part_count++] = (struct chain_part){ d.addr, d.len };
		} else {
			size_t n = c->size < cap ? cap - c->size : 0;

			if (writable)
				return break_queue(q, "a readable descriptor behind a writable one");
			if (n > d.len)
				n = d.len;
			if (n && !guest_memory_read(m, buf + c->size, d.addr, n))
				return break_queue(q, "a buffer outside the guest's memory");
			c->size += d.len;
		}
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 1;
		if (seen >= t.count)
			return break_queue(q, "a chain that never ends");
		i = d.next;
		if (i >= t.count)
			return break_queue(q, "a chain leads outside its table");
		if (!table_read(m, &t, i, &d))
			return break_queue(q, "an indirect table outside the guest's memory");
	}
}

int virtqueue_pop(struct virtqueue *q, struct guest_memory *m, struct chain *c, void *buf, size_t cap)
{
	uint16_t idx, waiting;
	int err;

	if (!virtqueue_runs(q, m))
		return 0;
	idx = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);
	waiting = (uint16_t)(idx - q->avail_next);
	if (waiting == 0)
		return 0;
	if (waiting > q->num)
		return break_queue(q, "the avail index jumped");
	if (q->in_flight >= q->num)
		return break_queue(q, "more chains in flight than it has descriptors");
	*c = (struct chain){ .head = __atomic_load_n(&q->avail->ring[q->avail_next % q->num], __ATOMIC_RELAXED) };
	if ((err = walk(q, m, c, buf, cap)) < 0)
		return err;
	q->avail_next++;
	q->in_flight++;
	return 1;
}

void virtqueue_push(struct virtqueue *q, struct guest_memory *m, const struct chain *c, const void *reply, size_t len)
{
	struct vring_used_elem e = { .id = c->head };
	size_t at = 0;

	if (q->in_flight)
		q->in_flight--;
	if (q->broken || !virtqueue_writable(q, m))
		return;
	for (unsigned i = 0; i < c->part_count && at < len; i++) {
		size_t n = len - at < c->parts[i].len ? len - at : c->parts[i].len;

		if (!guest_memory_write(m, c->parts[i].gpa, (const uint8_t *)reply + at, n)) {
			break_queue(q, "room for a reply outside the guest's memory");
			return;
		}
		at += n;
	}
	e.len = (uint32_t)at;
	memcpy(&q->used->ring[q->used_next % q->num], &e, sizeof e);
	q->used_next++;
	/* the guest acquires this when it looks for used buffers */
	__atomic_store_n(&q->used->idx, q->used_next, __ATOMIC_RELEASE);
	q->notify = true;
}

void virtqueue_flush(struct virtqueue *q, struct guest_memory *m)
{
	uint64_t one = 1;

	if (!q->notify || q->call < 0 || !virtqueue_runs(q, m))
		return;
	q->notify = false;
	/* used->idx is out before avail->flags is read; see above */
	atomic_thread_fence(memory_order_seq_cst);
	if (__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT)
		return;
	/* An eventfd's write fails only when it is readable already, which is what we want. */
	if (write(q->call, &one, sizeof one) < 0 && errno != EAGAIN)
		log_warn("virtqueue %u: can't interrupt the guest: %s", q->index, strerror(errno));
}
