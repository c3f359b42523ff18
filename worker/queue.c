/* SPDX-License-Identifier: MIT */
/* See queue.h. */
#include "worker/queue.h"

#include <assert.h>

#include "worker/command.h"

static_assert(RING_COMMAND == APIR_CMD_MAX, "a ring takes every command");

static bool queue_peek(struct worker *w, struct ring_record *record)
{
	return inbox_peek(&w->inbox, record) && (int32_t)(w->by_door - record->after) >= 0;
}

bool queue_ready(struct worker *w)
{
	struct ring_record record;

	return queue_peek(w, &record);
}

void queue_run(struct worker *w)
{
	struct ring_record record;

	while (queue_peek(w, &record)) {
		ring_take(&w->inbox.ring, &record, w->command);
		command_execute(w, w->command, record.size);
	}
}

void queue_door(struct worker *w, uint8_t *cmd, size_t size)
{
	queue_run(w);
	command_execute(w, cmd, size);
	w->by_door++;
}
