/* SPDX-License-Identifier: MIT */
/* APIR's functions on the host: a row per number (dispatch.c), a function per row. */
#ifndef BACKEND_FUNCTIONS_H
#define BACKEND_FUNCTIONS_H

#include "backend/context.h"
#include "proto/cursor.h"

/* Reads arguments from `in` (private memory), writes the reply to `out`; returns an enum apir_fn_code. */
typedef uint32_t backend_fn(struct backend_context *ctx, struct cursor *in, struct cursor *out);

backend_fn on_device_count, on_device_name, on_device_description, on_device_type, on_device_memory,
	on_device_supports_op, on_device_buffer_type, on_device_props, on_device_buffer_from_ptr;
backend_fn on_buft_name, on_buft_alignment, on_buft_max_size, on_buft_is_host, on_buft_alloc_buffer, on_buft_alloc_size;
backend_fn on_buffer_base, on_buffer_set_tensor, on_buffer_get_tensor, on_buffer_cpy_tensor, on_buffer_clear,
	on_buffer_free;
backend_fn on_graph_compute, on_graph_again, on_graph_optimize, on_set_tensor_at, on_get_tensor_at, on_synchronize,
	on_hello, on_names, on_write;

static inline uint32_t fn_reply(bool written)
{
	return written ? APIR_FN_OK : APIR_FN_FAILED;
}

/* Calls the function of that number: dispatch.c. */
uint32_t dispatch(struct backend_context *ctx, uint32_t number, struct cursor *in, struct cursor *out);

#endif
