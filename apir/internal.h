/* SPDX-License-Identifier: MIT */
/* What the files of this folder share; doors include apir/apir.h. */
#ifndef APIR_INTERNAL_H
#define APIR_INTERNAL_H

#include "apir/apir.h"

#include <limits.h>

#include "apir/beat.h"
#include "apir/config.h"
#include "apir/link.h"
#include "platform/events.h"

#define MAX_CONTEXTS    64               /* a blob's attachments are one word of bits */
#define RING_OURS       (UINT32_MAX - 1) /* of fences that the door asks for itself; nobody else's */
#define WORKER_GRACE_MS 6000             /* from hanging up on a worker to killing it */

struct fence {
	uint32_t ring;
	uint64_t id;
};

/* A slot goes free -> live -> (lost ->) leaving -> free; leaving: the door destroyed it, the process is ending. */
enum context_state { CTX_FREE, CTX_LIVE, CTX_LOST, CTX_LEAVING };

struct context {
	enum context_state state;
	uint32_t id;
	char name[32];
	struct link link;
	bool untold;          /* lost, and the listener doesn't know yet */
	bool wants_write;     /* we asked to be told when the socket takes more */
	struct fence *fences; /* pending, oldest first */
	size_t n_fences, room_fences;
	int64_t leave_by; /* clock_ms() */
	int64_t retry_at; /* the same; 0: nothing waits for the system to have room */
	uint8_t *burst;   /* commands that apir_kick() will send; kept with the slot */
	size_t n_burst;
	struct beat beat;
	uint64_t leaving; /* bytes of blobs that were taken away, and that the worker may still have */
};

struct blob {
	uint32_t res_id; /* 0: free */
	int fd;
	uint64_t size;
	uint64_t attached; /* bit i: to contexts[i] */
};

struct apir {
	const struct apir_listener *listener;
	void *user;
	struct apir_limits limits;
	char worker[PATH_MAX];
	struct config config;
	bool venus;
	struct events *events;
	struct context contexts[MAX_CONTEXTS];
	struct blob *blobs; /* in no order */
	size_t n_blobs, room_blobs;
	uint64_t blob_bytes;
};

/* The words of events: a context's socket, or its process. Our own reminders have EVENTS_OWN. */
enum { EV_SOCK = 0, EV_PROCESS = 1 };
#define EV(kind, i) ((uint64_t)(kind) << 32 | (uint32_t)(i))

/* context.c: the context that the door knows by this number, live or lost; NULL: none. */
struct context *context_find(const struct apir *a, uint32_t ctx_id);
/* The worker is gone (why: NULL), or to be given up: only this context dies. */
void context_lose(struct apir *a, struct context *c, const char *why);
/* The process may have ended: frees the slot of a context that is leaving, loses any other. */
void context_reap(struct apir *a, struct context *c);
/* When the earliest leaving worker must be gone, or a message can be tried again: the alarm rings. */
void alarm_set(struct apir *a);

/* blob.c: the worker says where its heartbeat is; once a context. */
void context_beat(struct apir *a, struct context *c, uint32_t res_id, uint64_t offset);

/* fence.c: the context's worker is to say when it has done what came before: then `bytes` of its memory are gone. */
void context_leaves(struct apir *a, struct context *c, uint64_t bytes);

/* configure.c: sends a context that starts all that is configured for it. 0 or -errno. */
int context_configure(struct apir *a, struct context *c);

/* submit.c: sends the commands that wait. 0 or -errno, then the context is lost. */
int burst_send(struct apir *a, struct context *c);
/* Anything else goes behind the commands that came before it. As link_send(); on an error the context is lost. */
int context_send(
	struct apir *a, struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd);

/* fence.c: reports, oldest first, every fence that nobody will complete any more. */
void fences_flush(struct apir *a, struct context *c);
/* The worker says that this fence is done. */
void fence_done(struct apir *a, struct context *c, uint32_t ring, uint64_t id);

#endif
