/* SPDX-License-Identifier: MIT */
/*
 * The virglrenderer door's own state: which contexts and resources of the VMM are APIR's.
 *
 * A VMM calls virglrenderer from one thread at a time; our thread (component.h) comes beside it. The lock guards everything here. It
 * is never held while the real library or the VMM's callbacks run: the library calls its own exported functions, which
 * are ours now, and a VMM may hold a lock of its own.
 */
#ifndef DOORS_VIRGL_DOOR_H
#define DOORS_VIRGL_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "apir/apir.h"
#include "doors/virgl/virgl_api.h"
#include "platform/events.h"

/*
 * A context that isn't listed is the real library's. One of capset 4 is undecided until its first command, when the
 * real library has Venus: it exists there, and becomes APIR's when that command is APIR's handshake.
 */
enum owner { OWNER_UNDECIDED, OWNER_APIR };

struct virgl_context {
	uint32_t id; /* 0: free */
	uint32_t capset;
	char name[64]; /* the guest program's */
	enum owner owner;
	bool in_real;      /* exists in the real library too */
	bool polled_alone; /* the VMM polls this context by itself, and has no use for its fences once it is destroyed */
	struct events *poll; /* has something while a fence waits to be told; NULL: nobody asked for it */
};

/* A resource that isn't listed is the real library's. Early: made in an undecided context. */
enum kind { RES_APIR, RES_EARLY, RES_ADOPTED };

struct virgl_resource {
	uint32_t id; /* 0: free */
	enum kind kind;
	uint32_t ctx_id; /* early: of the undecided context */
	void *map;       /* ours: where virgl_renderer_resource_map() put it; NULL: it didn't */
	uint64_t size;
};

struct door {
	struct apir *apir;       /* NULL until first needed: component.h */
	struct events *thread;   /* what the thread waits for; NULL: there is none */
	bool broken;             /* it can't be made, which was said */
	bool initialised;        /* between virgl_renderer_init() and _cleanup() */
	_Atomic bool real_works; /* the real library was initialised too; may be read without the lock */
	bool has_venus;          /* and its Venus */
	_Atomic int flags;       /* of init; may be read without the lock */
	void *cookie;            /* the VMM's, and its callbacks: as far as their version goes, zeros behind it */
	struct virgl_renderer_callbacks callbacks;
	struct virgl_context *contexts;
	struct virgl_resource *resources;
	size_t n_contexts, n_resources; /* slots */
	uint64_t walled; /* bytes of address space that can't be used again: see door_resource_remove() */
};

extern struct door door;

void door_lock(void);
void door_unlock(void);

/* Lets the thread run soon. */
void door_wake(void);
/* Destroys every context and resource of ours. Locked. */
void door_clear(void);

/* NULL: not listed. Locked, as are all below. */
struct virgl_context *door_context_find(uint32_t ctx_id);
/* Whether it is APIR's. *c (which may be NULL) becomes what door_context_find() says. */
bool door_context_is_ours(uint32_t ctx_id, struct virgl_context **c);
/* NULL: no memory. */
struct virgl_context *door_context_add(uint32_t ctx_id, uint32_t capset, enum owner owner);
void door_context_remove(struct virgl_context *c);
/* An undecided context is the real library's, and so are its early blobs. */
void door_context_leave(struct virgl_context *c);
struct virgl_resource *door_resource_find(uint32_t res_id);
struct virgl_resource *door_resource_add(uint32_t res_id, enum kind kind);
/* A mapping that the VMM didn't undo may still be a part of its guest's memory, so its addresses must not become
 * anything else's: they are walled off. */
void door_resource_remove(struct virgl_resource *r);

#endif
