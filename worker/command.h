/* SPDX-License-Identifier: MIT */
/* APIR's commands: handshake, loading the backend library, forwarding to it, and the reply in shared memory. */
#ifndef WORKER_COMMAND_H
#define WORKER_COMMAND_H

#include "worker/worker.h"

/* Executes one command; cmd is private memory. */
void command_execute(struct worker *w, uint8_t *cmd, size_t size);

#endif
