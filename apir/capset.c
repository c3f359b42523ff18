/* SPDX-License-Identifier: MIT */
/* What the guest is told that it can have: the capsets. */
#include "apir/internal.h"

#include <errno.h>
#include <string.h>

#include "proto/apir_wire.h"

bool apir_routes_venus(const struct apir *a)
{
	return a->venus;
}

void apir_route_venus(struct apir *a)
{
	a->venus = true;
}

int apir_capset(const struct apir *a, uint32_t capset_id, void *data, size_t size)
{
	struct apir_capset caps = { .version = 1, .supports_blob_resources = 1 };
	size_t full;

	if (capset_id == APIR_CAPSET_APIR)
		full = sizeof caps;
	else if (capset_id == APIR_CAPSET_VENUS && a->venus)
		full = APIR_CAPSET_VENUS_SIZE;
	else
		return -ENOENT;
	if (data) {
		memset(data, 0, size);
		memcpy(data, &caps, size < sizeof caps ? size : sizeof caps);
	}
	return (int)full;
}
