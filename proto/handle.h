/* SPDX-License-Identifier: MIT */
/*
 * The names under which a peer knows our objects: dense, typed, with generations, one table per context.
 *
 * A handle is index + 1 (24 bits), type (8 bits), generation (32 bits); 0 is no handle. It says nothing of where
 * the object lies, a wrong or stale one resolves to NULL, and one of another type too.
 */
#ifndef PROTO_HANDLE_H
#define PROTO_HANDLE_H

#include "proto/util.h"

struct handle_slot {
	void *object; /* NULL: free */
	uint32_t generation;
	uint32_t next_free; /* index + 1; 0: last */
	uint8_t type;
};

struct handle_table {
	struct handle_slot *slots;
	uint32_t n_slots, n_used, max;
	uint32_t first_free; /* index + 1; 0: none */
};

/* max: how many objects may live at once, at most 2^24 - 1. */
void handle_table_init(struct handle_table *t, uint32_t max);
/* Frees the table, not the objects. */
void handle_table_fini(struct handle_table *t);
/* Names `object` (not NULL); returns 0 when the table is full or memory is out. */
uint64_t handle_add(struct handle_table *t, uint8_t type, void *object);
void *handle_get(const struct handle_table *t, uint64_t handle, uint8_t type);
/* Forgets the handle for good; returns its object, or NULL if there was none. */
void *handle_remove(struct handle_table *t, uint64_t handle, uint8_t type);
/* Walks the objects of a type: start with *pos = 0; NULL at the end. */
void *handle_next(const struct handle_table *t, uint8_t type, uint32_t *pos);

#endif
