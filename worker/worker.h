/* SPDX-License-Identifier: MIT */
/* All that this process has of its one context. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "proto/apir_wire.h"
#include "worker/blobs.h"
#include "worker/inbox.h"
#include "worker/library.h"
#include "worker/settings.h"

/* Which plugin the guest has, by its first handshake: ours greet. */
enum worker_guest { GUEST_UNKNOWN, GUEST_OURS, GUEST_OTHER };

/* Told at its end: with VIRGL_APIR_LOG_TO_FILE. */
struct worker_counters {
	uint64_t by_ring, doorbells; /* commands; those by the door are counted below */
	uint64_t parked, parked_ns;  /* how often it slept, and for how long */
	uint64_t woke;               /* the guest, which slept on an answer */
};

/* Zeroed: as it starts, without its number. */
struct worker {
	uint32_t ctx_id;
	struct settings settings;
	struct blobs blobs;
	struct library library;
	enum worker_guest guest;
	bool beating; /* a heartbeat word is kept */
	struct inbox inbox;
	struct worker_counters counters;
	uint32_t by_door;                          /* commands executed, of those that came through the door */
	_Alignas(8) uint8_t command[APIR_CMD_MAX]; /* of the ring's, the one at hand */
	uint8_t reply[APIR_REPLY_BLOB_SIZE];
};

#endif
