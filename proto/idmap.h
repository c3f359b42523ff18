/* SPDX-License-Identifier: MIT */
/*
 * A map from 64-bit ids to dense indices, kept between uses so that the steady state allocates nothing.
 *
 * The ids may be chosen by a peer, so the hash is seeded: nobody outside can make it slow.
 */
#ifndef PROTO_IDMAP_H
#define PROTO_IDMAP_H

#include "proto/util.h"

struct idmap_entry {
	uint64_t id;
	uint32_t value;
	uint32_t epoch; /* the entry counts only in its map's epoch */
};

struct idmap {
	struct idmap_entry *entries;
	uint32_t n_entries; /* power of two, at least twice n_used */
	uint32_t n_used;
	uint32_t epoch;
	uint64_t seed;
};

/* Zero-initialise a struct idmap; idmap_reset() makes it empty with room for n ids. -ENOMEM. */
int idmap_reset(struct idmap *m, uint32_t n);
void idmap_fini(struct idmap *m);
/* Adds id -> value unless id is there; returns the value that is there afterwards. Room must have been made. */
uint32_t idmap_add(struct idmap *m, uint64_t id, uint32_t value);
/* The same, but the new value replaces one that is there. */
void idmap_set(struct idmap *m, uint64_t id, uint32_t value);
bool idmap_find(const struct idmap *m, uint64_t id, uint32_t *value);

#endif
