/* SPDX-License-Identifier: MIT */
/*
 * What a library may rely on, as it may in a program: buffers are for what the program says that they are for, and each
 * tensor of a graph was initialised, once. The library is support/wrap_ggml.c's strict one: it fails graphs otherwise.
 */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/ggml.h"
#include "tests/support/process.h"

#define ENV  "GGML_VIRTGPU_PROTOCOL"
#define N    64
#define ROWS 8

static bool plain(void)
{
	return getenv(ENV) != NULL;
}

static void name(struct abi_tensor *t, const char *text)
{
	snprintf(t->name, sizeof t->name, "%s", plain() ? "" : text);
}

struct chain {
	struct abi_context *contexts[3];
	struct abi_buffer *buffers[3]; /* weights, computing, anything */
	struct abi_tensor *w, *x, *view, *sum, *out;
	struct abi_graph *graph;
	struct abi_sched *sched; /* NULL: the program computes it directly */
};

/* out = relu(w x + (a view of a)): tensors in three buffers, with views of what each holds. */
static void chain_make(struct chain *c, struct program *p)
{
	struct abi_tensor *a;
	float v[N * ROWS];

	c->sched = NULL;
	for (int i = 0; i < 3; i++)
		c->contexts[i] = program_context(p);
	c->w = p->g.new_tensor_4d(c->contexts[0], 0, N, ROWS, 1, 1);
	a = p->g.new_tensor_4d(c->contexts[2], 0, N, ROWS, 1, 1);
	c->view = p->f.view_2d(c->contexts[2], a, ROWS, 1, N * sizeof(float), 4 * sizeof(float));
	c->x = p->g.new_tensor_4d(c->contexts[1], 0, N, 1, 1, 1);
	c->sum = p->f.add(c->contexts[1], p->f.mul_mat(c->contexts[1], c->w, c->x), c->view);
	c->out = p->f.relu(c->contexts[1], p->f.reshape_2d(c->contexts[1], c->sum, ROWS / 2, 2));
	c->graph = p->f.new_graph(c->contexts[1]);
	p->f.build_forward_expand(c->graph, c->out);
	for (int i = 0; i < 3; i++) {
		c->buffers[i] = p->f.backend_alloc_ctx_tensors(c->contexts[i], p->gpu);
		CHECK(c->buffers[i]);
	}
	p->g.buffer_set_usage(c->buffers[0], ABI_USAGE_WEIGHTS);
	p->g.buffer_set_usage(c->buffers[1], ABI_USAGE_COMPUTE);
	name(c->w, "w.w");
	name(c->x, "c.x");
	name(c->sum, "c.sum");
	name(c->out, "c.out");
	name(a, "a.a");
	name(c->view, "a.view");
	numbers_fill(v, N * ROWS, 1);
	p->g.tensor_set(c->w, v, 0, sizeof v);
	p->g.tensor_set(a, v, 0, sizeof v);
	p->g.tensor_set(c->x, v, 0, N * sizeof *v);
}

static void chain_free(struct chain *c, struct program *p)
{
	for (int i = 0; i < 3; i++) {
		p->g.buffer_free(c->buffers[i]);
		p->g.free(c->contexts[i]);
	}
}

/* The graph is posted from the second time on, so that its status is known when it is read. */
static int32_t chain_compute(struct chain *c, struct program *p)
{
	int32_t status =
		c->sched ? p->f.backend_sched_graph_compute(c->sched, c->graph) : p->g.graph_compute(p->gpu, c->graph);
	float got[ROWS], v[N * ROWS];

	p->g.tensor_get(c->out, got, 0, sizeof got);
	numbers_fill(v, N * ROWS, 1);
	for (int row = 0; status == ABI_STATUS_SUCCESS && row < ROWS; row++) {
		float sum = 0, d;

		for (int i = 0; i < N; i++)
			sum += v[row * N + i] * v[i];
		sum += v[4 + row];
		d = got[row] - (sum > 0 ? sum : 0);
		CHECK((d < 0 ? -d : d) < 1e-4f);
	}
	return status;
}

SCENARIO(usage_is_what_it_is_at_compute_and_each_tensor_was_initialised)
{
	struct program p;
	struct chain c;

	(void)unused;
	program_start(&p, server.socket);
	chain_make(&c, &p);
	for (int i = 0; i < 3; i++)
		CHECK(chain_compute(&c, &p) == ABI_STATUS_SUCCESS);
	chain_free(&c, &p);
	program_end(&p);
}

/* Nothing else of the graph has changed. */
static void usage_changes(bool scheduled)
{
	struct abi_backend *backends[2];
	struct program p;
	struct chain c;

	program_start(&p, server.socket);
	chain_make(&c, &p);
	backends[0] = p.gpu;
	backends[1] = p.cpu;
	if (scheduled) {
		c.sched = p.f.backend_sched_new(backends, NULL, 2, 64, false, true);
		CHECK(c.sched && p.f.backend_sched_alloc_graph(c.sched, c.graph));
	}
	CHECK(chain_compute(&c, &p) == ABI_STATUS_SUCCESS);
	CHECK(chain_compute(&c, &p) == ABI_STATUS_SUCCESS);
	p.g.buffer_set_usage(c.buffers[0], ABI_USAGE_ANY);
	CHECK(chain_compute(&c, &p) == ABI_STATUS_FAILED);
	p.g.buffer_set_usage(c.buffers[0], ABI_USAGE_WEIGHTS);
	CHECK(chain_compute(&c, &p) == ABI_STATUS_SUCCESS);
	CHECK(chain_compute(&c, &p) == ABI_STATUS_SUCCESS);
	if (scheduled)
		p.f.backend_sched_free(c.sched);
	chain_free(&c, &p);
	program_end(&p);
}

SCENARIO(a_usage_that_changes_is_told_with_the_next_graph)
{
	(void)unused;
	if (!plain()) /* which can't tell it */
		usage_changes(false);
}

SCENARIO(a_usage_that_changes_under_one_uid_is_told_too)
{
	(void)unused;
	if (!plain())
		usage_changes(true);
}

/* A quantised tensor's rows, read by the halves and then made again: the halves travel as tensors of their own, since what
 * they view isn't computed yet. What lies behind the first half is the second one. */
SCENARIO(what_lies_behind_a_part_is_not_cleared)
{
	struct abi_tensor *x, *y, *q, *halves[2], *outs[2];
	float v[N * ROWS], wanted[2][ROWS / 2], got[ROWS / 2];
	struct abi_tensor *(*cast)(struct abi_context *, struct abi_tensor *, int32_t);
	void *f = ggml_symbol("ggml_cast");
	struct abi_graph *whole, *parts;
	struct abi_context *ctx;
	struct abi_buffer *b;
	struct program p;

	(void)unused;
	memcpy(&cast, &f, sizeof f);
	program_start(&p, server.socket);
	ctx = program_context(&p);
	x = p.g.new_tensor_4d(ctx, 0, N, ROWS, 1, 1);
	y = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	q = cast(ctx, x, ggml_type("q8_0"));
	whole = p.f.new_graph(ctx);
	parts = p.f.new_graph(ctx);
	for (int i = 0; i < 2; i++) {
		halves[i] = p.f.view_2d(ctx, q, N, ROWS / 2, q->nb[1], (size_t)i * (ROWS / 2) * q->nb[1]);
		outs[i] = p.f.mul_mat(ctx, halves[i], y);
		p.f.build_forward_expand(whole, outs[i]);
		p.g.graph_add_node(parts, outs[i]);
	}
	p.g.graph_add_node(parts, q);
	b = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(b);
	numbers_fill(v, N * ROWS, 1);
	p.g.tensor_set(x, v, 0, sizeof v);
	p.g.tensor_set(y, v, 0, N * sizeof *v);
	for (int i = 0; plain() && i < 3; i++) /* any might be a part there */
		strcpy(i < 2 ? halves[i]->name : q->name, "p.");
	CHECK(p.g.graph_compute(p.gpu, whole) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < 2; i++) {
		p.g.tensor_get(outs[i], wanted[i], 0, sizeof wanted[i]);
		snprintf(halves[i]->name, sizeof halves[i]->name, "p.%d", i);
	}
	CHECK(wanted[1][0] != 0);
	CHECK(p.g.graph_compute(p.gpu, parts) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < 2; i++) {
		p.g.tensor_get(outs[i], got, 0, sizeof got);
		CHECK(!memcmp(got, wanted[i], sizeof got));
	}
	p.g.buffer_free(b);
	p.g.free(ctx);
	program_end(&p);
}

static int strict_server_up(void **state)
{
	(void)state;
	return server_start_on(&server, test_path("TEST_WRAP"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_strict") ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usage_is_what_it_is_at_compute_and_each_tensor_was_initialised),
		cmocka_unit_test(a_usage_that_changes_is_told_with_the_next_graph),
		cmocka_unit_test(a_usage_that_changes_under_one_uid_is_told_too),
		cmocka_unit_test(what_lies_behind_a_part_is_not_cleared),
	};
	int failed;

	unsetenv(ENV);
	failed = cmocka_run_group_tests_name("the newest protocol", tests, strict_server_up, server_down);
	setenv(ENV, "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, strict_server_up, server_down);
}
