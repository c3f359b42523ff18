/* SPDX-License-Identifier: MIT */
/*
 * The conversation with the host: one APIR context, one command at a time.
 *
 * A call is encoded, sent and waited for between call_begin() and call_end(), which hold the session's lock; so
 * threads take turns, and the data blob belongs to the call meanwhile. Commands are executed in order, so small
 * writes are collected (pending.h), posted without waiting, and known to be done by the next answer. Every wait ends: with the answer, or within
 * SESSION_PATIENCE_MS of the host's death. A dead session stays dead: calls fail at once and make no ioctl.
 */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <pthread.h>

#include "guest/pending.h"
#include "guest/transport/transport.h"
#include "proto/apir_wire.h"
#include "proto/cursor.h"

#define SESSION_PATIENCE_MS 4000

/* For a command that nobody waits for: where it will be answered, and data of its own. Made when first used. */
#define SESSION_SLOTS 12

struct slot {
	struct shm data, reply;
	const char *posted; /* the command that is on its way; NULL: none */
	bool has_status;    /* it answers with a ggml status */
};

struct session {
	pthread_mutex_t lock;
	struct transport *transport;
	struct shm reply, data;
	struct slot slots[SESSION_SLOTS];
	struct pending pending;
	_Atomic uint32_t *beat; /* the host's heartbeat word; NULL: it has none */
	_Atomic bool dead;
	_Atomic bool failed; /* something was lost on the way: the next compute must fail */
	_Atomic uint32_t complaints;
	uint64_t features; /* agreed with the host; APIR_FEATURE_* */
	_Alignas(8) uint8_t command[APIR_CMD_MAX]; /* the call at hand, under the lock */
};

/* Connects, greets, has the backend library loaded. 0, or -errno and one line in err. */
int session_open(struct session *s, char *err, size_t err_size);
void session_close(struct session *s);
void session_lock(struct session *s);
void session_unlock(struct session *s);
/* Whether calls can still succeed; false in a forked child too. */
bool session_alive(const struct session *s);
/* Notes that a void call's work was lost, so that the next compute fails. */
void session_note_loss(struct session *s);
bool session_lost(const struct session *s);
/* True, once, when something was lost since the last time. */
bool session_take_loss(struct session *s);
/* Waits until the host has done everything that was posted. */
void session_settle(struct session *s);

struct call {
	struct session *session;
	struct cursor args;  /* written by the caller */
	struct cursor reply; /* read by the caller after call_run() */
	bool broken;         /* an argument didn't fit */
	const char *name;
};

/* Starts a FORWARD call; never fails, call_run() tells. */
void call_begin(struct call *c, struct session *s, enum apir_fn fn, const char *name);
/* Starts another one under the lock that is held already; c->session and c->name are set. */
void call_header(struct call *c, enum apir_fn fn);
void call_u32(struct call *c, uint32_t v);
void call_u64(struct call *c, uint64_t v);
void call_bytes(struct call *c, const void *p, size_t n);
/* A slot that is free, waiting for one if need be; data: with PENDING_RUN bytes of its own. NULL: none is to be had.
 * What failed in it before is reported and noted as a loss. */
struct slot *call_slot(struct call *c, bool data);
/* Sends without waiting; the answer goes to the slot. has_status: it is a ggml status, of a computation that should
 * start now; without it, another command is about to follow. */
void call_post(struct call *c, struct slot *slot, bool has_status);
/* Waits for everything that was posted. */
void call_settle(struct call *c);
/* Sends and waits; _long: for longer than a moment. 0; -EPIPE: the host is gone; -EREMOTEIO: it refused or failed, which was reported. */
int call_run(struct call *c);
int call_run_long(struct call *c);
/* call_run() for a question that the host needn't know: a refusal isn't reported. */
int call_try(struct call *c);
void call_end(struct call *c);

#endif
