/* SPDX-License-Identifier: MIT */
/* See pending.h. They are kept in the order of their addresses. */
#include "guest/pending.h"

#include <string.h>

bool pending_add(
	struct pending *p, struct buffer *buffer, uint64_t start, uint64_t size, uint64_t pad, const void *data)
{
	size_t at;

	if (size > PENDING_SMALL || p->n == PENDING_WRITES || size > PENDING_BYTES - p->used)
		return false;
	for (at = p->n; at > 0; at--) {
		const struct pending_write *w = &p->writes[at - 1];

		if (w->buffer < buffer || (w->buffer == buffer && w->start + w->size <= start))
			break;
		if (w->buffer == buffer && start + size > w->start)
			return false;
	}
	memmove(&p->writes[at + 1], &p->writes[at], (p->n - at) * sizeof p->writes[0]);
	p->writes[at] = (struct pending_write){ buffer, start, size, pad, p->used };
	memcpy(p->bytes + p->used, data, size);
	p->used += size;
	p->n++;
	return true;
}
