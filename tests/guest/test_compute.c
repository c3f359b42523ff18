/* SPDX-License-Identifier: MIT */
/* Graphs give what ggml's own CPU backend gives, also when they change, and from two threads at once. */
#include "tests/guest/scenario.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

SCENARIO(a_graph_gives_what_the_cpu_gives)
{
	struct net gpu, cpu;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	net_make(&gpu, &p, p.gpu, 128, 8, 42);
	net_make(&cpu, &p, p.cpu, 128, 8, 42);
	for (uint32_t round = 0; round < 30; round++) {
		net_input(&gpu, &p, round);
		net_input(&cpu, &p, round);
		nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	}
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

/* The graph's and the tensors' addresses stay, what they say changes: nothing may be remembered too long. */
SCENARIO(a_graph_that_changes_in_place_is_sent_anew)
{
	struct abi_tensor *a, *b, *sum, *view;
	float va[64], vb[64], got[64];
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_graph *graph;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	a = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	b = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	sum = p.f.add(ctx, a, b);
	view = p.f.scale(ctx, sum, 2.0f);
	graph = p.f.new_graph(ctx);
	p.f.build_forward_expand(graph, view);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	numbers_fill(va, 64, 1);
	numbers_fill(vb, 64, 2);
	p.g.tensor_set(a, va, 0, sizeof va);
	p.g.tensor_set(b, vb, 0, sizeof vb);
	for (int round = 0; round < 60; round++) {
		float factor = (float)(round % 5 + 1);
		struct abi_tensor *second = round % 3 ? b : a;
		bool changed = round % 4 != 3; /* every fourth is the same again */

		if (changed) {
			memcpy(view->op_params, &factor, sizeof factor);
			sum->src[1] = second;
		} else {
			memcpy(&factor, view->op_params, sizeof factor);
			second = sum->src[1];
		}
		CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
		p.g.tensor_get(view, got, 0, sizeof got);
		for (int i = 0; i < 64; i++)
			CHECK(got[i] == (va[i] + (second == b ? vb[i] : va[i])) * factor);
	}
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

/* New tensors often get the old ones' addresses; the buffer is another, the numbers too. */
SCENARIO(a_graph_at_an_old_graphs_address_is_a_new_graph)
{
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (uint32_t round = 0; round < 30; round++) {
		int64_t width = 32 + 32 * (round % 3);
		struct net gpu, cpu;

		net_make(&gpu, &p, p.gpu, width, 2, round);
		net_input(&gpu, &p, round);
		net_make(&cpu, &p, p.cpu, width, 2, round);
		net_input(&cpu, &p, round);
		nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
		net_free(&cpu, &p);
		net_free(&gpu, &p);
	}
	program_end(&p);
}

SCENARIO(a_freed_buffer_makes_its_graph_fail_and_no_other)
{
	struct net doomed, gpu, cpu;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	net_make(&gpu, &p, p.gpu, 64, 2, 1);
	net_make(&cpu, &p, p.cpu, 64, 2, 1);
	net_make(&doomed, &p, p.gpu, 64, 2, 1);
	net_input(&gpu, &p, 2);
	net_input(&cpu, &p, 2);
	net_input(&doomed, &p, 2);
	nets_agree(&doomed, p.gpu, &cpu, p.cpu, &p);
	net_free(&doomed, &p);
	nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

static void custom(struct abi_tensor *dst, const struct abi_tensor *a, int ith, int nth, void *user)
{
	(void)dst, (void)a, (void)ith, (void)nth, (void)user;
}

SCENARIO(a_graph_that_the_host_refuses_fails_and_the_next_computes)
{
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_graph *graph;
	struct abi_tensor *a, *c;
	struct net gpu, cpu;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	a = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	c = p.f.map_custom1(ctx, a, custom, 1, NULL);
	graph = p.f.new_graph(ctx);
	p.f.build_forward_expand(graph, c);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_FAILED);
	CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_FAILED);
	net_make(&gpu, &p, p.gpu, 64, 2, 1);
	net_make(&cpu, &p, p.cpu, 64, 2, 1);
	net_input(&gpu, &p, 2);
	net_input(&cpu, &p, 2);
	nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

struct worker_thread {
	const struct program *p;
	uint32_t seed;
};

static void *thread_run(void *arg)
{
	const struct worker_thread *t = arg;
	const struct program *p = t->p;
	struct abi_backend *gpu = p->g.dev_init(p->dev, NULL), *cpu = program_cpu(p);
	struct net a, b;

	CHECK(gpu);
	net_make(&a, p, gpu, 64, 3, t->seed);
	net_make(&b, p, cpu, 64, 3, t->seed);
	for (uint32_t round = 0; round < 100; round++) {
		net_input(&a, p, t->seed + round);
		net_input(&b, p, t->seed + round);
		nets_agree(&a, gpu, &b, cpu, p);
	}
	net_free(&a, p);
	net_free(&b, p);
	p->g.backend_free(gpu);
	p->g.backend_free(cpu);
	return NULL;
}

SCENARIO(two_threads_with_two_streams_get_their_own_results)
{
	struct worker_thread t[2];
	pthread_t id[2];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (uint32_t i = 0; i < 2; i++) {
		t[i] = (struct worker_thread){ &p, 1000 * (i + 1) };
		CHECK(pthread_create(&id[i], NULL, thread_run, &t[i]) == 0);
	}
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(id[i], NULL) == 0);
	program_end(&p);
}

/* Five thousand nodes: larger than what fits a first guess. */
SCENARIO(a_large_graph_computes)
{
	enum { NODES = 5000 };
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_graph *graph;
	struct abi_tensor *x, *one, *sum;
	float v[16], ones[16];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = p.g.init((struct abi_init_params){ .mem_size = (size_t)16 << 20, .no_alloc = true });
	CHECK(ctx);
	x = sum = p.g.new_tensor_4d(ctx, 0, 16, 1, 1, 1);
	one = p.g.new_tensor_4d(ctx, 0, 16, 1, 1, 1);
	graph = p.g.new_graph_custom(ctx, 2 * NODES, false);
	for (int i = 0; i < NODES; i++)
		sum = p.f.add(ctx, sum, one);
	p.f.build_forward_expand(graph, sum);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	for (int i = 0; i < 16; i++) {
		v[i] = (float)i;
		ones[i] = 1.0f;
	}
	p.g.tensor_set(x, v, 0, sizeof v);
	p.g.tensor_set(one, ones, 0, sizeof ones);
	for (int round = 0; round < 3; round++) {
		CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
		p.g.tensor_get(sum, v, 0, sizeof v);
		for (int i = 0; i < 16; i++)
			CHECK(v[i] == (float)(i + NODES));
	}
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

/* What a view viewed when its graph was computed last may be gone by now: nobody may look there. */
SCENARIO(a_view_that_views_another_tensor_now_is_not_followed_to_the_old_one)
{
	const size_t room = 1 << 16;
	void *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct abi_tensor *old, *now, *out, *view, *node;
	struct abi_context *gone, *ctx, *graphs;
	struct abi_buffer *first, *second;
	struct abi_graph *graph;
	float v[64], got[64];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	gone = p.g.init((struct abi_init_params){ .mem_size = room, .mem_buffer = memory, .no_alloc = true });
	old = p.g.new_tensor_4d(gone, 0, 64, 1, 1, 1);
	first = p.f.backend_alloc_ctx_tensors(gone, p.gpu);
	ctx = program_context(&p);
	now = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	out = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	second = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	graphs = program_context(&p);
	view = p.f.view_2d(graphs, old, 64, 1, sizeof v, 0);
	view->buffer = first;
	view->op = 0;
	view->src[0] = NULL;
	node = p.f.scale(graphs, view, 2.0f);
	node->data = out->data;
	node->buffer = second;
	graph = p.f.new_graph(graphs);
	p.f.build_forward_expand(graph, node);
	numbers_fill(v, 64, 1);
	p.g.tensor_set(old, v, 0, sizeof v);
	for (int i = 0; i < 64; i++)
		v[i] = (float)i;
	p.g.tensor_set(now, v, 0, sizeof v);
	CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
	CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
	view->view_src = now;
	view->data = now->data;
	view->buffer = second;
	p.g.free(gone);
	munmap(memory, room);
	CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
	p.g.tensor_get(node, got, 0, sizeof got);
	for (int i = 0; i < 64; i++)
		CHECK(got[i] == 2.0f * v[i]);
	p.g.buffer_free(first);
	p.g.buffer_free(second);
	p.g.free(graphs);
	p.g.free(ctx);
	program_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_graph_that_the_host_refuses_fails_and_the_next_computes),
		cmocka_unit_test(a_freed_buffer_makes_its_graph_fail_and_no_other),
		cmocka_unit_test(a_graph_gives_what_the_cpu_gives),
		cmocka_unit_test(a_graph_that_changes_in_place_is_sent_anew),
		cmocka_unit_test(a_graph_at_an_old_graphs_address_is_a_new_graph),
		cmocka_unit_test(a_view_that_views_another_tensor_now_is_not_followed_to_the_old_one),
		cmocka_unit_test(two_threads_with_two_streams_get_their_own_results),
		cmocka_unit_test(a_large_graph_computes),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
