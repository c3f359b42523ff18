/* SPDX-License-Identifier: MIT */
/* See event.h. */
#include "guest/event.h"

#include <stdlib.h>

#include "guest/device.h"
#include "guest/entry.h"
#include "guest/turn.h"

struct event {
	struct abi_event object;
	uint64_t turn; /* of the last command before it was recorded; 0: it wasn't */
};

void *event_new(struct abi_device *object)
{
	struct event *e = calloc(1, sizeof *e);

	if (e)
		e->object = (struct abi_event){ .device = object, .context = e };
	return e;
}

void event_free(struct abi_device *object, void *event)
{
	(void)object;
	free(event);
}

void event_record(struct abi_backend *object, void *event)
{
	struct session *s = device_session(device_of(object->device));
	struct event *e = event;
	struct call c;

	if (!entry_begin("event_record"))
		return;
	turn_enter(&c, s, "event_record");
	e->turn = s->queue.turns;
	turn_end(&c);
	entry_end();
}

void event_synchronize(struct abi_device *object, void *event)
{
	const struct event *e = event;
	struct call c;

	if (!entry_begin("event_synchronize"))
		return;
	turn_enter(&c, device_session(device_of(object)), "event_synchronize");
	turn_settle(&c, e->turn);
	turn_end(&c);
	entry_end();
}

/* What is sent next is executed behind it anyway. */
void event_wait(struct abi_backend *object, void *event)
{
	(void)object;
	(void)event;
}
