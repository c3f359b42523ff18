/* SPDX-License-Identifier: MIT */
/* See device_counters.h. */
#include "guest/device_counters.h"

#include <string.h>

#include "guest/device.h"
#include "guest/entry.h"

bool device_counters(struct ggml_backend_device *object, struct ggml_backend_virtgpu_counters *out)
{
	struct session *s = device_session(device_of((const struct abi_device *)(const void *)object));
	size_t n = out->size < sizeof *out ? out->size : sizeof *out;

	if (n < sizeof out->size || !entry_begin(NULL))
		return false;
	pthread_mutex_lock(&s->lock);
	s->counters.size = n;
	s->counters.blobs = s->blobs.made;
	memcpy(out, &s->counters, n);
	pthread_mutex_unlock(&s->lock);
	entry_end();
	return true;
}
