/* SPDX-License-Identifier: MIT */
/* See inbox.h. */
#include "worker/inbox.h"

#include <errno.h>

#include "log/log.h"
#include "worker/blobs.h"

static struct ring ring;
static bool is_open, was_open;

bool inbox_open(uint32_t res_id)
{
	uint64_t size;
	void *memory = blob_ptr(res_id, &size);

	if (was_open || !memory || size < RING_SIZE || !blob_pin(res_id))
		return false;
	ring_open(&ring, memory);
	is_open = was_open = true;
	return true;
}

/* Who writes nonsense isn't listened to any more. */
bool inbox_peek(struct ring_record *record)
{
	int r = is_open ? ring_peek(&ring, record) : 0, err = errno;

	if (r < 0) {
		is_open = false;
		log_warn("the guest's ring holds no commands: it is left alone from now on");
		errno = err; /* which is looked at between two looks here */
	}
	return r > 0;
}

void inbox_take(const struct ring_record *record, void *cmd)
{
	ring_take(&ring, record, cmd);
}

void inbox_park(void)
{
	if (is_open)
		ring_park(&ring);
}

void inbox_unpark(void)
{
	if (is_open)
		ring_unpark(&ring);
}
