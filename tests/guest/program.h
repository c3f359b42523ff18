/* SPDX-License-Identifier: MIT */
/*
 * A program that uses the plugin as llama.cpp does: through ggml's own loader, here with everything
 * RTLD_LOCAL. For child processes (child.h): a plugin exists once a process.
 */
#ifndef TESTS_GUEST_PROGRAM_H
#define TESTS_GUEST_PROGRAM_H

#include "ggml-abi/symbols.h"
#include "tests/support/child.h"

struct abi_sched;

/* What the tests use of ggml beyond abi_symbols. */
struct program_functions {
	struct abi_reg *(*backend_load)(const char *);
	size_t (*backend_dev_count)(void);
	struct abi_device *(*backend_dev_get)(size_t);
	struct abi_reg *(*backend_reg_by_name)(const char *);
	union abi_buft *(*backend_dev_host_buffer_type)(struct abi_device *);
	bool (*backend_dev_supports_buft)(struct abi_device *, union abi_buft *);
	struct abi_buffer *(*backend_alloc_ctx_tensors)(struct abi_context *, struct abi_backend *);
	struct abi_buffer *(*backend_alloc_ctx_tensors_from_buft)(struct abi_context *, union abi_buft *);
	void (*backend_tensor_memset)(struct abi_tensor *, uint8_t, size_t, size_t);
	void (*backend_tensor_set_async)(struct abi_backend *, struct abi_tensor *, const void *, size_t, size_t);
	void (*backend_tensor_set_2d)(struct abi_tensor *, const void *, size_t, size_t, size_t, size_t, size_t);
	void (*backend_tensor_get_2d)(const struct abi_tensor *, void *, size_t, size_t, size_t, size_t, size_t);
	struct abi_graph *(*new_graph)(struct abi_context *);
	void (*build_forward_expand)(struct abi_graph *, struct abi_tensor *);
	struct abi_tensor *(*add)(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
	struct abi_tensor *(*mul_mat)(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
	struct abi_tensor *(*cpy)(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
	struct abi_tensor *(*relu)(struct abi_context *, struct abi_tensor *);
	struct abi_tensor *(*scale)(struct abi_context *, struct abi_tensor *, float);
	struct abi_tensor *(*soft_max)(struct abi_context *, struct abi_tensor *);
	struct abi_tensor *(*sqr)(struct abi_context *, struct abi_tensor *);
	struct abi_tensor *(*reshape_2d)(struct abi_context *, struct abi_tensor *, int64_t, int64_t);
	struct abi_tensor *(*transpose)(struct abi_context *, struct abi_tensor *);
	struct abi_tensor *(*view_tensor)(struct abi_context *, struct abi_tensor *);
	struct abi_tensor *(*view_2d)(struct abi_context *, struct abi_tensor *, int64_t, int64_t, size_t, size_t);
	struct abi_tensor *(*map_custom1)(struct abi_context *, struct abi_tensor *,
		void (*)(struct abi_tensor *, const struct abi_tensor *, int, int, void *), int, void *);
	struct abi_tensor *(*opt_step_adamw)(struct abi_context *, struct abi_tensor *, struct abi_tensor *,
		struct abi_tensor *, struct abi_tensor *, struct abi_tensor *);
	void (*set_param)(struct abi_tensor *);
	void (*set_input)(struct abi_tensor *);
	void (*set_output)(struct abi_tensor *);
	struct abi_event *(*backend_event_new)(struct abi_device *);
	void (*backend_event_free)(struct abi_event *);
	void (*backend_event_record)(struct abi_event *, struct abi_backend *);
	void (*backend_event_synchronize)(struct abi_event *);
	void (*backend_event_wait)(struct abi_backend *, struct abi_event *);
	struct abi_sched *(*backend_sched_new)(struct abi_backend **, union abi_buft **, int, size_t, bool, bool);
	void (*backend_sched_free)(struct abi_sched *);
	void (*backend_sched_set_tensor_backend)(struct abi_sched *, struct abi_tensor *, struct abi_backend *);
	bool (*backend_sched_alloc_graph)(struct abi_sched *, struct abi_graph *);
	int32_t (*backend_sched_graph_compute)(struct abi_sched *, struct abi_graph *);
	void (*backend_sched_set_eval_callback)(
		struct abi_sched *, bool (*)(struct abi_tensor *, bool, void *), void *);
};

struct program {
	struct abi_symbols g;
	struct program_functions f;
	struct abi_reg *reg; /* the plugin's */
	struct abi_reg *cpu_reg;
	struct abi_device *dev; /* VirtGPU0 */
	struct abi_backend *gpu, *cpu;
};

/* Loads ggml, and the plugin with GGML_VIRTGPU_SOCKET=socket (NULL: unset). */
void program_load(struct program *p, const char *socket);
/* And the device and its stream, and ggml's own CPU device to compare with. */
void program_start(struct program *p, const char *socket);

/* Frees both streams. */
void program_end(struct program *p);
/* Another stream of ggml's own CPU device. */
struct abi_backend *program_cpu(const struct program *p);

/* A context for tensors and a graph; free with p->g.free(). */
struct abi_context *program_context(const struct program *p);
/* Numbers that look random, the same for the same seed, in [-1, 1]. */
void numbers_fill(float *v, size_t n, uint32_t seed);

/* layers times x = relu(W x + b), then a softmax: from the same numbers on the given backend. */
struct net {
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_graph *graph;
	struct abi_tensor *input, *output;
	size_t n; /* of the output */
};
void net_make(struct net *n, const struct program *p, struct abi_backend *b, int64_t width, int layers, uint32_t seed);
void net_input(struct net *n, const struct program *p, uint32_t seed);
void net_free(struct net *n, const struct program *p);
/* Both compute; their outputs are the same but for rounding. */
void nets_agree(
	struct net *a, struct abi_backend *on_a, struct net *b, struct abi_backend *on_b, const struct program *p);

#endif
