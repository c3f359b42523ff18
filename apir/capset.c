/* SPDX-License-Identifier: MIT */
/* See capset.h. */
#include "apir/capset.h"

#include <errno.h>
#include <string.h>

#include "proto/apir_wire.h"

int capset_fill(uint32_t capset_id, void *data, size_t size)
{
	const struct apir_capset caps = { .version = 1, .supports_blob_resources = 1 };

	if (capset_id != APIR_CAPSET_APIR && capset_id != APIR_CAPSET_VENUS)
		return -ENOENT;
	if (data) {
		memset(data, 0, size);
		memcpy(data, &caps, size < sizeof caps ? size : sizeof caps);
	}
	return capset_id == APIR_CAPSET_APIR ? (int)sizeof caps : (int)APIR_CAPSET_VENUS_SIZE;
}
