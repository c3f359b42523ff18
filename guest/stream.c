/* SPDX-License-Identifier: MIT */
/* A stream (ggml's "backend"). All streams share the session's one queue, whose order is theirs. */
#include "guest/guest.h"

static const uint8_t guid[16] = { 0x67, 0x67, 0x6d, 0x6c, 0x2d, 0x76, 0x69, 0x72, 0x74, 0x67, 0x70, 0x75, 0x2d, 0x63,
	0x31, 0x01 };

static const char *stream_name(struct abi_backend *b)
{
	(void)b;
	return plugin.device_name;
}

static void stream_free(struct abi_backend *b)
{
	free(b->context);
	free(b);
}

static void stream_synchronize(struct abi_backend *b)
{
	(void)b;
	session_settle(&plugin.session);
}

static int32_t stream_compute(struct abi_backend *b, struct abi_graph *graph)
{
	return graph_compute(graph, b->context);
}

struct abi_backend *stream_new(struct abi_device *dev, const char *params)
{
	struct abi_backend *b = calloc(1, sizeof *b);
	uint64_t *losses_seen = malloc(sizeof *losses_seen);

	(void)params;
	if (!b || !losses_seen) {
		free(b);
		free(losses_seen);
		return NULL;
	}
	*losses_seen = atomic_load(&plugin.session.losses);
	*b = (struct abi_backend){
		.guid = guid,
		.iface = {
			.get_name = stream_name,
			.free = stream_free,
			.synchronize = stream_synchronize,
			.graph_compute = stream_compute,
		},
		.device = dev,
		.context = losses_seen,
	};
	return b;
}
