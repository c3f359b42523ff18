/* SPDX-License-Identifier: MIT */
/*
 * One guest context: its worker, what goes there in order, and what comes back. When the worker is gone the context is lost,
 * and only that.
 */
#ifndef APIR_CONTEXT_H
#define APIR_CONTEXT_H

#include "apir/beat.h"
#include "apir/blob.h"
#include "apir/burst.h"
#include "apir/config.h"
#include "apir/fence_list.h"
#include "apir/link.h"
#include "apir/listener.h"
#include "platform/events.h"

#define CONTEXTS_MAX   64   /* a blob's attachments are one word of bits */
#define CONTEXT_END_MS 2000 /* from hanging up on the workers to killing them, when the component ends */

/* What the contexts of one component share. */
struct context_owner {
	const struct apir_listener *listener;
	void *user;
	struct events *events;
	int64_t alarm; /* when it rings, clock_ms(); 0: not yet */
};

/* A slot goes free -> live -> (lost ->) leaving -> free; leaving: the door destroyed it, the process is ending. */
enum context_state { CTX_FREE, CTX_LIVE, CTX_LOST, CTX_LEAVING };

struct context {
	enum context_state state;
	struct context_owner *owner;
	unsigned slot;
	uint32_t id;
	char name[32];
	struct link link;
	bool untold;              /* lost, and the listener doesn't know yet */
	bool wants_write;         /* we asked to be told when the socket takes more */
	int64_t leave_by;         /* clock_ms() */
	int64_t retry_at;         /* the same; 0: nothing waits for the system to have room */
	struct fence_list fences; /* pending */
	struct burst burst;       /* what context_kick() will send */
	struct beat beat;
	uint64_t leaving; /* bytes of blobs that were taken away, and that the worker may still have */
};

/* The words of a context's events: its socket's, or its process's. Our own reminders have EVENTS_OWN. */
enum context_event { CONTEXT_SOCKET, CONTEXT_PROCESS };
#define CONTEXT_WORD(kind, slot) ((uint64_t)(kind) << 32 | (slot))

void context_init(struct context *c, struct context_owner *owner, unsigned slot);
/* A free slot's gets its worker, from the server that is configured or else of this program, and its configuration. After an
 * error it may be leaving. 0 or -errno. */
int context_start(struct context *c, uint32_t id, const char *name, const struct config *config, const char *worker);
/* The door has no use for it any more: what pends is reported, the worker is hung up on. */
void context_leave(struct context *c, const struct blob_table *blobs);
/* The component ends: the worker is hung up on, and context_end() sees it off until `by`, then kills it. */
void context_hang_up(struct context *c);
void context_end(struct context *c, int64_t by);

/* Whether the door knows it by this number: it is live or lost. */
static inline bool context_is(const struct context *c, uint32_t id)
{
	return c->id == id && (c->state == CTX_LIVE || c->state == CTX_LOST);
}

/* As the functions of apir/apir.h. */
int context_configure(struct context *c, const char *key, const char *value);
int context_submit(struct context *c, uint32_t ring, const void *cmd, size_t size);
int context_kick(struct context *c);
int context_fence(struct context *c, uint32_t ring, uint64_t id);
void context_attach(struct context *c, struct blob *b);
void context_detach(struct context *c, struct blob *b);

/* Its socket has something, or takes more (writable). Blobs: where its heartbeat may lie. */
void context_serve(struct context *c, const struct blob_table *blobs, bool writable);
/* The process may have ended: frees the slot of a context that is leaving, loses any other. */
void context_reap(struct context *c);
/* Does what is due, and sets the alarm to when the next is. */
void context_tick(struct context *c, const struct blob_table *blobs);

#endif
