/* SPDX-License-Identifier: MIT */
/*
 * The functions of libggml-base's public C API that we call, taken by dlsym from the ggml that loaded us or that
 * we loaded: dlsym on a library's handle searches its dependencies too, so the functions always match it.
 */
#ifndef GGML_ABI_SYMBOLS_H
#define GGML_ABI_SYMBOLS_H

#include "ggml-abi/abi.h"

struct abi_symbols {
	const char *(*version)(void);
	size_t (*tensor_overhead)(void);
	const char *(*op_name)(int32_t);
	const char *(*unary_op_name)(int32_t);
	const char *(*glu_op_name)(int32_t);
	const char *(*type_name)(int32_t);
	int64_t (*blck_size)(int32_t);
	size_t (*type_size)(int32_t);
	size_t (*nbytes)(const struct abi_tensor *);

	/* contexts and graphs */
	struct abi_context *(*init)(struct abi_init_params);
	void (*free)(struct abi_context *);
	struct abi_tensor *(*new_tensor_4d)(struct abi_context *, int32_t, int64_t, int64_t, int64_t, int64_t);
	struct abi_graph *(*new_graph_custom)(struct abi_context *, size_t, bool);
	size_t (*graph_overhead_custom)(size_t, bool);
	void (*graph_add_node)(struct abi_graph *, struct abi_tensor *);
	int (*graph_n_nodes)(struct abi_graph *);
	struct abi_tensor *(*graph_node)(struct abi_graph *, int);

	/* log */
	void (*log_set)(void (*)(int32_t, const char *, void *), void *);
	void (*log_internal)(int32_t, const char *, ...); /* optional */

	/* registry, devices */
	const char *(*reg_name)(struct abi_reg *);
	size_t (*reg_dev_count)(struct abi_reg *);
	struct abi_device *(*reg_dev_get)(struct abi_reg *, size_t);
	void *(*reg_get_proc_address)(struct abi_reg *, const char *);
	const char *(*dev_name)(struct abi_device *);
	const char *(*dev_description)(struct abi_device *);
	void (*dev_memory)(struct abi_device *, size_t *, size_t *);
	int32_t (*dev_type)(struct abi_device *);
	void (*dev_get_props)(struct abi_device *, struct abi_props *);
	struct abi_backend *(*dev_init)(struct abi_device *, const char *);
	union abi_buft *(*dev_buffer_type)(struct abi_device *);
	struct abi_buffer *(*cpu_buffer_from_ptr)(void *, size_t);
	union abi_buft *(*cpu_buffer_type)(void);
	struct abi_buffer *(*dev_buffer_from_host_ptr)(struct abi_device *, void *, size_t, size_t);
	bool (*dev_supports_op)(struct abi_device *, const struct abi_tensor *);

	/* buffer types, buffers */
	const char *(*buft_name)(union abi_buft *);
	size_t (*buft_get_alignment)(union abi_buft *);
	size_t (*buft_get_max_size)(union abi_buft *);
	size_t (*buft_get_alloc_size)(union abi_buft *, const struct abi_tensor *);
	bool (*buft_is_host)(union abi_buft *);
	struct abi_buffer *(*buft_alloc_buffer)(union abi_buft *, size_t);
	struct abi_buffer *(*buffer_init)(union abi_buft *, struct abi_buffer_i, void *, size_t);
	void (*buffer_free)(struct abi_buffer *);
	void *(*buffer_get_base)(struct abi_buffer *);
	size_t (*buffer_get_size)(struct abi_buffer *);
	union abi_buft *(*buffer_get_type)(struct abi_buffer *);
	void (*buffer_clear)(struct abi_buffer *, uint8_t);
	int32_t (*buffer_init_tensor)(struct abi_buffer *, struct abi_tensor *);
	void (*buffer_set_usage)(struct abi_buffer *, int32_t);
	bool (*buffer_is_host)(struct abi_buffer *);

	/* tensors, computing */
	void (*tensor_set)(struct abi_tensor *, const void *, size_t, size_t);
	void (*tensor_get)(const struct abi_tensor *, void *, size_t, size_t);
	void (*tensor_copy)(const struct abi_tensor *, struct abi_tensor *);
	bool (*backend_buffer_copy_tensor)(const struct abi_tensor *, struct abi_tensor *);
	int32_t (*graph_compute)(struct abi_backend *, struct abi_graph *);
	int32_t (*graph_compute_async)(struct abi_backend *, struct abi_graph *);
	void (*tensor_get_async)(struct abi_backend *, const struct abi_tensor *, void *, size_t, size_t);
	void (*synchronize)(struct abi_backend *);
	void (*backend_free)(struct abi_backend *);
};

/* Resolves everything on `handle` (dlopen's). 0, or -ENOENT and *missing names the first function that isn't there. */
int abi_symbols_load(struct abi_symbols *s, void *handle, const char **missing);

/* The numbers and sizes that we rely on are as we know them: the lists' ends, a few operations and types, the tensor's size.
 * 0, or -EPROTO and a line in err. */
int abi_symbols_check(const struct abi_symbols *s, char *err, size_t err_size);

/* "ggml 0.25 (plugin API 2) and 0.27 (API 3)", for messages about others. */
#define ABI_SUPPORTED "plugin API 2 (ggml 0.21 to 0.25) and API 3 (ggml 0.27)"

#endif
