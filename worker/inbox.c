/* SPDX-License-Identifier: MIT */
/* See inbox.h. */
#include "worker/inbox.h"

#include "log/log.h"

bool inbox_open(struct inbox *in, struct blobs *blobs, uint32_t res_id)
{
	const struct mapping *m = blobs_find(blobs, res_id);

	if (in->was_open || !m || m->size < RING_SIZE || !blobs_pin(blobs, res_id))
		return false;
	ring_open(&in->ring, m->ptr);
	in->open = in->was_open = true;
	return true;
}

/* Who writes nonsense isn't listened to any more. */
bool inbox_peek(struct inbox *in, struct ring_record *record)
{
	int r = in->open ? ring_peek(&in->ring, record) : 0;

	if (r < 0) {
		in->open = false;
		log_warn("the guest's ring holds no commands: it is left alone from now on");
	}
	return r > 0;
}

void inbox_park(struct inbox *in)
{
	if (in->open)
		ring_park(&in->ring);
}

void inbox_unpark(struct inbox *in)
{
	if (in->open)
		ring_unpark(&in->ring);
}
