/* SPDX-License-Identifier: MIT */
/*
 * Our declarations against ggml's public headers, at compile time: needs libggml-dev. What its private headers would
 * say, test_slots.c asks the binary.
 */
#include <assert.h>
#include <stdio.h>

#include <ggml-backend.h>
#include <ggml.h>

#include "ggml-abi/abi.h"

#define SAME_SIZE(ours, theirs) static_assert(sizeof(ours) == sizeof(theirs), #theirs)
#define SAME(ours, theirs, member)                                                                                     \
	static_assert(offsetof(ours, member) == offsetof(theirs, member), #theirs "." #member);                        \
	static_assert(sizeof(((ours *)0)->member) == sizeof(((theirs *)0)->member), #theirs "." #member)
#define SAME_AS(ours, om, theirs, tm) static_assert(offsetof(ours, om) == offsetof(theirs, tm), #theirs "." #tm)
#define VALUE(ours, theirs)           static_assert((int)(ours) == (int)(theirs), #theirs)

SAME_SIZE(struct abi_tensor, struct ggml_tensor);
SAME(struct abi_tensor, struct ggml_tensor, type);
SAME(struct abi_tensor, struct ggml_tensor, buffer);
SAME(struct abi_tensor, struct ggml_tensor, ne);
SAME(struct abi_tensor, struct ggml_tensor, nb);
SAME(struct abi_tensor, struct ggml_tensor, op);
SAME(struct abi_tensor, struct ggml_tensor, op_params);
SAME(struct abi_tensor, struct ggml_tensor, flags);
SAME(struct abi_tensor, struct ggml_tensor, src);
SAME(struct abi_tensor, struct ggml_tensor, view_src);
SAME(struct abi_tensor, struct ggml_tensor, view_offs);
SAME(struct abi_tensor, struct ggml_tensor, data);
SAME(struct abi_tensor, struct ggml_tensor, name);
SAME(struct abi_tensor, struct ggml_tensor, extra);
SAME(struct abi_tensor, struct ggml_tensor, padding);

SAME_SIZE(struct abi_props, struct ggml_backend_dev_props);
SAME(struct abi_props, struct ggml_backend_dev_props, name);
SAME(struct abi_props, struct ggml_backend_dev_props, description);
SAME(struct abi_props, struct ggml_backend_dev_props, memory_free);
SAME(struct abi_props, struct ggml_backend_dev_props, memory_total);
SAME(struct abi_props, struct ggml_backend_dev_props, type);
SAME(struct abi_props, struct ggml_backend_dev_props, device_id);
SAME_AS(struct abi_props, async, struct ggml_backend_dev_props, caps.async);
SAME_AS(struct abi_props, host_buffer, struct ggml_backend_dev_props, caps.host_buffer);
SAME_AS(struct abi_props, buffer_from_host_ptr, struct ggml_backend_dev_props, caps.buffer_from_host_ptr);
SAME_AS(struct abi_props, events, struct ggml_backend_dev_props, caps.events);
SAME_AS(struct abi_props, mmap_support, struct ggml_backend_dev_props, caps.mmap_support);

SAME_SIZE(struct abi_init_params, struct ggml_init_params);
SAME(struct abi_init_params, struct ggml_init_params, mem_size);
SAME(struct abi_init_params, struct ggml_init_params, mem_buffer);
SAME(struct abi_init_params, struct ggml_init_params, no_alloc);

VALUE(ABI_N_OPS, GGML_OP_COUNT);
VALUE(ABI_N_TYPES, GGML_TYPE_COUNT);
VALUE(ABI_N_UNARY, GGML_UNARY_OP_COUNT);
VALUE(ABI_N_GLU, GGML_GLU_OP_COUNT);
VALUE(ABI_TYPE_I8, GGML_TYPE_I8);
VALUE(ABI_SRCS, GGML_MAX_SRC);
VALUE(ABI_DIMS, GGML_MAX_DIMS);
VALUE(ABI_NAME, GGML_MAX_NAME);
VALUE(ABI_STATUS_ALLOC_FAILED, GGML_STATUS_ALLOC_FAILED);
VALUE(ABI_STATUS_FAILED, GGML_STATUS_FAILED);
VALUE(ABI_STATUS_SUCCESS, GGML_STATUS_SUCCESS);
VALUE(ABI_STATUS_ABORTED, GGML_STATUS_ABORTED);
VALUE(ABI_DEV_CPU, GGML_BACKEND_DEVICE_TYPE_CPU);
VALUE(ABI_DEV_GPU, GGML_BACKEND_DEVICE_TYPE_GPU);
VALUE(ABI_DEV_IGPU, GGML_BACKEND_DEVICE_TYPE_IGPU);
VALUE(ABI_DEV_ACCEL, GGML_BACKEND_DEVICE_TYPE_ACCEL);
VALUE(ABI_USAGE_WEIGHTS, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
VALUE(ABI_USAGE_COMPUTE, GGML_BACKEND_BUFFER_USAGE_COMPUTE);
VALUE(ABI_LOG_ERROR, GGML_LOG_LEVEL_ERROR);
VALUE(ABI_LOG_CONT, GGML_LOG_LEVEL_CONT);

int main(void)
{
	printf("every offset and value as in ggml %s's headers\n", ggml_version());
	return 0;
}
