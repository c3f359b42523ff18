/* SPDX-License-Identifier: MIT */
/*
 * A thread's turn: between turn_begin() and turn_end() it holds the session's lock, so that the shared memory belongs to its
 * calls meanwhile, and what was collected (pending.h) is on its way before anything that could see that it isn't.
 */
#ifndef GUEST_TURN_H
#define GUEST_TURN_H

#include "guest/call.h"

/* Starts with a call; never fails, call_run() tells. */
void turn_begin(struct call *c, struct session *s, enum apir_fn fn, const char *name);
/* For nothing but settling what was posted. */
void turn_enter(struct call *c, struct session *s, const char *name);
void turn_end(struct call *c);
/* Waits for all that the host was asked for up to that turn of the queue, computations included: for answers that come anyway,
 * where they tell of their end. */
void turn_settle(struct call *c, uint64_t turn);

/* A turn without calls: a write is collected. False: it can't be, as pending_add(). */
bool turn_collect(struct session *s, struct buffer *b, uint64_t start, uint64_t size, uint64_t pad, const void *data);

#endif
