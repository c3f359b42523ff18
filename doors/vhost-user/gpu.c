/* SPDX-License-Identifier: MIT */
/*
 * virtio-gpu without scanouts. A request is taken off the ring as a private copy and handled by its row in
 * the table; most are answered at once. Three kinds wait: maps and unmaps for QEMU, and submissions with a
 * fence for everything submitted before on their ring of the context. Meanwhile other requests go on, as
 * virtio-gpu allows. As many requests can wait as the ring has descriptors, so the guest can't make them pile
 * up.
 *
 * Nothing the guest sends ends this device: a request that makes no sense is answered with an error, and a
 * line in the log, of which the guest gets a few per minute. A fence is always answered, whatever became of
 * its context.
 */
#include "gpu.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log/log.h"
#include "platform/clock.h"
#include "proto/apir_wire.h"

#define BUF_SIZE            (sizeof(struct virtio_gpu_cmd_submit) + APIR_CMD_MAX)
#define RUN_CHAINS          64
#define COMPLAINTS          20
#define COMPLAINTS_EVERY_MS 60000
#define CAPSET_ID_MASK      0xffu /* context_init's low bits; linux/virtio_gpu.h names them too, but not in every version */
#define PENDING             0     /* a handler's result: the answer comes later */

union reply_body {
	struct virtio_gpu_resp_display_info display_info;
	struct virtio_gpu_resp_capset_info capset_info;
	struct virtio_gpu_resp_map_info map_info;
	struct {
		struct virtio_gpu_ctrl_hdr hdr;
		uint8_t data[APIR_CAPSET_VENUS_SIZE];
	} capset;
	struct virtio_gpu_ctrl_hdr hdr;
};

struct reply {
	union reply_body body;
	size_t size; /* header included */
};

/* A handler gets the guest's bytes, at least as many as its row says, and returns a VIRTIO_GPU_RESP_* or
 * PENDING. */
typedef uint32_t handler(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out);

static PRINTF_LIKE(2, 3) void complain(struct gpu *g, const char *fmt, ...)
{
	char line[200];
	int64_t now = clock_ms();
	va_list ap;

	if (g->complaints_from == 0 || now - g->complaints_from >= COMPLAINTS_EVERY_MS) {
		g->complaints = COMPLAINTS;
		g->complaints_from = now;
	}
	if (g->complaints == 0)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	log_warn("guest: %s%s", line, --g->complaints ? "" : " (and no more of this for a while)");
}

static int id_add(struct id_list *l, uint32_t id)
{
	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		uint32_t *ids = reallocarray(l->ids, room, sizeof *ids);

		if (!ids)
			return -ENOMEM;
		l->ids = ids;
		l->room = room;
	}
	l->ids[l->count++] = id;
	return 0;
}

static bool id_remove(struct id_list *l, uint32_t id)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->ids[i] != id)
			continue;
		l->ids[i] = l->ids[--l->count];
		return true;
	}
	return false;
}

static uint32_t response_of(int err, uint32_t not_found)
{
	switch (err) {
	case 0:
		return VIRTIO_GPU_RESP_OK_NODATA;
	case -ENOENT:
		return not_found;
	case -ENOMEM:
	case -ENOSPC:
	case -EDQUOT:
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	case -EINVAL:
	case -EEXIST:
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	default:
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	}
}

/* What every response starts with: the fence travels back the way it came. */
static struct virtio_gpu_ctrl_hdr response_header(const struct request *r, uint32_t type)
{
	struct virtio_gpu_ctrl_hdr h = { .type = type };

	if (r->hdr.flags & VIRTIO_GPU_FLAG_FENCE) {
		h.flags = VIRTIO_GPU_FLAG_FENCE;
		h.fence_id = r->hdr.fence_id;
		h.ctx_id = r->hdr.ctx_id;
		if (r->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX) {
			h.flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
			h.ring_idx = r->hdr.ring_idx;
		}
	}
	return h;
}

static void request_push(struct gpu *g, struct request *r, uint32_t type, struct reply *reply)
{
	reply->body.hdr = response_header(r, type);
	virtqueue_push(&g->queues[GPU_CONTROL], g->memory, &r->chain, &reply->body, reply->size);
	r->state = REQUEST_FREE;
	g->hint = (unsigned)(r - g->requests);
}

static void reply_map_info(struct reply *out)
{
	out->body.map_info.map_info = VIRTIO_GPU_MAP_CACHE_CACHED;
	out->size = sizeof out->body.map_info;
}

/* Answers a request that had to wait; kept while the ring is stopped, for it may go on. */
static void request_finish(struct gpu *g, struct request *r, uint32_t type)
{
	struct reply reply = { .size = sizeof reply.body.hdr };

	if (!virtqueue_writable(&g->queues[GPU_CONTROL], g->memory)) {
		r->response = type;
		r->state = REQUEST_DONE;
		g->done++;
		return;
	}
	if (type == VIRTIO_GPU_RESP_OK_MAP_INFO)
		reply_map_info(&reply);
	request_push(g, r, type, &reply);
}

static struct request *request_take(struct gpu *g)
{
	for (unsigned i = 0; i < VIRTQUEUE_NUM_MAX; i++) {
		struct request *r = &g->requests[(g->hint + i) % VIRTQUEUE_NUM_MAX];

		if (r->state == REQUEST_FREE)
			return r;
	}
	return NULL;
}

static uint32_t on_display_info(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	(void)g, (void)r, (void)cmd, (void)size;
	out->size = sizeof out->body.display_info;
	return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

static uint32_t on_capset_info(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_get_capset_info c;
	uint32_t id;
	int n;

	(void)r, (void)size;
	memcpy(&c, cmd, sizeof c);
	if (c.capset_index == 0)
		id = APIR_CAPSET_APIR;
	else if (c.capset_index == 1)
		id = APIR_CAPSET_VENUS;
	else
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	n = apir_capset(g->apir, id, NULL, 0);
	if (n < 0)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	out->body.capset_info.capset_id = id;
	out->body.capset_info.capset_max_version = 0;
	out->body.capset_info.capset_max_size = (uint32_t)n;
	out->size = sizeof out->body.capset_info;
	return VIRTIO_GPU_RESP_OK_CAPSET_INFO;
}

static uint32_t on_capset(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_get_capset c;
	int n;

	(void)r, (void)size;
	memcpy(&c, cmd, sizeof c);
	n = apir_capset(g->apir, c.capset_id, out->body.capset.data, sizeof out->body.capset.data);
	if (n < 0 || (size_t)n > sizeof out->body.capset.data)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	out->size = sizeof out->body.capset.hdr + (size_t)n;
	return VIRTIO_GPU_RESP_OK_CAPSET;
}

static uint32_t on_ctx_create(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_ctx_create c;
	char name[sizeof c.debug_name + 1] = { 0 };
	uint32_t id = r->hdr.ctx_id, capset;
	int err;

	(void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	capset = c.context_init & CAPSET_ID_MASK;
	if (id == 0)
		return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
	if (capset != APIR_CAPSET_APIR && !(capset == APIR_CAPSET_VENUS && apir_routes_venus(g->apir))) {
		complain(g, "context %u of capset %u refused", id, capset);
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	log_debug("context %u is of capset %u", id, capset);
	memcpy(name, c.debug_name, c.nlen < sizeof c.debug_name ? c.nlen : sizeof c.debug_name);
	/* first, so that a context that exists is always on the list */
	if ((err = id_add(&g->contexts, id)) == 0 && (err = apir_context_create(g->apir, id, name)) < 0)
		g->contexts.count--;
	if (err < 0) {
		complain(g, "context %u can't be made: %s", id, strerror(-err));
		return err == -EEXIST ? VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
		                      : response_of(err, VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t on_ctx_destroy(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	uint32_t id = r->hdr.ctx_id;

	(void)cmd, (void)size, (void)out;
	if (!id_remove(&g->contexts, id))
		return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
	apir_context_destroy(g->apir, id);
	/* apir has reported the fences; should it have missed one, the guest must not wait for it */
	for (unsigned i = 0; i < VIRTQUEUE_NUM_MAX; i++)
		if (g->requests[i].state == REQUEST_FENCE && g->requests[i].hdr.ctx_id == id)
			request_finish(g, &g->requests[i], g->requests[i].response);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t on_ctx_attach(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_ctx_resource c;

	(void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	return response_of(
		apir_blob_attach(g->apir, r->hdr.ctx_id, c.resource_id), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static uint32_t on_ctx_detach(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_ctx_resource c;

	(void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	return response_of(
		apir_blob_detach(g->apir, r->hdr.ctx_id, c.resource_id), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static uint32_t on_blob_create(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_resource_create_blob c;
	int err;

	(void)r, (void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	if (c.resource_id == 0)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (c.blob_mem != VIRTIO_GPU_BLOB_MEM_HOST3D || c.blob_flags != VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE ||
		c.blob_id != 0 || c.nr_entries != 0 || c.size == 0) {
		complain(g, "resource %u refused: only mappable host blobs exist here", c.resource_id);
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	if (c.size > g->window->size)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	/* first, as in on_ctx_create() */
	if ((err = id_add(&g->blobs, c.resource_id)) == 0 &&
		(err = apir_blob_create(g->apir, c.resource_id, c.size)) < 0)
		g->blobs.count--;
	if (err < 0) {
		complain(g, "resource %u of %llu bytes can't be made: %s", c.resource_id, (unsigned long long)c.size,
			strerror(-err));
		return err == -EEXIST ? VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
		                      : response_of(err, VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t on_blob_map(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_resource_map_blob c;
	uint64_t bytes;
	int fd, err;

	(void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	fd = apir_blob_fd(g->apir, c.resource_id, &bytes);
	if (c.resource_id == 0 || fd < 0)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	r->state = REQUEST_WINDOW;
	err = window_map(g->window, c.resource_id, c.offset, bytes, fd, r);
	if (err == 0)
		return PENDING;
	complain(g, "resource %u can't be mapped at 0x%llx: %s", c.resource_id, (unsigned long long)c.offset,
		strerror(-err));
	return response_of(err, VIRTIO_GPU_RESP_ERR_UNSPEC);
}

static uint32_t on_blob_unmap(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_resource_unmap_blob c;
	int err;

	(void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	r->state = REQUEST_WINDOW;
	err = window_unmap(g->window, c.resource_id, r);
	return err == 0 ? PENDING : response_of(err, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static uint32_t on_unref(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_resource_unref c;
	int err;

	(void)size, (void)out;
	memcpy(&c, cmd, sizeof c);
	if (!id_remove(&g->blobs, c.resource_id))
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	apir_blob_unref(g->apir, c.resource_id);
	/* The guest uses the place in the window again once this is answered. */
	r->state = REQUEST_WINDOW;
	err = window_unref(g->window, c.resource_id, r);
	return err == 0 ? PENDING : VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t on_submit(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size, struct reply *out)
{
	struct virtio_gpu_cmd_submit c;
	uint32_t type, ring = r->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX ? r->hdr.ring_idx : 0;
	int err;

	(void)out;
	memcpy(&c, cmd, sizeof c);
	if (c.size > APIR_CMD_MAX || !range_ok(sizeof c, c.size, size)) {
		complain(g, "context %u: a command of %u bytes", r->hdr.ctx_id, c.size);
		type = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	} else {
		err = apir_submit(g->apir, r->hdr.ctx_id, ring, cmd + sizeof c, c.size);
		type = response_of(err, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	}
	if (!(r->hdr.flags & VIRTIO_GPU_FLAG_FENCE))
		return type;
	/* Even a refused command's fence comes in its turn, after those of the commands before it. */
	r->token = ++g->fences * VIRTQUEUE_NUM_MAX + (uint64_t)(r - g->requests);
	r->response = type;
	r->state = REQUEST_FENCE;
	if (apir_fence(g->apir, r->hdr.ctx_id, ring, r->token) == 0)
		return PENDING;
	return type;
}

static const struct command {
	uint32_t type;
	uint32_t size; /* of the fixed part, which must be there */
	handler *handle;
} commands[] = {
	{ VIRTIO_GPU_CMD_SUBMIT_3D, sizeof(struct virtio_gpu_cmd_submit), on_submit },
	{ VIRTIO_GPU_CMD_GET_DISPLAY_INFO, sizeof(struct virtio_gpu_ctrl_hdr), on_display_info },
	{ VIRTIO_GPU_CMD_GET_CAPSET_INFO, sizeof(struct virtio_gpu_get_capset_info), on_capset_info },
	{ VIRTIO_GPU_CMD_GET_CAPSET, sizeof(struct virtio_gpu_get_capset), on_capset },
	{ VIRTIO_GPU_CMD_CTX_CREATE, sizeof(struct virtio_gpu_ctx_create), on_ctx_create },
	{ VIRTIO_GPU_CMD_CTX_DESTROY, sizeof(struct virtio_gpu_ctx_destroy), on_ctx_destroy },
	{ VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, sizeof(struct virtio_gpu_ctx_resource), on_ctx_attach },
	{ VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, sizeof(struct virtio_gpu_ctx_resource), on_ctx_detach },
	{ VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, sizeof(struct virtio_gpu_resource_create_blob), on_blob_create },
	{ VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, sizeof(struct virtio_gpu_resource_map_blob), on_blob_map },
	{ VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, sizeof(struct virtio_gpu_resource_unmap_blob), on_blob_unmap },
	{ VIRTIO_GPU_CMD_RESOURCE_UNREF, sizeof(struct virtio_gpu_resource_unref), on_unref },
};

static void handle(struct gpu *g, struct request *r, const uint8_t *cmd, size_t size)
{
	struct reply reply = { .size = sizeof reply.body.hdr };
	uint32_t type = VIRTIO_GPU_RESP_ERR_UNSPEC;
	size_t i;

	r->hdr = (struct virtio_gpu_ctrl_hdr){ 0 };
	if (size >= sizeof r->hdr) {
		memcpy(&r->hdr, cmd, sizeof r->hdr);
		for (i = 0; i < ARRAY_SIZE(commands); i++)
			if (commands[i].type == r->hdr.type)
				break;
		if (i == ARRAY_SIZE(commands))
			complain(g, "command 0x%x isn't known here", r->hdr.type);
		else if (size < commands[i].size)
			complain(g, "command 0x%x is cut short", r->hdr.type);
		else
			type = commands[i].handle(g, r, cmd, size, &reply);
	} else {
		complain(g, "a request of %zu bytes", size);
	}
	if (type != PENDING)
		request_push(g, r, type, &reply);
}

static bool run_control(struct gpu *g)
{
	struct virtqueue *q = &g->queues[GPU_CONTROL];

	for (unsigned i = 0; i < RUN_CHAINS; i++) {
		struct request *r = request_take(g);

		if (!r || virtqueue_pop(q, g->memory, &r->chain, g->buf, BUF_SIZE) <= 0)
			return false;
		r->state = REQUEST_BUSY;
		handle(g, r, g->buf, r->chain.size < BUF_SIZE ? r->chain.size : BUF_SIZE);
	}
	return true;
}

/* There is no screen for a cursor to be on. */
static bool run_cursor(struct gpu *g)
{
	struct virtqueue *q = &g->queues[GPU_CURSOR];
	struct chain c;

	for (unsigned i = 0; i < RUN_CHAINS; i++) {
		if (virtqueue_pop(q, g->memory, &c, g->buf, 0) <= 0)
			return false;
		virtqueue_push(q, g->memory, &c, NULL, 0);
	}
	return true;
}

bool gpu_run(struct gpu *g)
{
	bool more = run_control(g);

	return run_cursor(g) || more;
}

void gpu_flush(struct gpu *g)
{
	if (g->done && virtqueue_writable(&g->queues[GPU_CONTROL], g->memory)) {
		for (unsigned i = 0; i < VIRTQUEUE_NUM_MAX && g->done; i++) {
			if (g->requests[i].state != REQUEST_DONE)
				continue;
			g->done--;
			request_finish(g, &g->requests[i], g->requests[i].response);
		}
	}
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		virtqueue_flush(&g->queues[i], g->memory);
}

void gpu_window_answer(void *user, struct request *r, int err)
{
	struct gpu *g = user;
	uint32_t type = response_of(err, VIRTIO_GPU_RESP_ERR_UNSPEC);

	if (err == 0 && r->hdr.type == VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB)
		type = VIRTIO_GPU_RESP_OK_MAP_INFO;
	request_finish(g, r, type);
}

void gpu_fence_done(struct gpu *g, uint64_t token)
{
	struct request *r = &g->requests[token % VIRTQUEUE_NUM_MAX];

	if (r->state == REQUEST_FENCE && r->token == token)
		request_finish(g, r, r->response);
}

void gpu_reset(struct gpu *g)
{
	/* the requests first: what is reported from here on finds none */
	for (unsigned i = 0; i < VIRTQUEUE_NUM_MAX; i++)
		g->requests[i].state = REQUEST_FREE;
	g->done = 0;
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		g->queues[i].in_flight = 0;
	window_reset(g->window);
	while (g->contexts.count)
		apir_context_destroy(g->apir, g->contexts.ids[--g->contexts.count]);
	while (g->blobs.count)
		apir_blob_unref(g->apir, g->blobs.ids[--g->blobs.count]);
}

void gpu_config_fill(const struct gpu *g, struct gpu_config *c)
{
	*c = (struct gpu_config){ .base.num_capsets = apir_routes_venus(g->apir) ? 2 : 1 };
}

int gpu_init(
	struct gpu *g, struct apir *apir, struct guest_memory *memory, struct virtqueue *queues, struct window *window)
{
	*g = (struct gpu){ .apir = apir, .memory = memory, .queues = queues, .window = window };
	g->buf = malloc(BUF_SIZE);
	return g->buf ? 0 : -ENOMEM;
}

void gpu_close(struct gpu *g)
{
	gpu_reset(g);
	free(g->buf);
	free(g->contexts.ids);
	free(g->blobs.ids);
}
