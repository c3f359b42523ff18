/* SPDX-License-Identifier: MIT */
/* The buffers' functions: moving bytes between blobs and the device, within checked ranges. */
#include "backend/functions.h"

#include <string.h>

#include "backend/pinned_shm.h"
#include "backend/tensor.h"

static struct buffer *buffer_read(struct backend_context *ctx, struct cursor *in, uint64_t *handle_out)
{
	struct buffer *b;
	uint64_t handle;

	if (!cursor_read_u64(in, &handle))
		return NULL;
	b = handle_get(&ctx->handles, handle, OBJ_BUFFER);
	if (!b)
		context_refuse(ctx, "unknown buffer %#llx", (unsigned long long)handle);
	if (handle_out)
		*handle_out = handle;
	return b;
}

uint32_t on_buffer_base(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	const struct buffer *b = buffer_read(ctx, in, NULL);

	return b ? fn_reply(cursor_write_u64(out, b->fake)) : APIR_FN_REFUSED;
}

struct transfer {
	struct abi_tensor tensor;
	void *shm; /* guest-writable: contents only */
	uint64_t offset, size;
	uint64_t data, buffer_size; /* where the tensor lies in its buffer */
	bool is_view;
};

/* set_tensor and get_tensor take the same arguments; `has_at`: and where in the blob the bytes are. */
static bool transfer_read(
	struct backend_context *ctx, struct cursor *in, const char *what, bool has_at, struct transfer *t)
{
	const struct buffer *b = buffer_read(ctx, in, NULL);
	struct apir_tensor w;
	const char *why = NULL;
	size_t extent = 0;
	uint64_t at = 0;
	uint32_t res;

	if (!b)
		return false;
	if (!cursor_read(in, &w, sizeof w) || !cursor_read_u32(in, &res) || (has_at && !cursor_read_u64(in, &at)) ||
		!cursor_read_u64(in, &t->offset) || !cursor_read_u64(in, &t->size))
		why = "arguments are missing";
	else if (!tensor_decode(ctx, &w, &t->tensor, &extent, &why))
		;
	else if (t->tensor.buffer != b->ggml)
		why = "the tensor lies in another buffer";
	else if (!range_ok(t->offset, t->size, extent))
		why = "the range reaches beyond the tensor";
	else if (!(t->shm = pinned_shm(ctx, res, at, t->size)))
		why = "the blob is unknown or too small";
	if (why) {
		context_refuse(ctx, "%s: %s", what, why);
		return false;
	}
	t->data = w.data;
	t->buffer_size = b->size;
	t->is_view = w.view_src != 0;
	return true;
}

static uint32_t fn_set(struct backend_context *ctx, struct cursor *in, bool has_at)
{
	struct transfer t;

	if (!transfer_read(ctx, in, "set_tensor", has_at, &t))
		return APIR_FN_REFUSED;
	/* Some devices want the padding behind a quantised tensor cleared, which init_tensor does; a view has none, and
	 * what isn't in the buffer mustn't be cleared. */
	if (t.offset == 0 && ctx->lib.ops.blck_size[t.tensor.type] > 1 && !t.is_view &&
		range_ok(t.data,
			ctx->lib.fn.buft_get_alloc_size(ctx->lib.fn.buffer_get_type(t.tensor.buffer), &t.tensor),
			t.buffer_size))
		ctx->lib.fn.buffer_init_tensor(t.tensor.buffer, &t.tensor);
	if (t.size)
		ctx->lib.fn.tensor_set(&t.tensor, t.shm, t.offset, t.size);
	ctx->counters.bytes_set += t.size;
	return APIR_FN_OK;
}

/* Behind what the device computes, so that both are waited for at once, by the caller. Some libraries abort for buffers that
 * aren't of the device's own type. */
static void transfer_get(struct backend_context *ctx, const struct transfer *t)
{
	if (ctx->computing && ctx->lib.fn.buffer_get_type(t->tensor.buffer) == ctx->lib.buft) {
		ctx->lib.fn.tensor_get_async(ctx->lib.backend, &t->tensor, t->shm, t->offset, t->size);
	} else {
		context_drain(ctx);
		ctx->lib.fn.tensor_get(&t->tensor, t->shm, t->offset, t->size);
	}
}

static uint32_t fn_get(struct backend_context *ctx, struct cursor *in, bool has_at)
{
	struct transfer t;
	bool taken = transfer_read(ctx, in, "get_tensor", has_at, &t);

	if (taken && t.size)
		transfer_get(ctx, &t);
	context_drain(ctx); /* whatever the answer is, it says that all is over */
	if (!taken)
		return APIR_FN_REFUSED;
	ctx->counters.bytes_get += t.size;
	return APIR_FN_OK;
}

uint32_t on_buffer_set_tensor(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)out;
	return fn_set(ctx, in, false);
}

uint32_t on_buffer_get_tensor(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)out;
	return fn_get(ctx, in, false);
}

uint32_t on_set_tensor_at(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)out;
	return fn_set(ctx, in, true);
}

uint32_t on_get_tensor_at(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)out;
	return fn_get(ctx, in, true);
}

uint32_t on_buffer_cpy_tensor(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	const struct buffer *b = buffer_read(ctx, in, NULL);
	struct abi_tensor src, dst;
	struct apir_tensor ws, wd;
	const char *why = NULL;
	size_t src_bytes = 0, dst_bytes = 0;

	if (!b)
		return APIR_FN_REFUSED;
	if (!cursor_read(in, &ws, sizeof ws) || !cursor_read(in, &wd, sizeof wd))
		why = "arguments are missing";
	else if (!tensor_decode(ctx, &ws, &src, &src_bytes, &why) || !tensor_decode(ctx, &wd, &dst, &dst_bytes, &why))
		;
	else if (!src.buffer || (dst.buffer != b->ggml && src.buffer != b->ggml) || !dst.buffer)
		why = "a tensor lies in no buffer, or none in the named one";
	if (why) {
		context_refuse(ctx, "cpy_tensor: %s", why);
		return APIR_FN_REFUSED;
	}
	/* One that overlaps the other is moved the long way, too. */
	if (dst.buffer == src.buffer && dst.data != src.data && (char *)dst.data < (char *)src.data + src_bytes &&
		(char *)src.data < (char *)dst.data + dst_bytes)
		return fn_reply(cursor_write_bool(out, false));
	/* ggml copies between equal layouts only; for others the caller goes the long way. */
	if (src.type != dst.type || memcmp(src.ne, dst.ne, sizeof src.ne) || memcmp(src.nb, dst.nb, sizeof src.nb))
		return fn_reply(cursor_write_bool(out, false));
	ctx->lib.fn.tensor_copy(&src, &dst);
	return fn_reply(cursor_write_bool(out, true));
}

uint32_t on_buffer_clear(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	const struct buffer *b = buffer_read(ctx, in, NULL);
	uint8_t cell[4];

	(void)out;
	if (!b || !cursor_read(in, cell, sizeof cell))
		return APIR_FN_REFUSED;
	ctx->lib.fn.buffer_clear(b->ggml, cell[0]);
	return APIR_FN_OK;
}

uint32_t on_buffer_free(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	uint64_t handle;
	struct buffer *b = buffer_read(ctx, in, &handle);

	(void)out;
	if (!b)
		return APIR_FN_REFUSED;
	handle_remove(&ctx->handles, handle, OBJ_BUFFER);
	context_free_buffer(ctx, b);
	return APIR_FN_OK;
}

/* The bytes are in the command itself: a private copy already. */
uint32_t on_write(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)out;
	while (cursor_left(in)) {
		struct abi_tensor row = { .type = ABI_TYPE_I8, .ne = { 0, 1, 1, 1 } };
		const struct buffer *b = NULL;
		const void *bytes = NULL;
		struct apir_write w;

		if (cursor_read(in, &w, sizeof w) && w.size > 0 && w.size <= APIR_CMD_MAX)
			bytes = cursor_take(in, round_up(w.size, 8));
		if (bytes)
			b = handle_get(&ctx->handles, w.buffer, OBJ_BUFFER);
		if (!b || !range_ok(w.start, w.size, b->size)) {
			context_refuse(ctx, "write: truncated, or no range of a buffer");
			return APIR_FN_REFUSED;
		}
		row.buffer = b->ggml;
		row.data = b->base + w.start;
		row.ne[0] = (int64_t)w.size;
		row.nb[0] = 1;
		row.nb[1] = row.nb[2] = row.nb[3] = w.size;
		ctx->lib.fn.tensor_set(&row, bytes, 0, w.size);
		ctx->counters.bytes_set += w.size;
	}
	return APIR_FN_OK;
}
