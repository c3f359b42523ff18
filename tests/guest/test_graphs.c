/* SPDX-License-Identifier: MIT */
/*
 * What a graph may hold besides what it computes: nodes that compute nothing, wherever their tensor lies, and views of
 * all sorts. What a node that computes reads must lie in our memory; otherwise one line says which tensor doesn't.
 * With every protocol.
 */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/capture.h"
#include "tests/support/ggml.h"

#define N 64

/* Some tensors of N numbers on the device, and a graph. */
struct bench {
	struct program p;
	struct abi_context *ctx, *theirs; /* the second holds the CPU's tensors */
	struct abi_buffer *buffer, *their_buffer;
	struct abi_tensor *x, *y, *their;
	struct abi_graph *graph;
	float vx[N], vy[N], got[N];
};

static void bench_make(struct bench *b)
{
	program_start(&b->p, server.socket);
	b->ctx = program_context(&b->p);
	b->theirs = program_context(&b->p);
	b->x = b->p.g.new_tensor_4d(b->ctx, 0, N, 1, 1, 1);
	b->y = b->p.g.new_tensor_4d(b->ctx, 0, N, 1, 1, 1);
	b->their = b->p.g.new_tensor_4d(b->theirs, 0, N, 1, 1, 1);
	strcpy(b->their->name, "theirs");
	b->graph = b->p.f.new_graph(b->ctx);
	numbers_fill(b->vx, N, 1);
	numbers_fill(b->vy, N, 2);
}

/* The tensors get their memory and their numbers. */
static void bench_alloc(struct bench *b)
{
	b->buffer = b->p.f.backend_alloc_ctx_tensors(b->ctx, b->p.gpu);
	b->their_buffer = b->p.f.backend_alloc_ctx_tensors(b->theirs, b->p.cpu);
	CHECK(b->buffer && b->their_buffer);
	b->p.g.tensor_set(b->x, b->vx, 0, sizeof b->vx);
	b->p.g.tensor_set(b->y, b->vy, 0, sizeof b->vy);
}

static void bench_end(struct bench *b)
{
	b->p.g.buffer_free(b->buffer);
	b->p.g.buffer_free(b->their_buffer);
	b->p.g.free(b->ctx);
	b->p.g.free(b->theirs);
	program_end(&b->p);
}

/* The graph is refused, and what we say of it has `text`. */
static void graph_refused(struct bench *b, const char *text)
{
	struct capture c;
	int32_t status;
	char *heard;

	capture_begin(&c);
	status = b->p.g.graph_compute(b->p.gpu, b->graph);
	heard = capture_end(&c);
	CHECK(status == ABI_STATUS_FAILED);
	if (!strstr(heard, text)) {
		fprintf(stderr, "expected: %s\nheard: %s\n", text, heard);
		_exit(1);
	}
	CHECK(strchr(heard, '\n') == heard + strlen(heard) - 1);
	free(heard);
}

/* The graph computes, and t is x + y then. */
static void graph_adds(struct bench *b, struct abi_tensor *t)
{
	for (int round = 0; round < 3; round++) {
		b->p.g.buffer_clear(t->buffer, 0);
		b->p.g.tensor_set(b->x, b->vx, 0, sizeof b->vx);
		b->p.g.tensor_set(b->y, b->vy, 0, sizeof b->vy);
		CHECK(b->p.g.graph_compute(b->p.gpu, b->graph) == ABI_STATUS_SUCCESS);
		b->p.g.tensor_get(t, b->got, 0, sizeof b->got);
		for (int i = 0; i < N; i++)
			CHECK(b->got[i] == b->vx[i] + b->vy[i]);
	}
}

SCENARIO(a_node_that_reads_another_backends_tensor_is_refused_by_name)
{
	struct abi_tensor *sum;
	struct bench b;

	(void)unused;
	bench_make(&b);
	sum = b.p.f.add(b.ctx, b.x, b.their);
	strcpy(sum->name, "sum");
	b.p.f.build_forward_expand(b.graph, b.p.f.sqr(b.ctx, b.y));
	b.p.f.build_forward_expand(b.graph, sum);
	bench_alloc(&b);
	graph_refused(&b, "node 1 (ADD of 'sum'): tensor 'theirs' lies in another backend's buffer");
	graph_refused(&b, "node 1 (ADD of 'sum'): tensor 'theirs' lies in another backend's buffer");
	bench_end(&b);
}

SCENARIO(a_node_that_reads_another_backends_tensor_by_a_view_is_refused)
{
	struct abi_tensor *view, *sum;
	struct bench b;

	(void)unused;
	bench_make(&b);
	view = b.p.f.view_2d(b.theirs, b.their, N, 1, N * 4, 0);
	strcpy(view->name, "look");
	sum = b.p.f.add(b.ctx, b.x, view);
	b.p.f.build_forward_expand(b.graph, sum);
	bench_alloc(&b);
	graph_refused(&b, "tensor 'look' lies in another backend's buffer");
	bench_end(&b);
}

/* CVE-2026-34159 begins with a tensor that has no buffer and is read: such a one doesn't leave this program. */
SCENARIO(a_node_that_reads_what_lies_in_no_buffer_is_refused_by_name)
{
	struct abi_tensor *out, *src, *view;
	struct abi_context *nowhere;
	struct bench b;

	(void)unused;
	bench_make(&b);
	nowhere = program_context(&b.p);
	src = b.p.g.new_tensor_4d(nowhere, 0, N, 1, 1, 1);
	strcpy(src->name, "nowhere");
	view = b.p.f.reshape_2d(nowhere, src, N / 2, 2);
	strcpy(view->name, "look");
	out = b.p.f.add(b.ctx, b.x, b.y);
	b.p.f.build_forward_expand(b.graph, out);
	bench_alloc(&b);
	graph_adds(&b, out);
	b.graph = b.p.f.new_graph(b.ctx);
	out->src[1] = src; /* itself */
	b.p.f.build_forward_expand(b.graph, out);
	graph_refused(&b, "tensor 'nowhere' lies in no buffer");
	b.graph = b.p.f.new_graph(b.ctx);
	out->src[1] = view; /* by a node that computes nothing */
	b.p.f.build_forward_expand(b.graph, out);
	graph_refused(&b, "tensor 'look' lies in no buffer");
	b.graph = b.p.f.new_graph(b.ctx);
	out->src[1] = b.y;
	out->view_src = src; /* or written there */
	b.p.f.build_forward_expand(b.graph, out);
	graph_refused(&b, "lies in no buffer");
	out->view_src = NULL;
	b.p.g.free(nowhere);
	bench_end(&b);
}

SCENARIO(a_tensor_past_32_bits_is_refused_by_name)
{
	struct abi_tensor *sum;
	struct bench b;

	(void)unused;
	bench_make(&b);
	sum = b.p.f.add(b.ctx, b.x, b.y);
	strcpy(b.y->name, "large");
	b.p.f.build_forward_expand(b.graph, sum);
	bench_alloc(&b);
	b.y->ne[3] = 2;
	b.y->nb[3] = (size_t)1 << 32;
	graph_refused(&b, "tensor 'large' has a dimension or stride past 32 bits");
	b.y->ne[3] = 1;
	graph_adds(&b, sum);
	b.y->ne[3] = (int64_t)1 << 32;
	graph_refused(&b, "tensor 'large' has a dimension or stride past 32 bits");
	b.y->ne[3] = 1;
	bench_end(&b);
}

/* ggml's scheduler leaves a view where its readers are, and copies what it shows for them: so does this graph, by hand. */
SCENARIO(other_backends_nodes_that_compute_nothing_are_passed_over)
{
	struct abi_tensor *view, *more, *sum;
	struct bench b;

	(void)unused;
	bench_make(&b);
	view = b.p.f.reshape_2d(b.theirs, b.their, N / 2, 2);
	more = b.p.f.transpose(b.theirs, b.p.f.view_2d(b.theirs, view, N / 4, 2, 128, 0));
	sum = b.p.f.add(b.ctx, b.x, b.y);
	b.p.f.build_forward_expand(b.graph, view);
	b.p.f.build_forward_expand(b.graph, b.p.f.reshape_2d(b.ctx, b.x, N / 2, 2));
	b.p.f.build_forward_expand(b.graph, sum);
	b.p.f.build_forward_expand(b.graph, more);
	bench_alloc(&b);
	graph_adds(&b, sum);
	view->data = NULL; /* allocated later, or never */
	view->buffer = more->buffer = NULL;
	b.their->buffer = NULL;
	graph_adds(&b, sum);
	b.their->buffer = b.their_buffer;
	bench_end(&b);
}

SCENARIO(a_graph_of_nothing_that_computes_succeeds)
{
	struct bench b;

	(void)unused;
	bench_make(&b);
	b.p.f.build_forward_expand(b.graph, b.p.f.reshape_2d(b.theirs, b.their, N / 2, 2));
	bench_alloc(&b);
	for (int round = 0; round < 3; round++)
		CHECK(b.p.g.graph_compute(b.p.gpu, b.graph) == ABI_STATUS_SUCCESS);
	bench_end(&b);
}

/* The same addresses, another meaning: what was passed over once needn't be so the next time. */
SCENARIO(a_node_that_was_passed_over_and_computes_now_is_computed)
{
	struct abi_tensor *view, *sum, *twice;
	struct bench b;
	int32_t idle;

	(void)unused;
	bench_make(&b);
	view = b.p.f.reshape_2d(b.theirs, b.their, N, 1);
	sum = b.p.f.add(b.ctx, b.x, b.y);
	twice = b.p.g.new_tensor_4d(b.ctx, 0, N, 1, 1, 1);
	b.p.f.build_forward_expand(b.graph, view);
	b.p.f.build_forward_expand(b.graph, sum);
	bench_alloc(&b);
	idle = view->op;
	for (int round = 0; round < 3; round++) {
		struct abi_tensor was = *view;

		graph_adds(&b, sum);
		view->op = sum->op;
		view->view_src = NULL;
		view->src[0] = view->src[1] = b.x;
		view->buffer = twice->buffer;
		view->data = twice->data;
		for (int again = 0; again < 2; again++) {
			CHECK(b.p.g.graph_compute(b.p.gpu, b.graph) == ABI_STATUS_SUCCESS);
			b.p.g.tensor_get(twice, b.got, 0, sizeof b.got);
			for (int i = 0; i < N; i++)
				CHECK(b.got[i] == 2 * b.vx[i]);
			b.p.g.buffer_clear(b.buffer, 0);
			b.p.g.tensor_set(b.x, b.vx, 0, sizeof b.vx);
			b.p.g.tensor_set(b.y, b.vy, 0, sizeof b.vy);
		}
		*view = was;
		CHECK(view->op == idle);
	}
	bench_end(&b);
}

/* A view that is no node: it shows what lay there before the node that it views is computed. */
SCENARIO(a_view_of_what_is_computed_later_shows_what_lies_there)
{
	struct abi_tensor *squares, *before, *after;
	struct abi_backend *backends[2];
	float results[2][2][N];
	struct bench b;

	(void)unused;
	bench_make(&b);
	backends[0] = b.p.cpu;
	backends[1] = b.p.gpu;
	for (int on = 0; on < 2; on++) {
		struct abi_context *ctx = program_context(&b.p);
		struct abi_tensor *x = b.p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
		struct abi_tensor *y = b.p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
		struct abi_graph *graph = b.p.f.new_graph(ctx);
		struct abi_buffer *buffer;

		squares = b.p.f.sqr(ctx, x);
		before = b.p.f.add(ctx, y, b.p.f.view_tensor(ctx, squares));
		after = b.p.f.add(ctx, squares, y);
		b.p.f.build_forward_expand(graph, before);
		b.p.f.build_forward_expand(graph, after);
		buffer = b.p.f.backend_alloc_ctx_tensors(ctx, backends[on]);
		CHECK(buffer);
		b.p.g.tensor_set(x, b.vx, 0, sizeof b.vx);
		b.p.g.tensor_set(y, b.vy, 0, sizeof b.vy);
		for (int round = 0; round < 3; round++) {
			b.p.g.tensor_set(squares, b.vy, 0, sizeof b.vy);
			CHECK(b.p.g.graph_compute(backends[on], graph) == ABI_STATUS_SUCCESS);
			b.p.g.tensor_get(before, results[on][0], 0, sizeof results[on][0]);
			b.p.g.tensor_get(after, results[on][1], 0, sizeof results[on][1]);
			for (int i = 0; i < N; i++)
				CHECK(results[on][0][i] == 2 * b.vy[i]);
		}
		b.p.g.buffer_free(buffer);
		b.p.g.free(ctx);
	}
	CHECK(!memcmp(results[0], results[1], sizeof results[0]));
	bench_alloc(&b);
	bench_end(&b);
}

/* Blocks can't be turned around; but nobody asks for that until somebody reads them. */
SCENARIO(an_idle_transpose_of_quantised_data_is_no_reason_to_refuse)
{
	struct abi_tensor *blocks, *turned, *sum;
	struct bench b;

	(void)unused;
	bench_make(&b);
	blocks = b.p.g.new_tensor_4d(b.ctx, ggml_type("q8_0"), 256, 3, 1, 1);
	turned = b.p.f.transpose(b.ctx, blocks);
	sum = b.p.f.add(b.ctx, b.x, b.y);
	b.p.f.build_forward_expand(b.graph, turned);
	b.p.f.build_forward_expand(b.graph, b.p.f.view_2d(b.ctx, turned, 3, 2, turned->nb[1], 0));
	b.p.f.build_forward_expand(b.graph, sum);
	bench_alloc(&b);
	CHECK(b.p.g.dev_supports_op(b.p.dev, turned));
	graph_adds(&b, sum);
	bench_end(&b);
}

/* The smallest graph by which ggml's own scheduler puts a view of the CPU's tensor between ours. */
SCENARIO(a_schedule_with_the_cpu_is_computed)
{
	struct abi_tensor *x, *y, *a, *b, *v, *e, *f, *o;
	struct abi_backend *backends[2];
	struct abi_context *ctx;
	struct abi_sched *sched;
	struct abi_graph *graph;
	float twos[512], got[512];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	x = p.g.new_tensor_4d(ctx, 0, 64, 8, 1, 1);
	y = p.g.new_tensor_4d(ctx, 0, 64, 8, 1, 1);
	p.f.set_input(x);
	p.f.set_input(y);
	a = p.f.sqr(ctx, x);
	b = p.f.scale(ctx, y, 2);
	v = p.f.reshape_2d(ctx, a, 8, 64);
	e = p.f.sqr(ctx, b);
	f = p.f.sqr(ctx, v);
	o = p.f.add(ctx, p.f.reshape_2d(ctx, f, 64, 8), e);
	p.f.set_output(o);
	graph = p.f.new_graph(ctx);
	p.f.build_forward_expand(graph, a);
	p.f.build_forward_expand(graph, b);
	p.f.build_forward_expand(graph, v);
	p.f.build_forward_expand(graph, e);
	p.f.build_forward_expand(graph, o);
	backends[0] = p.gpu;
	backends[1] = p.cpu;
	sched = p.f.backend_sched_new(backends, NULL, 2, 64, false, true);
	CHECK(sched);
	p.f.backend_sched_set_tensor_backend(sched, a, p.cpu);
	p.f.backend_sched_set_tensor_backend(sched, b, p.gpu);
	p.f.backend_sched_set_tensor_backend(sched, e, p.gpu);
	p.f.backend_sched_set_tensor_backend(sched, f, p.cpu);
	p.f.backend_sched_set_tensor_backend(sched, o, p.gpu);
	CHECK(p.f.backend_sched_alloc_graph(sched, graph));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 512; i++)
			twos[i] = (float)(round + 2);
		p.g.tensor_set(x, twos, 0, sizeof twos);
		p.g.tensor_set(y, twos, 0, sizeof twos);
		CHECK(p.f.backend_sched_graph_compute(sched, graph) == ABI_STATUS_SUCCESS);
		p.g.tensor_get(o, got, 0, sizeof got);
		for (int i = 0; i < 512; i++)
			CHECK(got[i] == twos[i] * twos[i] * twos[i] * twos[i] + 4 * twos[i] * twos[i]);
	}
	p.f.backend_sched_free(sched);
	p.g.free(ctx);
	program_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_reads_another_backends_tensor_is_refused_by_name),
		cmocka_unit_test(a_node_that_reads_another_backends_tensor_by_a_view_is_refused),
		cmocka_unit_test(a_node_that_reads_what_lies_in_no_buffer_is_refused_by_name),
		cmocka_unit_test(a_tensor_past_32_bits_is_refused_by_name),
		cmocka_unit_test(other_backends_nodes_that_compute_nothing_are_passed_over),
		cmocka_unit_test(a_graph_of_nothing_that_computes_succeeds),
		cmocka_unit_test(a_node_that_was_passed_over_and_computes_now_is_computed),
		cmocka_unit_test(a_view_of_what_is_computed_later_shows_what_lies_there),
		cmocka_unit_test(an_idle_transpose_of_quantised_data_is_no_reason_to_refuse),
		cmocka_unit_test(a_schedule_with_the_cpu_is_computed),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_up, server_down);
}
