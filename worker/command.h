/* SPDX-License-Identifier: MIT */
/* APIR's commands: handshake, loading the backend library, forwarding to it, and the reply in shared memory. */
#ifndef WORKER_COMMAND_H
#define WORKER_COMMAND_H

#include <stddef.h>
#include <stdint.h>

/* Executes one command; cmd is private memory. */
void command_run(uint32_t ctx_id, uint8_t *cmd, size_t size);
/* Lets the backend library free what the context has. */
void command_end(uint32_t ctx_id);

#endif
