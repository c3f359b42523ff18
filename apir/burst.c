/* SPDX-License-Identifier: MIT */
/* See burst.h. */
#include "apir/burst.h"

#include <string.h>

#include "proto/util.h"
#include "proto/worker_wire.h"

int burst_add(struct burst *b, uint32_t ring, const void *cmd, size_t size)
{
	const struct worker_cmd head = { .ring = ring, .size = (uint32_t)size };
	size_t padded = round_up(size, 8);
	uint8_t *at;

	if (b->n + sizeof head + padded > WORKER_PAYLOAD_MAX)
		return -ENOSPC;
	if (!b->bytes && !(b->bytes = malloc(WORKER_PAYLOAD_MAX)))
		return -ENOMEM;
	at = b->bytes + b->n;
	memcpy(at, &head, sizeof head);
	memcpy(at + sizeof head, cmd, size);
	memset(at + sizeof head + size, 0, padded - size);
	b->n += sizeof head + padded;
	return 0;
}

void burst_free(struct burst *b)
{
	free(b->bytes);
	*b = (struct burst){ 0 };
}
