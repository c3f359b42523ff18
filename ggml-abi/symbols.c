/* SPDX-License-Identifier: MIT */
/* See symbols.h. The table below is all that ties us to ggml's names. */
#include "ggml-abi/symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/util.h"

#define SYM(member, name)                                                                                              \
	{                                                                                                              \
		name, offsetof(struct abi_symbols, member), false                                                      \
	}
#define OPT(member, name)                                                                                              \
	{                                                                                                              \
		name, offsetof(struct abi_symbols, member), true                                                       \
	}

static const struct {
	const char *name;
	size_t offset;
	bool optional;
} symbols[] = {
	SYM(version, "ggml_version"),
	SYM(tensor_overhead, "ggml_tensor_overhead"),
	SYM(op_name, "ggml_op_name"),
	SYM(unary_op_name, "ggml_unary_op_name"),
	SYM(glu_op_name, "ggml_glu_op_name"),
	SYM(type_name, "ggml_type_name"),
	SYM(blck_size, "ggml_blck_size"),
	SYM(type_size, "ggml_type_size"),
	SYM(nbytes, "ggml_nbytes"),
	SYM(init, "ggml_init"),
	SYM(free, "ggml_free"),
	SYM(new_tensor_4d, "ggml_new_tensor_4d"),
	SYM(new_graph_custom, "ggml_new_graph_custom"),
	SYM(graph_overhead_custom, "ggml_graph_overhead_custom"),
	SYM(graph_add_node, "ggml_graph_add_node"),
	SYM(graph_n_nodes, "ggml_graph_n_nodes"),
	SYM(graph_node, "ggml_graph_node"),
	SYM(log_set, "ggml_log_set"),
	OPT(log_internal, "ggml_log_internal"),
	SYM(reg_name, "ggml_backend_reg_name"),
	SYM(reg_dev_count, "ggml_backend_reg_dev_count"),
	SYM(reg_dev_get, "ggml_backend_reg_dev_get"),
	SYM(reg_get_proc_address, "ggml_backend_reg_get_proc_address"),
	SYM(dev_name, "ggml_backend_dev_name"),
	SYM(dev_description, "ggml_backend_dev_description"),
	SYM(dev_memory, "ggml_backend_dev_memory"),
	SYM(dev_type, "ggml_backend_dev_type"),
	SYM(dev_get_props, "ggml_backend_dev_get_props"),
	SYM(dev_init, "ggml_backend_dev_init"),
	SYM(dev_buffer_type, "ggml_backend_dev_buffer_type"),
	OPT(cpu_buffer_from_ptr, "ggml_backend_cpu_buffer_from_ptr"),
	OPT(cpu_buffer_type, "ggml_backend_cpu_buffer_type"),
	SYM(dev_buffer_from_host_ptr, "ggml_backend_dev_buffer_from_host_ptr"),
	SYM(dev_supports_op, "ggml_backend_dev_supports_op"),
	SYM(buft_name, "ggml_backend_buft_name"),
	SYM(buft_get_alignment, "ggml_backend_buft_get_alignment"),
	SYM(buft_get_max_size, "ggml_backend_buft_get_max_size"),
	SYM(buft_get_alloc_size, "ggml_backend_buft_get_alloc_size"),
	SYM(buft_is_host, "ggml_backend_buft_is_host"),
	SYM(buft_alloc_buffer, "ggml_backend_buft_alloc_buffer"),
	SYM(buffer_init, "ggml_backend_buffer_init"),
	SYM(buffer_free, "ggml_backend_buffer_free"),
	SYM(buffer_get_base, "ggml_backend_buffer_get_base"),
	SYM(buffer_get_size, "ggml_backend_buffer_get_size"),
	SYM(buffer_get_type, "ggml_backend_buffer_get_type"),
	SYM(buffer_clear, "ggml_backend_buffer_clear"),
	SYM(buffer_init_tensor, "ggml_backend_buffer_init_tensor"),
	SYM(buffer_set_usage, "ggml_backend_buffer_set_usage"),
	SYM(buffer_is_host, "ggml_backend_buffer_is_host"),
	SYM(tensor_set, "ggml_backend_tensor_set"),
	SYM(tensor_get, "ggml_backend_tensor_get"),
	SYM(tensor_copy, "ggml_backend_tensor_copy"),
	OPT(backend_buffer_copy_tensor, "ggml_backend_buffer_copy_tensor"),
	SYM(graph_compute, "ggml_backend_graph_compute"),
	SYM(graph_compute_async, "ggml_backend_graph_compute_async"),
	SYM(tensor_get_async, "ggml_backend_tensor_get_async"),
	SYM(synchronize, "ggml_backend_synchronize"),
	SYM(backend_free, "ggml_backend_free"),
};
static_assert(ARRAY_SIZE(symbols) * sizeof(void (*)(void)) == sizeof(struct abi_symbols), "a row per function");

int abi_symbols_load(struct abi_symbols *s, void *handle, const char **missing)
{
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *f = dlsym(handle, symbols[i].name);

		if (!f && !symbols[i].optional) {
			*missing = symbols[i].name;
			return -ENOENT;
		}
		memcpy((char *)s + symbols[i].offset, &f, sizeof f);
	}
	return 0;
}

/* What our own code says by number, and where lists end. All else is a matter of names: names.h. */
static const struct {
	int32_t number;
	const char *name;
} op_landmarks[] = { { 0, "NONE" }, { ABI_N_OPS - 1, "GLU" } },
  type_landmarks[] = { { 0, "f32" }, { ABI_TYPE_I8, "i8" } }, unary_landmarks[] = { { ABI_N_UNARY - 1, "TRUNC" } };

int abi_symbols_check(const struct abi_symbols *s, char *err, size_t err_size)
{
#define CHECK(list, fn)                                                                                                \
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {                                                                \
		const char *name = s->fn(list[i].number);                                                              \
		if (!name || strcmp(name, list[i].name) != 0) {                                                        \
			snprintf(err, err_size,                                                                        \
				"ggml %s is unknown (its %s %d is %s, not %s); supported: " ABI_SUPPORTED,             \
				s->version(), #fn, list[i].number, name ? name : "none", list[i].name);                \
			return -EPROTO;                                                                                \
		}                                                                                                      \
	}
	if (s->tensor_overhead() != sizeof(struct abi_tensor) + ABI_OBJECT) {
		snprintf(err, err_size,
			"ggml %s is unknown (a tensor takes %zu bytes, not %zu); supported: " ABI_SUPPORTED,
			s->version(), s->tensor_overhead(), sizeof(struct abi_tensor) + ABI_OBJECT);
		return -EPROTO;
	}
	CHECK(op_landmarks, op_name)
	CHECK(type_landmarks, type_name)
	CHECK(unary_landmarks, unary_op_name)
	return 0;
#undef CHECK
}
