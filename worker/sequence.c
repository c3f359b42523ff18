/* SPDX-License-Identifier: MIT */
/* See sequence.h. */
#include "worker/sequence.h"

#include <assert.h>

#include "worker/command.h"

static_assert(RING_COMMAND == APIR_CMD_MAX, "a ring takes every command");

static bool sequence_peek(struct worker *w, struct ring_record *record)
{
	return inbox_peek(&w->inbox, record) && (int32_t)(w->by_door - record->after) >= 0;
}

bool sequence_ready(struct worker *w)
{
	struct ring_record record;

	return sequence_peek(w, &record);
}

void sequence_run(struct worker *w)
{
	struct ring_record record;

	while (sequence_peek(w, &record)) {
		ring_take(&w->inbox.ring, &record, w->command);
		command_execute(w, w->command, record.size);
		w->counters.by_ring++;
	}
}

void sequence_door(struct worker *w, uint8_t *cmd, size_t size)
{
	sequence_run(w);
	command_execute(w, cmd, size);
	w->by_door++;
}
