/* SPDX-License-Identifier: MIT */
/* See queue.h. */
#include "worker/queue.h"

#include <assert.h>

#include "proto/apir_wire.h"
#include "worker/command.h"
#include "worker/inbox.h"

static_assert(RING_COMMAND == APIR_CMD_MAX, "a ring takes every command");

static uint32_t by_door; /* executed, of those that came through the door */

static bool next(struct ring_record *record)
{
	return inbox_peek(record) && (int32_t)(by_door - record->after) >= 0;
}

bool queue_ready(void)
{
	struct ring_record record;

	return next(&record);
}

void queue_run(uint32_t ctx_id)
{
	static _Alignas(8) uint8_t cmd[RING_COMMAND];
	struct ring_record record;

	while (next(&record)) {
		inbox_take(&record, cmd);
		command_run(ctx_id, cmd, record.size);
	}
}

void queue_door(uint32_t ctx_id, uint8_t *cmd, size_t size)
{
	queue_run(ctx_id);
	command_run(ctx_id, cmd, size);
	by_door++;
}
