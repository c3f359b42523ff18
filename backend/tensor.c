/* SPDX-License-Identifier: MIT */
/*
 * See tensor.h. Pointers in a raw tensor are the guest's and are never followed: they only tell whether another
 * struct comes after this one.
 */
#include "backend/tensor.h"

#include <string.h>

#include "backend/context.h"

#define tensor_refuse(text) (*why = (text), false)

/* From the wire's numbers to the library's. */
static bool tensor_renumber(struct backend_context *ctx, struct abi_tensor *t, const char **why)
{
	t->type = abi_number(&ctx->numbers, ABI_TYPES, t->type);
	if (t->type < 0)
		return tensor_refuse("unknown tensor type");
	return abi_numbers_op(&ctx->numbers, &t->op, &t->op_params[0]) || tensor_refuse("unknown operation");
}

/* A program tells its ggml what a buffer is for after it was made, and without a call: so each tensor says it. A plain
 * APIR 0.2 guest doesn't; its buffers are for anything, as they were made: taken for COMPUTE, a device would clear the
 * padding of its weights at each use. */
static bool buffer_usage_take(struct backend_context *ctx, struct buffer *b, uint32_t memory, const char **why)
{
	uint32_t told = memory & APIR_MEMORY_USAGE;

	if (!(ctx->features & APIR_FEATURE_MEMORY))
		return true;
	if (memory & ~(APIR_MEMORY_USAGE | APIR_MEMORY_PART) || told > APIR_MEMORY_USAGE_MAX)
		return tensor_refuse("memory for an unknown use");
	if (told && b->usage != (int32_t)told - 1) {
		context_drain(ctx); /* graphs go with it */
		b->usage = (int32_t)told - 1;
		ctx->lib.fn.buffer_set_usage(b->ggml, b->usage);
		graph_store_leave(&ctx->graphs, &ctx->lib.fn, b); /* the library may compute them otherwise now */
	}
	return true;
}

/* As tensor_decode_node(); *bytes gets the tensor's. */
static bool tensor_decode_any(
	struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, size_t *bytes, const char **why)
{
	struct buffer *b;

	*t = (struct abi_tensor){
		.type = (int32_t)w->type,
		.op = (int32_t)w->op,
		.flags = w->flags,
	};
	for (int i = 0; i < ABI_DIMS; i++) {
		t->ne[i] = w->ne[i];
		t->nb[i] = w->nb[i];
	}
	memcpy(t->op_params, w->op_params, sizeof t->op_params);
	memcpy(t->name, w->name, sizeof t->name - 1);
	if (!tensor_renumber(ctx, t, why) || !ops_check_tensor(&ctx->lib.ops, t, bytes, why))
		return false;
	if (!w->buffer)
		return true; /* no data either: an operation on it is refused later */
	b = handle_get(&ctx->handles, w->buffer, OBJ_BUFFER);
	if (!b)
		return tensor_refuse("unknown buffer");
	if (!range_ok(w->data, *bytes, b->size))
		return tensor_refuse("a tensor that reaches beyond its buffer");
	if (!buffer_usage_take(ctx, b, w->memory, why))
		return false;
	t->buffer = b->ggml;
	t->data = b->base + w->data;
	return true;
}

/* Its memory, and what the device wants behind it, is all its own. */
static bool tensor_is_whole(struct backend_context *ctx, const struct apir_tensor *w, const struct abi_tensor *t)
{
	const struct buffer *b = handle_get(&ctx->handles, w->buffer, OBJ_BUFFER);
	union abi_buft *buft = ctx->lib.fn.buffer_get_type(t->buffer);

	return range_ok(w->data, ctx->lib.fn.buft_get_alloc_size(buft, t), b->size);
}

bool tensor_init(
	struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, bool *done, const char **why)
{
	bool part = !(ctx->features & APIR_FEATURE_MEMORY) || w->memory & APIR_MEMORY_PART;

	*done = false;
	if (!t->buffer || !t->buffer->iface.init_tensor)
		return true;
	if (!t->view_src) {
		bool whole = tensor_is_whole(ctx, w, t);

		if (!part && !whole)
			return tensor_refuse("a tensor that lacks what the device needs behind it");
		if (part && (!whole || ctx->lib.ops.blck_size[t->type] > 1))
			return true;
	}
	if (ctx->lib.fn.buffer_init_tensor(t->buffer, t) != ABI_STATUS_SUCCESS)
		return tensor_refuse("the device could not initialise it");
	*done = true;
	return true;
}

bool tensor_decode_node(
	struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, const char **why)
{
	size_t bytes;

	return tensor_decode_any(ctx, w, t, &bytes, why);
}

bool tensor_decode(struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, size_t *extent,
	const char **why)
{
	size_t bytes;

	if (!tensor_decode_any(ctx, w, t, &bytes, why) || !ops_check_layout(&ctx->lib.ops, t, why))
		return false;
	if (extent)
		*extent = bytes;
	return true;
}

static bool tensor_raw_read(struct backend_context *ctx, struct cursor *in, struct abi_tensor *t, const char **why)
{
	size_t extent;

	if (!cursor_read(in, t, sizeof *t))
		return tensor_refuse("a tensor is missing");
	t->data = t->extra = NULL;
	t->name[sizeof t->name - 1] = '\0';
	return tensor_renumber(ctx, t, why) && ops_check_tensor(&ctx->lib.ops, t, &extent, why);
}

static void tensor_raw_forget(struct abi_tensor *t)
{
	t->buffer = NULL;
	t->view_src = NULL;
	memset(t->src, 0, sizeof t->src);
}

bool tensor_decode_raw(struct backend_context *ctx, struct cursor *in, struct abi_tensor *room, const char **why)
{
	struct abi_tensor *op = &room[0], *next = &room[1];
	bool has_src[ABI_SRCS], has_view;
	uint64_t unused;

	if (!tensor_raw_read(ctx, in, op, why))
		return false;
	if (op->buffer && !cursor_read_u64(in, &unused))
		return tensor_refuse("a buffer handle is missing");
	has_view = op->view_src != NULL;
	for (int i = 0; i < ABI_SRCS; i++)
		has_src[i] = op->src[i] != NULL;
	tensor_raw_forget(op);
	if (has_view) {
		if (!tensor_raw_read(ctx, in, next, why))
			return false;
		tensor_raw_forget(next);
		op->view_src = next++;
	}
	for (int i = 0; i < ABI_SRCS && has_src[i]; i++) {
		if (!tensor_raw_read(ctx, in, next, why))
			return false;
		tensor_raw_forget(next);
		op->src[i] = next++;
	}
	/* Ours, which upstream ignores: the sources behind a gap, each with its slot before it. */
	while (cursor_left(in) >= sizeof(uint32_t) + sizeof(struct abi_tensor)) {
		uint32_t slot;

		if (!cursor_read_u32(in, &slot) || slot >= ABI_SRCS || op->src[slot])
			return tensor_refuse("a source's slot is out of range or taken");
		if (!tensor_raw_read(ctx, in, next, why))
			return false;
		tensor_raw_forget(next);
		op->src[slot] = next++;
	}
	if (!ctx->lib.ops.computes[op->op])
		return true;
	for (struct abi_tensor *t = room; t < next; t++) {
		if (!ops_check_layout(&ctx->lib.ops, t, why))
			return false;
	}
	return ops_check_srcs(&ctx->lib.ops, op, why);
}
