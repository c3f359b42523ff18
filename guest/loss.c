/* SPDX-License-Identifier: MIT */
/* See loss.h. A buffer's taints are a bit a stream, and two for nobody; a list of all buffers serves to take one away. */
#include "guest/loss.h"

#include "ggml-abi/abi.h"

#define NOBODYS_WRITE UINT64_C(1)
#define NOBODYS_READ  UINT64_C(2) /* hides nothing */
#define NOBODYS       (NOBODYS_WRITE | NOBODYS_READ)

void loss_stream_begin(struct losses *l, struct stream *s)
{
	uint64_t names_left = ~(l->names | NOBODYS);

	*s = (struct stream){ .losses = l, .name = names_left & -names_left }; /* the lowest, 0: none is */
	l->names |= s->name;
}

/* Takes a name away from all buffers, and leaves another. */
static void taints_rename(struct losses *l, uint64_t from, uint64_t to)
{
	for (struct buffer *b = l->buffers; from && b; b = b->next) {
		if (atomic_load(&b->taints) & from) {
			atomic_fetch_or(&b->taints, to);
			atomic_fetch_and(&b->taints, ~from);
		}
	}
}

void loss_stream_end(struct stream *s)
{
	taints_rename(s->losses, s->name, NOBODYS_WRITE);
	s->losses->names &= ~s->name;
}

void loss_buffer_begin(struct losses *l, struct buffer *b)
{
	atomic_init(&b->taints, 0);
	b->next = l->buffers;
	b->link = &l->buffers;
	if (b->next)
		b->next->link = &b->next;
	l->buffers = b;
}

void loss_buffer_end(struct buffer *b)
{
	*b->link = b->next;
	if (b->next)
		b->next->link = b->link;
}

/* Of nobody's taints, those that end when they are told: weights are written once, so a write that they lost stays lost. */
static uint64_t forgiven(const struct buffer *b)
{
	const struct abi_buffer *object = atomic_load(&b->object);

	return object && object->usage == ABI_USAGE_WEIGHTS ? NOBODYS_READ : NOBODYS;
}

void loss_note(struct stream *owner, const struct touched *t)
{
	if (owner)
		owner->lost = true;
	for (size_t i = 0; i < t->n_written; i++)
		atomic_fetch_or(&t->buffers[i]->taints, owner && owner->name ? owner->name : NOBODYS_WRITE);
}

void loss_follow(struct stream *owner, const struct touched *t)
{
	uint64_t taints = 0;

	for (size_t i = 0; i < t->n; i++)
		taints |= atomic_load(&t->buffers[i]->taints);
	taints &= ~NOBODYS_READ;
	if (!taints)
		return;
	/* Nobody's loss is this stream's to tell now. */
	for (size_t i = 0; owner->name && i < t->n; i++) {
		uint64_t nobodys = forgiven(t->buffers[i]) & NOBODYS_WRITE;

		if (atomic_fetch_and(&t->buffers[i]->taints, ~nobodys) & nobodys)
			atomic_fetch_or(&t->buffers[i]->taints, owner->name);
	}
	loss_note(owner, t);
}

bool loss_due(const struct stream *s, const struct touched *t)
{
	bool due = s->lost;

	for (size_t i = 0; i < t->n; i++)
		due |= atomic_load(&t->buffers[i]->taints) != 0;
	return due;
}

void loss_told(struct stream *s, const struct touched *t)
{
	for (size_t i = 0; i < t->n; i++)
		atomic_fetch_and(&t->buffers[i]->taints, ~forgiven(t->buffers[i]));
	taints_rename(s->losses, s->name, 0);
	s->lost = false;
}

bool loss_hides(const struct buffer *b)
{
	return atomic_load(&b->taints) & ~NOBODYS_READ;
}

bool loss_spread(const struct buffer *from, struct buffer *to)
{
	uint64_t taints = atomic_load(&from->taints) & ~NOBODYS_READ;

	atomic_fetch_or(&to->taints, taints);
	return taints;
}

void loss_note_write(struct buffer *b)
{
	atomic_fetch_or(&b->taints, NOBODYS_WRITE);
}

void loss_note_read(struct buffer *b)
{
	atomic_fetch_or(&b->taints, NOBODYS_READ);
}
