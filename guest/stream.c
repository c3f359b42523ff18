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
	struct stream *stream = b->context;
	struct call c;

	if (entry_begin("free")) {
		turn_enter(&c, &plugin.session, "free");
		queue_settle(&c.session->queue);
		loss_stream_end(stream);
		turn_end(&c);
		entry_end();
	} else if (!connection_forked()) {
		return; /* the call that goes on in this thread may be its */
	}
	free(stream);
	free(b);
}

static void stream_synchronize(struct abi_backend *b)
{
	struct call c;

	(void)b;
	if (!entry_begin("synchronize"))
		return;
	turn_enter(&c, &plugin.session, "synchronize");
	queue_settle(&c.session->queue);
	turn_end(&c);
	entry_end();
}

static int32_t stream_compute(struct abi_backend *b, struct abi_graph *graph)
{
	int32_t status = ABI_STATUS_FAILED;

	if (entry_begin("graph_compute")) {
		status = graph_compute(b->context, graph);
		entry_end();
	} else {
		entry_forked_tell();
	}
	return status;
}

static struct abi_backend *stream_make(struct abi_device *dev)
{
	struct abi_backend *b = calloc(1, sizeof *b);
	struct stream *stream = calloc(1, sizeof *stream);

	if (!b || !stream) {
		free(b);
		free(stream);
		return NULL;
	}
	pthread_mutex_lock(&plugin.session.lock);
	loss_stream_begin(&plugin.session.losses, stream);
	pthread_mutex_unlock(&plugin.session.lock);
	*b = (struct abi_backend){
		.guid = guid,
		.iface = {
			.get_name = stream_name,
			.free = stream_free,
			.synchronize = stream_synchronize,
			.graph_compute = stream_compute,
		},
		.device = dev,
		.context = stream,
	};
	return b;
}

struct abi_backend *stream_new(struct abi_device *dev, const char *params)
{
	struct abi_backend *b = NULL;

	(void)params;
	if (entry_begin("init_backend")) {
		b = stream_make(dev);
		entry_end();
	} else {
		entry_forked_tell();
	}
	return b;
}
