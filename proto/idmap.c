/* SPDX-License-Identifier: MIT */
/* See idmap.h: open addressing, linear probing, emptied by moving on to the next epoch. */
#include "proto/idmap.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static uint64_t id_mix(const struct idmap *m, uint64_t x)
{
	x ^= m->seed;
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93) | (m->seed << 1);
	return x ^ x >> 29;
}

int idmap_reset(struct idmap *m, uint32_t n)
{
	uint32_t want = 64;

	if (n > UINT32_C(1) << 29)
		return -ENOMEM;
	while (want < n * 2)
		want *= 2;
	if (!m->seed && getrandom(&m->seed, sizeof m->seed, GRND_NONBLOCK) != sizeof m->seed)
		m->seed = (uintptr_t)m ^ UINT64_C(0x9e3779b97f4a7c15);
	m->n_used = 0;
	if (want > m->n_entries) {
		struct idmap_entry *e = calloc(want, sizeof *e);

		if (!e)
			return -ENOMEM;
		free(m->entries);
		m->entries = e;
		m->n_entries = want;
		m->epoch = 1;
	} else if (++m->epoch == 0) {
		memset(m->entries, 0, m->n_entries * sizeof *m->entries);
		m->epoch = 1;
	}
	return 0;
}

void idmap_fini(struct idmap *m)
{
	free(m->entries);
	*m = (struct idmap){ 0 };
}

/* The entry that holds id, or the free one where it would go: one is free, since the map is at most half full. */
static struct idmap_entry *entry_for(const struct idmap *m, uint64_t id)
{
	uint32_t i = (uint32_t)id_mix(m, id);

	for (;; i++) {
		struct idmap_entry *e = &m->entries[i & (m->n_entries - 1)];

		if (e->epoch != m->epoch || e->id == id)
			return e;
	}
}

void idmap_set(struct idmap *m, uint64_t id, uint32_t value)
{
	struct idmap_entry *e = entry_for(m, id);

	if (e->epoch != m->epoch)
		m->n_used++;
	*e = (struct idmap_entry){ .id = id, .value = value, .epoch = m->epoch };
}

uint32_t idmap_add(struct idmap *m, uint64_t id, uint32_t value)
{
	struct idmap_entry *e = entry_for(m, id);

	if (e->epoch == m->epoch)
		return e->value;
	*e = (struct idmap_entry){ .id = id, .value = value, .epoch = m->epoch };
	m->n_used++;
	return value;
}

bool idmap_find(const struct idmap *m, uint64_t id, uint32_t *value)
{
	const struct idmap_entry *e;

	if (!m->n_entries)
		return false;
	e = entry_for(m, id);
	if (e->epoch != m->epoch)
		return false;
	*value = e->value;
	return true;
}
