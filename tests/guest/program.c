/* SPDX-License-Identifier: MIT */
/* See program.h. */
#include "tests/guest/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util.h"
#include "tests/support/ggml.h"
#include "tests/support/process.h"

#define F(member)                                                                                                      \
	{                                                                                                              \
		"ggml_" #member, offsetof(struct program_functions, member)                                            \
	}

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
	F(backend_load),
	F(backend_dev_count),
	F(backend_dev_get),
	F(backend_reg_by_name),
	F(backend_dev_host_buffer_type),
	F(backend_dev_supports_buft),
	F(backend_alloc_ctx_tensors),
	F(backend_alloc_ctx_tensors_from_buft),
	F(backend_tensor_memset),
	F(backend_tensor_set_async),
	F(backend_tensor_set_2d),
	F(backend_tensor_get_2d),
	F(new_graph),
	F(build_forward_expand),
	F(add),
	F(mul_mat),
	F(cpy),
	F(relu),
	F(scale),
	F(soft_max),
	F(sqr),
	F(reshape_2d),
	F(transpose),
	F(view_tensor),
	F(view_2d),
	F(map_custom1),
	F(opt_step_adamw),
	F(set_param),
	F(set_input),
	F(set_output),
	F(backend_event_new),
	F(backend_event_free),
	F(backend_event_record),
	F(backend_event_synchronize),
	F(backend_event_wait),
	F(backend_sched_new),
	F(backend_sched_free),
	F(backend_sched_set_tensor_backend),
	F(backend_sched_alloc_graph),
	F(backend_sched_graph_compute),
	F(backend_sched_set_eval_callback),
};
static_assert(ARRAY_SIZE(functions) * sizeof(void *) == sizeof(struct program_functions), "a row per function");

void program_load(struct program *p, const char *socket)
{
	*p = (struct program){ .g = *ggml() };
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *f = ggml_symbol(functions[i].name);

		memcpy((char *)&p->f + functions[i].offset, &f, sizeof f);
	}
	if (socket)
		setenv("GGML_VIRTGPU_SOCKET", socket, 1);
	else
		unsetenv("GGML_VIRTGPU_SOCKET");
	p->reg = p->f.backend_load(test_path("TEST_PLUGIN"));
	CHECK(p->reg);
}

/* One thread: more than there are cores wait for each other by spinning. */
struct abi_backend *program_cpu(const struct program *p)
{
	struct abi_backend *b = p->g.dev_init(p->g.reg_dev_get(p->cpu_reg, 0), NULL);
	void *f = p->g.reg_get_proc_address(p->cpu_reg, "ggml_backend_set_n_threads");
	void (*set_n_threads)(struct abi_backend *, int);

	CHECK(b && f);
	memcpy(&set_n_threads, &f, sizeof f);
	set_n_threads(b, 1);
	return b;
}

void program_start(struct program *p, const char *socket)
{
	char path[512];

	program_load(p, socket);
	CHECK(p->g.reg_dev_count(p->reg) == 1);
	p->dev = p->g.reg_dev_get(p->reg, 0);
	p->gpu = p->g.dev_init(p->dev, NULL);
	CHECK(p->gpu);
	snprintf(path, sizeof path, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	p->cpu_reg = p->f.backend_load(path);
	CHECK(p->cpu_reg);
	p->cpu = program_cpu(p);
}

void program_end(struct program *p)
{
	p->g.backend_free(p->gpu);
	p->g.backend_free(p->cpu);
}

struct abi_context *program_context(const struct program *p)
{
	struct abi_context *ctx = p->g.init((struct abi_init_params){ .mem_size = (size_t)4 << 20, .no_alloc = true });

	CHECK(ctx);
	return ctx;
}

void numbers_fill(float *v, size_t n, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		v[i] = (float)(x >> 8) / (float)(1 << 23) - 1.0f;
	}
}

static void tensor_fill(const struct program *p, struct abi_tensor *t, uint32_t seed)
{
	size_t n = p->g.nbytes(t);
	float *v = malloc(n);

	CHECK(v);
	numbers_fill(v, n / sizeof *v, seed);
	p->g.tensor_set(t, v, 0, n);
	free(v);
}

#define MAX_LAYERS 16

void net_make(struct net *n, const struct program *p, struct abi_backend *b, int64_t width, int layers, uint32_t seed)
{
	struct abi_tensor *w[MAX_LAYERS], *bias[MAX_LAYERS], *x;

	CHECK(layers <= MAX_LAYERS);
	*n = (struct net){ .ctx = program_context(p) };
	n->input = x = p->g.new_tensor_4d(n->ctx, 0, width, 4, 1, 1);
	for (int i = 0; i < layers; i++) {
		w[i] = p->g.new_tensor_4d(n->ctx, 0, width, width, 1, 1);
		bias[i] = p->g.new_tensor_4d(n->ctx, 0, width, 1, 1, 1);
		x = p->f.relu(n->ctx, p->f.add(n->ctx, p->f.mul_mat(n->ctx, w[i], x), bias[i]));
		x = p->f.scale(n->ctx, x, 0.25f);
	}
	n->output = p->f.soft_max(n->ctx, x);
	n->n = (size_t)width * 4;
	n->graph = p->f.new_graph(n->ctx);
	p->f.build_forward_expand(n->graph, n->output);
	n->buffer = p->f.backend_alloc_ctx_tensors(n->ctx, b);
	CHECK(n->buffer);
	for (int i = 0; i < layers; i++) {
		tensor_fill(p, w[i], seed + (uint32_t)i * 2);
		tensor_fill(p, bias[i], seed + (uint32_t)i * 2 + 1);
	}
}

void net_input(struct net *n, const struct program *p, uint32_t seed)
{
	tensor_fill(p, n->input, seed);
}

void net_free(struct net *n, const struct program *p)
{
	p->g.buffer_free(n->buffer);
	p->g.free(n->ctx);
}

void nets_agree(
	struct net *a, struct abi_backend *on_a, struct net *b, struct abi_backend *on_b, const struct program *p)
{
	float *va = calloc(a->n, sizeof *va), *vb = calloc(b->n, sizeof *vb), sum = 0;

	CHECK(va && vb && a->n == b->n);
	CHECK(p->g.graph_compute(on_a, a->graph) == ABI_STATUS_SUCCESS);
	CHECK(p->g.graph_compute(on_b, b->graph) == ABI_STATUS_SUCCESS);
	p->g.tensor_get(a->output, va, 0, a->n * sizeof *va);
	p->g.tensor_get(b->output, vb, 0, b->n * sizeof *vb);
	for (size_t i = 0; i < a->n; i++) {
		float d = va[i] - vb[i];

		CHECK((d < 0 ? -d : d) <= 1e-6f);
		sum += va[i];
	}
	CHECK(sum > 3.99f && sum < 4.01f); /* four rows of a softmax */
	free(va);
	free(vb);
}
