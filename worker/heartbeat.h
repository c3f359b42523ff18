/* SPDX-License-Identifier: MIT */
/* The thread that tells the guest that its host lives, and ends the worker when the door has hung up. */
#ifndef WORKER_HEARTBEAT_H
#define WORKER_HEARTBEAT_H

#include <stdatomic.h>
#include <stdint.h>

/* Starts the thread; door is the socket to watch. 0 or -errno. */
int heartbeat_start(int door);
/* From now on *word changes every APIR_HEARTBEAT_MS; it must stay mapped. */
void heartbeat_beat(_Atomic uint32_t *word);

#endif
