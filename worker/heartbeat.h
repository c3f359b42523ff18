/* SPDX-License-Identifier: MIT */
/* The thread that tells the guest whether its host lives, and ends the worker when the door has hung up. */
#ifndef WORKER_HEARTBEAT_H
#define WORKER_HEARTBEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts the thread; door is the socket to watch. 0 or -errno. */
int heartbeat_start(int door);
/* From now on words[0] changes every APIR_HEARTBEAT_MS; it must stay mapped. pair: words[1] is there, for the door, which
 * is told that they lie at `offset` of this blob. */
void heartbeat_beat(_Atomic uint32_t *words, bool pair, uint32_t res_id, uint32_t offset);

/* It ends: the guest is told. */
void heartbeat_end(void);

#endif
