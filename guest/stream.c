/* SPDX-License-Identifier: MIT */
/* A stream (ggml's "backend"). All streams share the session's one queue, whose order is theirs. */
#include "guest/stream.h"

#include <stdlib.h>

#include "guest/buffer.h"
#include "guest/contents.h"
#include "guest/device.h"
#include "guest/entry.h"
#include "guest/event.h"
#include "guest/graph.h"
#include "guest/loss.h"
#include "guest/transfer.h"
#include "guest/turn.h"

static const uint8_t guid[16] = { 0x67, 0x67, 0x6d, 0x6c, 0x2d, 0x76, 0x69, 0x72, 0x74, 0x67, 0x70, 0x75, 0x2d, 0x63,
	0x31, 0x01 };

static const char *stream_name(struct abi_backend *b)
{
	return device_of(b->device)->name;
}

static void stream_free(struct abi_backend *b)
{
	struct stream *stream = b->context;
	struct call c;

	if (entry_begin("free")) {
		turn_enter(&c, device_session(device_of(b->device)), "free");
		turn_settle(&c, UINT64_MAX);
		loss_stream_end(stream);
		turn_end(&c);
		entry_end();
	} else if (connection_forked()) {
		transfer_abandon(device_session(device_of(b->device)));
	} else {
		return; /* the call that goes on in this thread may be its */
	}
	free(stream);
	free(b);
}

static void stream_synchronize(struct abi_backend *b)
{
	struct call c;

	if (entry_begin("synchronize")) {
		turn_enter(&c, device_session(device_of(b->device)), "synchronize");
		turn_settle(&c, UINT64_MAX);
		turn_end(&c);
		entry_end();
	} else if (connection_forked()) {
		transfer_abandon(device_session(device_of(b->device)));
	}
}

/* Where the tensor lies in another's buffer that is that one's affair, when all is there that was
 * asked for before: some of it may go there. So it may where the bytes come from. */
static void stream_set(struct abi_backend *b, struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	struct abi_buffer *object = buffer_under(t);
	struct buffer *ours = buffer_of(t);
	bool waits = !ours, posted = false;

	if (ours && entry_begin(NULL)) {
		waits = transfer_reads_into(device_session(device_of(b->device)), data, size);
		posted = !waits && contents_set_later(ours, t, data, offset, size);
		entry_end();
	}
	if (waits)
		stream_synchronize(b);
	if (!posted)
		object->iface.set_tensor(object, t, data, offset, size);
}

static void stream_get(struct abi_backend *b, const struct abi_tensor *t, void *data, size_t offset, size_t size)
{
	struct abi_buffer *object = buffer_under(t);
	struct buffer *ours = buffer_of(t);
	bool posted = false;

	if (!ours)
		stream_synchronize(b);
	else if (entry_begin(NULL)) {
		posted = contents_get_later(ours, t, data, offset, size);
		entry_end();
	}
	if (!posted)
		object->iface.get_tensor(object, t, data, offset, size);
}

static int32_t stream_compute(struct abi_backend *b, struct abi_graph *graph)
{
	int32_t status = ABI_STATUS_FAILED;

	if (entry_begin("graph_compute")) {
		status = graph_send(&device_of(b->device)->kept, b->context, graph);
		entry_end();
	} else {
		entry_forked_tell();
	}
	return status;
}

static void stream_optimize(struct abi_backend *b, struct abi_graph *graph, struct abi_optimize_params *params)
{
	struct device *dev = device_of(b->device);

	if (!entry_begin(NULL))
		return;
	graph_optimize(&dev->optimizer, dev->host, graph, params);
	entry_end();
}

/* What a ggml calls that knows no params: what is there in their place is nothing. */
static void stream_optimize_plain(struct abi_backend *b, struct abi_graph *graph, struct abi_optimize_params *nothing)
{
	(void)nothing;
	stream_optimize(b, graph, NULL);
}

static struct abi_backend *stream_make(struct abi_device *device)
{
	struct abi_backend *b = calloc(1, sizeof *b);
	struct stream *stream = calloc(1, sizeof *stream);
	struct session *s = device_session(device_of(device));
	void (*optimize)(struct abi_backend *, struct abi_graph *, struct abi_optimize_params *) = NULL;

	if (!b || !stream) {
		free(b);
		free(stream);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	loss_stream_begin(&s->losses, stream);
	pthread_mutex_unlock(&s->lock);
	if (s->features & APIR_FEATURE_OPTIMIZE)
		optimize = own.optimize == ABI_OPTIMIZE_DEPS ? stream_optimize : stream_optimize_plain;
	*b = (struct abi_backend){
		.guid = guid,
		.iface = {
			.get_name = stream_name,
			.free = stream_free,
			.set_tensor_async = stream_set,
			.get_tensor_async = stream_get,
			.synchronize = stream_synchronize,
			.graph_compute = stream_compute,
			.event_record = event_record,
			.event_wait = event_wait,
			.graph_optimize = optimize,
		},
		.device = device,
		.context = stream,
	};
	return b;
}

struct abi_backend *stream_new(struct abi_device *device, const char *params)
{
	struct abi_backend *b = NULL;

	(void)params;
	if (entry_begin("init_backend")) {
		b = stream_make(device);
		entry_end();
	} else {
		entry_forked_tell();
	}
	return b;
}
