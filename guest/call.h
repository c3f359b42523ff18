/* SPDX-License-Identifier: MIT */
/* A call of one of the backend library's functions: encoded, then posted or waited for, within a turn (turn.h). */
#ifndef GUEST_CALL_H
#define GUEST_CALL_H

#include "guest/session.h"
#include "proto/cursor.h"

struct call {
	struct session *session;
	struct cursor args;  /* written by the caller */
	struct cursor reply; /* read by the caller after call_run(): a copy, which the host can't change */
	size_t expects;      /* bytes of it; call_header(): whatever there may be */
	bool broken;         /* an argument didn't fit */
	const char *name;
};

/* Starts one; c->session and c->name are set. */
void call_header(struct call *c, enum apir_fn fn);
void call_u32(struct call *c, uint32_t v);
void call_u64(struct call *c, uint64_t v);
void call_bytes(struct call *c, const void *p, size_t n);
/* Posts it in the slot; flags: POST_*. False: it couldn't be sent, and that is the caller's to note; it may be waited for
 * instead. */
bool call_post(struct call *c, struct slot *slot, unsigned flags);
/* Sends and waits; _graph: it answers with a ggml status, and may take long. 0; -EPIPE: the host is gone; -EREMOTEIO: it refused or failed;
 * -EAGAIN: it wasn't asked, for want of memory here. Each was reported. */
int call_run(struct call *c);
int call_run_graph(struct call *c);
/* call_run() for a question that the host needn't know, and that waits for nothing: a refusal isn't reported. */
int call_try(struct call *c);

#endif
