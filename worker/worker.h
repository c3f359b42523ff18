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

/* Zeroed: as it starts, without its number. */
struct worker {
	uint32_t ctx_id;
	struct settings settings;
	struct blobs blobs;
	struct library library;
	enum worker_guest guest;
	bool beating; /* a heartbeat word is kept */
	struct inbox inbox;
	uint32_t by_door;                          /* commands executed, of those that came through the door */
	_Alignas(8) uint8_t command[APIR_CMD_MAX]; /* of the ring's, the one at hand */
	uint8_t reply[APIR_REPLY_BLOB_SIZE];
};

#endif
