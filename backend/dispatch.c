/* SPDX-License-Identifier: MIT */
/* The table of functions. */
#include "backend/functions.h"

#include <inttypes.h>

#include "backend/log.h"

static const struct {
	const char *name;
	backend_fn *fn;
} functions[] = {
	[APIR_FN_DEVICE_COUNT_OLD] = { "device_get_device_count", on_device_count },
	[APIR_FN_DEVICE_COUNT] = { "device_get_count", on_device_count },
	[APIR_FN_DEVICE_NAME] = { "device_get_name", on_device_name },
	[APIR_FN_DEVICE_DESCRIPTION] = { "device_get_description", on_device_description },
	[APIR_FN_DEVICE_TYPE] = { "device_get_type", on_device_type },
	[APIR_FN_DEVICE_MEMORY] = { "device_get_memory", on_device_memory },
	[APIR_FN_DEVICE_SUPPORTS_OP] = { "device_supports_op", on_device_supports_op },
	[APIR_FN_DEVICE_BUFFER_TYPE] = { "device_get_buffer_type", on_device_buffer_type },
	[APIR_FN_DEVICE_PROPS] = { "device_get_props", on_device_props },
	[APIR_FN_DEVICE_BUFFER_FROM_PTR] = { "device_buffer_from_ptr", on_device_buffer_from_ptr },
	[APIR_FN_BUFT_NAME] = { "buffer_type_get_name", on_buft_name },
	[APIR_FN_BUFT_ALIGNMENT] = { "buffer_type_get_alignment", on_buft_alignment },
	[APIR_FN_BUFT_MAX_SIZE] = { "buffer_type_get_max_size", on_buft_max_size },
	[APIR_FN_BUFT_IS_HOST] = { "buffer_type_is_host", on_buft_is_host },
	[APIR_FN_BUFT_ALLOC_BUFFER] = { "buffer_type_alloc_buffer", on_buft_alloc_buffer },
	[APIR_FN_BUFT_ALLOC_SIZE] = { "buffer_type_get_alloc_size", on_buft_alloc_size },
	[APIR_FN_BUFFER_BASE] = { "buffer_get_base", on_buffer_base },
	[APIR_FN_BUFFER_SET_TENSOR] = { "buffer_set_tensor", on_buffer_set_tensor },
	[APIR_FN_BUFFER_GET_TENSOR] = { "buffer_get_tensor", on_buffer_get_tensor },
	[APIR_FN_BUFFER_CPY_TENSOR] = { "buffer_cpy_tensor", on_buffer_cpy_tensor },
	[APIR_FN_BUFFER_CLEAR] = { "buffer_clear", on_buffer_clear },
	[APIR_FN_BUFFER_FREE] = { "buffer_free_buffer", on_buffer_free },
	[APIR_FN_GRAPH_COMPUTE] = { "backend_graph_compute", on_graph_compute },
};
static_assert(ARRAY_SIZE(functions) == APIR_FN_COUNT, "a row per function");

/* Ours are few and far from upstream's numbers. */
static const struct {
	uint32_t number;
	const char *name;
	backend_fn *fn;
} extensions[] = {
	{ APIR_FN_HELLO, "hello", on_hello },
	{ APIR_FN_WRITE, "write", on_write },
	{ APIR_FN_GRAPH_AGAIN, "graph_again", on_graph_again },
	{ APIR_FN_NAMES, "names", on_names },
};

static backend_fn *function_find(uint32_t number, const char **name)
{
	if (number < ARRAY_SIZE(functions)) {
		*name = functions[number].name;
		return functions[number].fn;
	}
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		*name = extensions[i].name;
		if (extensions[i].number == number)
			return extensions[i].fn;
	}
	return NULL;
}

uint32_t dispatch(struct backend_context *ctx, uint32_t number, struct cursor *in, struct cursor *out)
{
	const char *name;
	backend_fn *fn = function_find(number, &name);
	uint32_t code;

	if (!fn)
		return APIR_FN_INVALID;
	ctx->counters.commands++;
	code = fn(ctx, in, out);
	if (code != APIR_FN_OK)
		backend_log(ABI_LOG_DEBUG, "context %" PRIu32 ": %s: code %" PRIu32, ctx->id, name, code);
	return code;
}
