/* SPDX-License-Identifier: MIT */
/* See memo.h. Full signatures are compared, so that a hash can't give a wrong answer; a full memo starts anew. */
#include "guest/memo.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES 32768

struct memo_entry {
	struct memo_entry *next;
	uint64_t hash, answer;
	size_t size;
	uint8_t bytes[];
};

static void put(struct signature *sig, const void *p, size_t n)
{
	memcpy(sig->bytes + sig->size, p, n);
	sig->size += n;
}

/* slot: which role the tensor plays, so that a missing source isn't mistaken for another's absence. */
static void put_tensor(struct signature *sig, const struct abi_tensor *t, int32_t slot)
{
	int32_t head[2] = { slot, t->type };

	put(sig, head, sizeof head);
	put(sig, t->ne, sizeof t->ne);
	put(sig, t->nb, sizeof t->nb);
}

void signature_make(struct signature *sig, const struct abi_tensor *op)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325), word;
	int32_t head[2] = { op->op, op->view_src != NULL };

	sig->size = 0;
	put(sig, head, sizeof head);
	put(sig, op->op_params, sizeof op->op_params);
	put_tensor(sig, op, -1);
	for (int i = 0; i < ABI_SRCS; i++) {
		if (op->src[i])
			put_tensor(sig, op->src[i], i);
	}
	/* Every part's size is a multiple of 8. */
	for (size_t i = 0; i < sig->size; i += sizeof word) {
		memcpy(&word, sig->bytes + i, sizeof word);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	sig->hash = h;
}

void memo_init(struct memo *m)
{
	*m = (struct memo){ 0 };
	pthread_mutex_init(&m->lock, NULL);
}

static void memo_empty(struct memo *m)
{
	for (size_t i = 0; i < m->n_slots; i++) {
		for (struct memo_entry *e = m->slots[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
		m->slots[i] = NULL;
	}
	m->n_used = 0;
}

void memo_fini(struct memo *m)
{
	memo_empty(m);
	free(m->slots);
	m->slots = NULL;
	m->n_slots = 0;
}

static struct memo_entry *find(const struct memo *m, const struct signature *sig)
{
	struct memo_entry *e = m->n_slots ? m->slots[sig->hash & (m->n_slots - 1)] : NULL;

	while (e && (e->hash != sig->hash || e->size != sig->size || memcmp(e->bytes, sig->bytes, sig->size)))
		e = e->next;
	return e;
}

bool memo_get(struct memo *m, const struct signature *sig, uint64_t *answer)
{
	const struct memo_entry *e;

	pthread_mutex_lock(&m->lock);
	e = find(m, sig);
	if (e)
		*answer = e->answer;
	pthread_mutex_unlock(&m->lock);
	return e != NULL;
}

void memo_put(struct memo *m, const struct signature *sig, uint64_t answer)
{
	struct memo_entry *e = malloc(sizeof *e + sig->size);
	struct memo_entry **slot;

	if (!e)
		return; /* it will be asked again */
	*e = (struct memo_entry){ .hash = sig->hash, .answer = answer, .size = sig->size };
	memcpy(e->bytes, sig->bytes, sig->size);
	pthread_mutex_lock(&m->lock);
	if (!m->slots) {
		m->slots = calloc(4096, sizeof *m->slots);
		m->n_slots = m->slots ? 4096 : 0;
	}
	if (m->n_used >= MAX_ENTRIES)
		memo_empty(m);
	if (!m->n_slots || find(m, sig)) {
		free(e);
	} else {
		slot = &m->slots[sig->hash & (m->n_slots - 1)];
		e->next = *slot;
		*slot = e;
		m->n_used++;
	}
	pthread_mutex_unlock(&m->lock);
}
