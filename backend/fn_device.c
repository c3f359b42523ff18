/* SPDX-License-Identifier: MIT */
/* The device's functions: what it is and what it can. */
#include "backend/functions.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "backend/tensor.h"
#include "platform/memory.h"

uint32_t on_hello(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	uint64_t wanted, known = APIR_FEATURE_WRITE | APIR_FEATURE_NAMES | APIR_FEATURE_MEMORY | APIR_FEATURE_AGAIN |
	                         APIR_FEATURE_ASYNC | APIR_FEATURE_AT |
	                         (ctx->lib.has_counts ? APIR_FEATURE_USE_COUNTS : 0) |
	                         (ctx->lib.optimizes ? APIR_FEATURE_OPTIMIZE : 0);
	uint32_t version;

	if (!cursor_read_u32(in, &version) || !cursor_read_u64(in, &wanted))
		return APIR_FN_REFUSED;
	graph_store_clear(&ctx->graphs, &ctx->lib.fn); /* the same bytes may mean something else from now on */
	ctx->features = wanted & known;
	return fn_reply(cursor_write_u32(out, APIR_HELLO_VERSION) && cursor_write_u64(out, ctx->features));
}

/* APIR 0.2 knows one device. */
uint32_t on_device_count(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)ctx, (void)in;
	return fn_reply(cursor_write_i32(out, 1));
}

uint32_t on_device_name(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)in;
	return fn_reply(cursor_write_string(out, ctx->lib.fn.dev_name(ctx->lib.device)));
}

uint32_t on_device_description(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)in;
	return fn_reply(cursor_write_string(out, ctx->lib.fn.dev_description(ctx->lib.device)));
}

/* Of type GPU whatever it is: llama.cpp offloads to nothing else, and upstream's guest tells the program what we say. */
uint32_t on_device_type(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)ctx, (void)in;
	return fn_reply(cursor_write_u32(out, ABI_DEV_GPU));
}

uint32_t on_device_memory(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	size_t free_bytes = 0, total = 0;
	struct memory m;

	(void)in;
	ctx->lib.fn.dev_memory(ctx->lib.device, &free_bytes, &total);
	/* ggml's CPU says of the machine's memory that all is free, whatever others use and we may have. */
	if (ctx->lib.fn.buft_is_host(ctx->lib.buft) && memory_look(&m)) {
		total = m.total;
		free_bytes = m.free;
	}
	return fn_reply(cursor_write_u64(out, free_bytes) && cursor_write_u64(out, total));
}

uint32_t on_device_supports_op(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	struct abi_tensor room[TENSOR_RAW_ROOM];
	const char *why = NULL;

	/* What we don't know or don't permit isn't supported: that is an answer, not an error. */
	if (!tensor_decode_raw(ctx, in, room, &why))
		return fn_reply(cursor_write_bool(out, false));
	return fn_reply(cursor_write_bool(out, ctx->lib.fn.dev_supports_op(ctx->lib.device, &room[0])));
}

uint32_t on_device_buffer_type(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)in;
	return fn_reply(cursor_write_u64(out, ctx->buft_handle));
}

uint32_t on_device_props(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	struct abi_props p = { 0 };

	(void)in;
	ctx->lib.fn.dev_get_props(ctx->lib.device, &p);
	return fn_reply(cursor_write_bool(out, p.async) && cursor_write_bool(out, p.host_buffer) &&
			cursor_write_bool(out, p.buffer_from_host_ptr) && cursor_write_bool(out, p.events) &&
			cursor_write_bool(out, p.mmap_support));
}

/*
 * Memory that a guest has given up lives on under its buffers, and the quota doesn't count it any more. It may have as
 * much of that as it had blobs, but no more: there are no new buffers on blobs while there are any on such memory.
 */
static bool context_blobs_are_there(struct backend_context *ctx)
{
	uint64_t dropped = context_blobs_dropped(ctx);
	const struct buffer *b;
	uint32_t pos = 0;

	if (dropped == ctx->blobs_dropped)
		return true;
	while ((b = handle_next(&ctx->handles, OBJ_BUFFER, &pos))) {
		if (b->mapping && b->blob != context_blob_serial(ctx, b->res)) {
			context_refuse(ctx,
				"buffer_from_ptr: a buffer lies on blob %u, which was given up: free it first", b->res);
			return false;
		}
	}
	ctx->blobs_dropped = dropped;
	return true;
}

/*
 * A buffer on a blob's memory. It gets a mapping of its own (mremap of size 0 duplicates a shared one), which
 * lives as long as the buffer, whatever happens to the blob.
 */
uint32_t on_device_buffer_from_ptr(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	uint64_t size, max_tensor, handle;
	struct abi_buffer *b;
	struct abi_props p = { 0 };
	struct buffer *on_blob;
	void *shm, *own;
	uint32_t res;

	if (!cursor_read_u32(in, &res) || !cursor_read_u64(in, &size) || !cursor_read_u64(in, &max_tensor))
		return APIR_FN_REFUSED;
	ctx->lib.fn.dev_get_props(ctx->lib.device, &p);
	if (!p.buffer_from_host_ptr)
		return APIR_FN_FAILED;
	shm = size ? context_shm(ctx, res, 0, size) : NULL;
	if (!shm) {
		context_refuse(ctx, "buffer_from_ptr: blob %u does not hold %llu bytes", res, (unsigned long long)size);
		return APIR_FN_REFUSED;
	}
	if (!context_blobs_are_there(ctx))
		return APIR_FN_REFUSED;
	own = mremap(shm, 0, size, MREMAP_MAYMOVE);
	if (own == MAP_FAILED)
		return APIR_FN_FAILED;
	b = ctx->lib.fn.dev_buffer_from_host_ptr(ctx->lib.device, own, size, max_tensor);
	if (!b) {
		munmap(own, size);
		return APIR_FN_FAILED;
	}
	handle = context_add_buffer(ctx, b, own, size);
	if (!handle)
		return APIR_FN_FAILED;
	on_blob = handle_get(&ctx->handles, handle, OBJ_BUFFER);
	on_blob->res = res;
	on_blob->blob = context_blob_serial(ctx, res);
	return fn_reply(cursor_write_u64(out, handle) && cursor_write_u64(out, ctx->buft_handle));
}
