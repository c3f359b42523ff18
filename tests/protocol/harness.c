/* SPDX-License-Identifier: MIT */
/* See harness.h. Every command is followed by a fence, so a wait ends with the answer, a drop or a loss. */
#include "tests/protocol/harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/ggml.h"

static uint32_t next_res = 1;

bool guest_blob_make(struct guest *g, uint64_t size, struct guest_blob *b)
{
	int fd;

	*b = (struct guest_blob){ .res = next_res++ };
	if (apir_blob_create(g->host->apir, b->res, size) < 0 || apir_blob_attach(g->host->apir, g->ctx, b->res) < 0)
		return false;
	fd = apir_blob_fd(g->host->apir, b->res, &b->size);
	b->ptr = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return b->ptr != MAP_FAILED;
}

void guest_blob_drop(struct guest *g, struct guest_blob *b)
{
	if (!b->ptr)
		return;
	munmap(b->ptr, b->size);
	apir_blob_unref(g->host->apir, b->res);
	*b = (struct guest_blob){ 0 };
}

bool guest_open(struct guest *g, struct host *h, uint32_t ctx)
{
	memset(g, 0, offsetof(struct guest, args_bytes));
	g->buft = g->buffer = 0;
	g->host = h;
	g->ctx = ctx;
	args_start(g);
	return apir_context_create(h->apir, ctx, "a raw guest") == 0 &&
	       guest_blob_make(g, APIR_REPLY_BLOB_SIZE, &g->reply) && guest_blob_make(g, APIR_DATA_BLOB_SIZE, &g->data);
}

bool guest_ready(struct guest *g)
{
	uint32_t major, minor;

	return handshake(g, &major, &minor) == APIR_HANDSHAKE_MAGIC && load_library(g) == APIR_LOAD_OK &&
	       guest_loaded(g);
}

bool guest_loaded(struct guest *g)
{
	args_start(g);
	if (forward(g, APIR_FN_DEVICE_BUFFER_TYPE) != 0 || !cursor_read_u64(&g->answer, &g->buft))
		return false;
	g->buffer = buffer_alloc(g, GUEST_BUFFER);
	return g->buffer != 0;
}

void guest_close(struct guest *g)
{
	if (!g->host)
		return;
	apir_context_destroy(g->host->apir, g->ctx);
	guest_blob_drop(g, &g->reply);
	guest_blob_drop(g, &g->data);
	g->host = NULL;
}

void args_start(struct guest *g)
{
	g->args = cursor_over(g->args_bytes, sizeof g->args_bytes);
	g->args.pos = APIR_CMD_HEADER_SIZE;
}

static void must(bool fits)
{
	if (!fits)
		abort();
}

void arg_u32(struct guest *g, uint32_t v)
{
	must(cursor_write_u32(&g->args, v));
}

void arg_u64(struct guest *g, uint64_t v)
{
	must(cursor_write_u64(&g->args, v));
}

void arg_bytes(struct guest *g, const void *p, size_t n)
{
	must(cursor_write(&g->args, p, n));
}

/* Whether so many bytes of a handshake's arguments hold a greeting behind the version. */
static bool greets(const struct guest *g, size_t n)
{
	struct apir_greeting greeting;

	memcpy(&greeting, g->args_bytes + APIR_CMD_HEADER_SIZE + 2 * sizeof(uint32_t), sizeof greeting);
	return n >= 2 * sizeof(uint32_t) + sizeof greeting && greeting.magic == APIR_GREETING_MAGIC;
}

int64_t command_cut(struct guest *g, int32_t type, int32_t flags, size_t n)
{
	int32_t head[3] = { type + g->type_base, flags, (int32_t)g->reply.res };
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)g->reply.ptr;
	uint32_t code;

	memcpy(g->args_bytes, head, sizeof head);
	atomic_store(word, 0);
	apir_submit(g->host->apir, g->ctx, 0, g->args_bytes, APIR_CMD_HEADER_SIZE + n);
	if (!host_fence(g->host, g->ctx))
		return LOST;
	code = atomic_load(word);
	g->answer = cursor_over(g->answer_bytes, sizeof g->answer_bytes - sizeof code);
	memcpy(g->answer_bytes, g->reply.ptr + sizeof code, g->answer.size);
	if (type == APIR_HANDSHAKE && code == APIR_HANDSHAKE_MAGIC + 1 && !g->shaken) {
		g->shaken = true;
		g->greeted = greets(g, n);
	}
	return code ? (int64_t)code - 1 : DROPPED;
}

int64_t command(struct guest *g, int32_t type, int32_t flags)
{
	return command_cut(g, type, flags, g->args.pos - APIR_CMD_HEADER_SIZE);
}

int64_t forward_cut(struct guest *g, uint32_t fn, size_t n)
{
	int64_t code = command_cut(g, APIR_FORWARD, (int32_t)fn, n);

	if (code == (g->greeted ? APIR_FORWARD_OLD_OK : APIR_FORWARD_OK))
		return 0;
	return code == 0 ? NO_CODE : code;
}

int64_t forward(struct guest *g, uint32_t fn)
{
	return forward_cut(g, fn, g->args.pos - APIR_CMD_HEADER_SIZE);
}

int64_t handshake(struct guest *g, uint32_t *major, uint32_t *minor)
{
	int64_t code;

	args_start(g);
	arg_u32(g, 0);
	arg_u32(g, 2);
	code = command(g, APIR_HANDSHAKE, 0);
	return cursor_read_u32(&g->answer, major) && cursor_read_u32(&g->answer, minor) ? code : DROPPED;
}

int64_t load_library(struct guest *g)
{
	args_start(g);
	return command(g, APIR_LOADLIBRARY, 0);
}

uint64_t buffer_alloc(struct guest *g, uint64_t size)
{
	uint64_t handle = 0;

	args_start(g);
	arg_u64(g, g->buft);
	arg_u64(g, size);
	return forward(g, APIR_FN_BUFT_ALLOC_BUFFER) == 0 && cursor_read_u64(&g->answer, &handle) ? handle : 0;
}

int64_t buffer_free(struct guest *g, uint64_t buffer)
{
	args_start(g);
	arg_u64(g, buffer);
	return forward(g, APIR_FN_BUFFER_FREE);
}

static int64_t transfer(
	struct guest *g, uint32_t fn, uint64_t buffer, const struct apir_tensor *t, uint64_t offset, uint64_t size)
{
	args_start(g);
	arg_u64(g, buffer);
	arg_bytes(g, t, sizeof *t);
	arg_u32(g, g->data.res);
	arg_u64(g, offset);
	arg_u64(g, size);
	return forward(g, fn);
}

int64_t tensor_set(struct guest *g, uint64_t buffer, const struct apir_tensor *t, uint64_t offset, uint64_t size)
{
	return transfer(g, APIR_FN_BUFFER_SET_TENSOR, buffer, t, offset, size);
}

int64_t tensor_get(struct guest *g, uint64_t buffer, const struct apir_tensor *t, uint64_t offset, uint64_t size)
{
	return transfer(g, APIR_FN_BUFFER_GET_TENSOR, buffer, t, offset, size);
}

struct apir_tensor tensor_f32(uint64_t id, uint64_t buffer, uint64_t data, uint32_t ne0, uint32_t ne1)
{
	uint32_t row = ne0 * 4, plane = row * ne1;

	return (struct apir_tensor){
		.id = id,
		.type = 0,
		.buffer = buffer,
		.ne = { ne0, ne1, 1, 1 },
		.nb = { 4, row, plane, plane },
		.flags = 16,
		.data = data,
	};
}

struct wire_graph graph_add(const struct guest *g)
{
	struct wire_graph w = { .n_nodes = 1, .n_tensors = 3, .nodes = { 3 } };

	for (uint64_t i = 0; i < 3; i++)
		w.tensors[i] = tensor_f32(i + 1, g->buffer, i * 64, 8, 1);
	w.tensors[2].op = (uint32_t)ggml_op("ADD");
	w.tensors[2].src[0] = 1;
	w.tensors[2].src[1] = 2;
	return w;
}

size_t graph_put(struct guest *g, const struct wire_graph *w)
{
	struct cursor c = cursor_over(g->data.ptr, g->data.size);

	must(cursor_write_u32(&c, w->n_nodes) && cursor_write(&c, w->nodes, w->n_nodes * sizeof w->nodes[0]) &&
		cursor_write_u32(&c, w->n_tensors) &&
		cursor_write(&c, w->tensors, w->n_tensors * sizeof w->tensors[0]));
	return c.pos;
}

int64_t graph_run(struct guest *g, uint32_t res, uint64_t size, int32_t *status)
{
	int64_t code;

	args_start(g);
	arg_u32(g, res);
	arg_u64(g, size);
	code = forward(g, APIR_FN_GRAPH_COMPUTE);
	if (code == 0)
		must(cursor_read_i32(&g->answer, status));
	return code;
}

int64_t graph_try(struct guest *g, const struct wire_graph *w)
{
	size_t n = graph_put(g, w);
	int32_t status = 0;
	int64_t code = graph_run(g, g->data.res, n, &status);

	return code || !status ? code : 1000 + status;
}

bool guest_computes(struct guest *g)
{
	struct wire_graph w = graph_add(g);
	float a[8], b[8], c[8];

	for (int i = 0; i < 8; i++) {
		a[i] = (float)i;
		b[i] = (float)(100 * i);
	}
	memcpy(g->data.ptr, a, sizeof a);
	if (tensor_set(g, g->buffer, &w.tensors[0], 0, sizeof a) != 0)
		return false;
	memcpy(g->data.ptr, b, sizeof b);
	if (tensor_set(g, g->buffer, &w.tensors[1], 0, sizeof b) != 0 || graph_try(g, &w) != 0)
		return false;
	memset(g->data.ptr, 0xff, sizeof c);
	if (tensor_get(g, g->buffer, &w.tensors[2], 0, sizeof c) != 0)
		return false;
	memcpy(c, g->data.ptr, sizeof c);
	for (int i = 0; i < 8; i++) {
		if (c[i] != (float)(101 * i))
			return false;
	}
	return true;
}
