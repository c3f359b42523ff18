/* SPDX-License-Identifier: MIT */
/* Commands that are sent to a worker together, as the payload of one WORKER_SUBMIT. */
#ifndef APIR_BURST_H
#define APIR_BURST_H

#include <stddef.h>
#include <stdint.h>

struct burst {
	uint8_t *bytes; /* allocated when first needed, and kept */
	size_t n;
};

/* Copies one command, of at most APIR_CMD_MAX bytes. -ENOSPC: the burst is to be sent first; -ENOMEM. */
int burst_add(struct burst *b, uint32_t ring, const void *cmd, size_t size);
void burst_free(struct burst *b);

#endif
