/* SPDX-License-Identifier: MIT */
/*
 * Whether the host lives, by the word that it keeps changing (proto/apir_wire.h). Gone and silent are two things: who
 * is gone is said to be, by who is left; who is silent is waited for, with a line after PULSE_TELL_MS, and counts as gone
 * only after the program's patience. Under the session's lock.
 */
#ifndef GUEST_PULSE_H
#define GUEST_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/connection.h"

#define PULSE_TELL_MS 3000

struct pulse {
	struct connection *connection;
	const _Atomic uint32_t *word; /* NULL: the host has none, and nothing here tells anything */
	uint32_t seen;
	int64_t looked_at, changed_at; /* monotonic, ms: the last look, and the last that saw a change */
	int64_t alive_at;              /* when the host surely lived */
	uint32_t still_ms;             /* how long it has been silent, as far as we waited ourselves */
	uint32_t patience_ms;          /* GGML_VIRTGPU_PATIENCE */
	bool told;                     /* that it is silent */
	_Atomic bool spent;            /* the host counts as gone for its silence */
};

/* Reads the program's patience: 0, or -EINVAL and a line. */
int pulse_patience(struct pulse *p, char *err, size_t err_size);
/* The host keeps this word from now on. */
void pulse_start(struct pulse *p, const _Atomic uint32_t *word);
/* The host has just answered. */
void pulse_answered(struct pulse *p);
/* After a wait that took so long without an answer: 0, or -EPIPE: the host is gone, or our patience is at its end. */
int pulse_waited(struct pulse *p, uint32_t ms);
/* Before something is asked of the host: 0 when it isn't known to be silent, after waiting for it if need be; -EPIPE.
 * surely: what is asked might never return from a host that is gone, so it must have lived a moment ago. */
int pulse_wait(struct pulse *p, bool surely);

#endif
