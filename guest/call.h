/* SPDX-License-Identifier: MIT */
/*
 * Calls of the backend library's functions: encoded, sent and waited for between call_begin() and call_end(), which
 * hold the session's lock, so that the data blob belongs to the call meanwhile. Small writes are collected
 * (pending.h), posted without waiting, and known to be done by the next answer.
 */
#ifndef GUEST_CALL_H
#define GUEST_CALL_H

#include "guest/session.h"
#include "proto/cursor.h"

struct call {
	struct session *session;
	struct cursor args;  /* written by the caller */
	struct cursor reply; /* read by the caller after call_run(): a copy, which the host can't change */
	size_t expects;      /* bytes of it; call_begin(): whatever there may be */
	bool broken;         /* an argument didn't fit */
	const char *name;
};

/* Takes the session's lock, for nothing but settling; ends with call_end(), too. */
void call_enter(struct call *c, struct session *s, const char *name);
/* Starts a FORWARD call; never fails, call_run() tells. */
void call_begin(struct call *c, struct session *s, enum apir_fn fn, const char *name);
/* Starts another one under the lock that is held already; c->session and c->name are set. */
void call_header(struct call *c, enum apir_fn fn);
void call_u32(struct call *c, uint32_t v);
void call_u64(struct call *c, uint64_t v);
void call_bytes(struct call *c, const void *p, size_t n);
/* A slot that is free, waiting for one if need be; data: with PENDING_RUN bytes of its own. NULL: none is to be had. What
 * is posted in it is nobody's and touches nothing, unless the caller says otherwise in it. */
struct slot *call_slot(struct call *c, bool data);
/* What is posted in it writes to the buffer. False: it writes to SLOT_BUFFERS others already. */
bool call_slot_writes(struct slot *slot, struct buffer *b);
/* What call_post() is told: another command follows at once; it answers with a ggml status, and may take long. */
#define POST_MORE   1u
#define POST_STATUS 2u
/* Sends without waiting; the answer goes to the slot: should it be a failure, that is reported and noted in loss.h.
 * False: it couldn't be sent, and that is the caller's to note. */
bool call_post(struct call *c, struct slot *slot, unsigned flags);
/* Waits for what was posted in the slot, if anything, and for all before it. */
void call_settle_slot(struct call *c, struct slot *slot);
/* Waits for everything that was posted. */
void call_settle(struct call *c);
/* Sends and waits; _long: for longer than a moment. 0; -EPIPE: the host is gone; -EREMOTEIO: it refused or failed;
 * -EAGAIN: it wasn't asked, for want of memory here. Each was reported. */
int call_run(struct call *c);
int call_run_long(struct call *c);
/* call_run() for a question that the host needn't know: a refusal isn't reported. */
int call_try(struct call *c);
void call_end(struct call *c);

#endif
