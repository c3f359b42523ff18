/* SPDX-License-Identifier: MIT */
/* The table of functions. */
#include "backend/functions.h"

#include <inttypes.h>

#include "backend/log.h"
#include "backend/pinned_shm.h"

struct row {
	const char *name;
	backend_fn *fn;
	bool queues; /* it may come while the device computes, and sees to that itself */
};

static const struct row functions[] = {
	[APIR_FN_DEVICE_COUNT_OLD] = { "device_get_device_count", on_device_count, false },
	[APIR_FN_DEVICE_COUNT] = { "device_get_count", on_device_count, false },
	[APIR_FN_DEVICE_NAME] = { "device_get_name", on_device_name, false },
	[APIR_FN_DEVICE_DESCRIPTION] = { "device_get_description", on_device_description, false },
	[APIR_FN_DEVICE_TYPE] = { "device_get_type", on_device_type, false },
	[APIR_FN_DEVICE_MEMORY] = { "device_get_memory", on_device_memory, false },
	[APIR_FN_DEVICE_SUPPORTS_OP] = { "device_supports_op", on_device_supports_op, false },
	[APIR_FN_DEVICE_BUFFER_TYPE] = { "device_get_buffer_type", on_device_buffer_type, false },
	[APIR_FN_DEVICE_PROPS] = { "device_get_props", on_device_props, false },
	[APIR_FN_DEVICE_BUFFER_FROM_PTR] = { "device_buffer_from_ptr", on_device_buffer_from_ptr, false },
	[APIR_FN_BUFT_NAME] = { "buffer_type_get_name", on_buft_name, false },
	[APIR_FN_BUFT_ALIGNMENT] = { "buffer_type_get_alignment", on_buft_alignment, false },
	[APIR_FN_BUFT_MAX_SIZE] = { "buffer_type_get_max_size", on_buft_max_size, false },
	[APIR_FN_BUFT_IS_HOST] = { "buffer_type_is_host", on_buft_is_host, false },
	[APIR_FN_BUFT_ALLOC_BUFFER] = { "buffer_type_alloc_buffer", on_buft_alloc_buffer, false },
	[APIR_FN_BUFT_ALLOC_SIZE] = { "buffer_type_get_alloc_size", on_buft_alloc_size, false },
	[APIR_FN_BUFFER_BASE] = { "buffer_get_base", on_buffer_base, false },
	[APIR_FN_BUFFER_SET_TENSOR] = { "buffer_set_tensor", on_buffer_set_tensor, false },
	[APIR_FN_BUFFER_GET_TENSOR] = { "buffer_get_tensor", on_buffer_get_tensor, true },
	[APIR_FN_BUFFER_CPY_TENSOR] = { "buffer_cpy_tensor", on_buffer_cpy_tensor, false },
	[APIR_FN_BUFFER_CLEAR] = { "buffer_clear", on_buffer_clear, false },
	[APIR_FN_BUFFER_FREE] = { "buffer_free_buffer", on_buffer_free, false },
	[APIR_FN_GRAPH_COMPUTE] = { "backend_graph_compute", on_graph_compute, true },
};
static_assert(ARRAY_SIZE(functions) == APIR_FN_COUNT, "a row per function");

/* Ours are few and far from upstream's numbers. */
static const struct {
	uint32_t number;
	struct row row;
} extensions[] = {
	{ APIR_FN_HELLO, { "hello", on_hello, false } },
	{ APIR_FN_WRITE, { "write", on_write, false } },
	{ APIR_FN_GRAPH_AGAIN, { "graph_again", on_graph_again, true } },
	{ APIR_FN_SET_TENSOR_AT, { "set_tensor_at", on_set_tensor_at, false } },
	{ APIR_FN_GET_TENSOR_AT, { "get_tensor_at", on_get_tensor_at, true } },
	{ APIR_FN_SYNCHRONIZE, { "synchronize", on_synchronize, false } },
	{ APIR_FN_GRAPH_OPTIMIZE, { "graph_optimize", on_graph_optimize, true } },
	{ APIR_FN_NAMES, { "names", on_names, false } },
};

static const struct row *row_find(uint32_t number)
{
	if (number < ARRAY_SIZE(functions))
		return &functions[number];
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		if (extensions[i].number == number)
			return &extensions[i].row;
	}
	return NULL;
}

uint32_t dispatch(struct backend_context *ctx, uint32_t number, struct cursor *in, struct cursor *out)
{
	const struct row *row = row_find(number);
	uint32_t code;

	if (!row)
		return APIR_FN_INVALID;
	ctx->counters.commands++;
	pinned_sweep(ctx);
	if (!row->queues)
		context_drain(ctx);
	code = row->fn(ctx, in, out);
	if (code != APIR_FN_OK)
		backend_log(ABI_LOG_DEBUG, "context %" PRIu32 ": %s: code %" PRIu32, ctx->id, row->name, code);
	return code;
}
