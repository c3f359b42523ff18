/* SPDX-License-Identifier: MIT */
/* The buffer types' functions: how the device wants its memory. */
#include "backend/functions.h"

#include "backend/tensor.h"

static union abi_buft *buft_read(struct backend_context *ctx, struct cursor *in)
{
	union abi_buft *buft;
	uint64_t handle;

	if (!cursor_read_u64(in, &handle))
		return NULL;
	buft = handle_get(&ctx->handles, handle, OBJ_BUFT);
	if (!buft)
		context_refuse(ctx, "unknown buffer type %#llx", (unsigned long long)handle);
	return buft;
}

uint32_t on_buft_name(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	union abi_buft *buft = buft_read(ctx, in);

	return buft ? fn_reply(cursor_write_string(out, ctx->lib.fn.buft_name(buft))) : APIR_FN_REFUSED;
}

uint32_t on_buft_alignment(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	union abi_buft *buft = buft_read(ctx, in);

	return buft ? fn_reply(cursor_write_u64(out, ctx->lib.fn.buft_get_alignment(buft))) : APIR_FN_REFUSED;
}

uint32_t on_buft_max_size(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	union abi_buft *buft = buft_read(ctx, in);

	return buft ? fn_reply(cursor_write_u64(out, ctx->lib.fn.buft_get_max_size(buft))) : APIR_FN_REFUSED;
}

/* Always false: the guest can't touch the host's memory by address. */
uint32_t on_buft_is_host(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	return buft_read(ctx, in) ? fn_reply(cursor_write_bool(out, false)) : APIR_FN_REFUSED;
}

uint32_t on_buft_alloc_buffer(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	union abi_buft *buft = buft_read(ctx, in);
	struct abi_buffer *b;
	uint64_t size;

	if (!buft || !cursor_read_u64(in, &size))
		return APIR_FN_REFUSED;
	b = ctx->lib.fn.buft_alloc_buffer(buft, size);
	return fn_reply(cursor_write_u64(out, b ? context_add_buffer(ctx, b, NULL, 0) : 0));
}

uint32_t on_buft_alloc_size(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	union abi_buft *buft = buft_read(ctx, in);
	struct abi_tensor room[TENSOR_RAW_ROOM];
	const char *why = NULL;

	if (!buft)
		return APIR_FN_REFUSED;
	if (!tensor_decode_raw(ctx, in, room, &why)) {
		context_refuse(ctx, "get_alloc_size: %s", why);
		return APIR_FN_REFUSED;
	}
	return fn_reply(cursor_write_u64(out, ctx->lib.fn.buft_get_alloc_size(buft, &room[0])));
}
