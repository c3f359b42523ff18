/* SPDX-License-Identifier: MIT */
/*
 * graph_optimize: a graph gets the order that the host's library gives it natively, which is asked once for each that differs.
 * The library is support/wrap_ggml.c's optimizing one.
 */
#include "tests/guest/scenario.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "guest/counters.h"
#include "tests/support/ggml.h"

#define NODES 9
#define MOST  64

/* Without memory, as ggml's scheduler hands it over. */
struct shape {
	struct abi_context *ctx;
	struct abi_graph *graph;
	struct abi_tensor *x, *out, *nodes[NODES]; /* as they were built */
};

static void shape_make(struct shape *s, const struct program *p, int64_t n)
{
	struct abi_tensor *twice, *square, *sum, *view, *halves, *cast, *third;

	s->ctx = program_context(p);
	s->x = p->g.new_tensor_4d(s->ctx, 0, n, 2, 1, 1);
	p->f.set_input(s->x);
	twice = p->f.scale(s->ctx, s->x, 2);
	square = p->f.sqr(s->ctx, s->x);
	sum = p->f.add(s->ctx, twice, square);
	view = p->f.reshape_2d(s->ctx, sum, 2, n);
	halves = p->f.scale(s->ctx, view, 0.5f);
	cast = p->f.cpy(s->ctx, square, p->f.scale(s->ctx, twice, 3));
	third = p->f.reshape_2d(s->ctx, cast, 2, n);
	s->out = p->f.add(s->ctx, halves, third);
	p->f.set_output(s->out);
	s->graph = p->f.new_graph(s->ctx);
	p->f.build_forward_expand(s->graph, s->out);
	CHECK(p->g.graph_n_nodes(s->graph) == NODES);
	for (int i = 0; i < NODES; i++)
		s->nodes[i] = p->g.graph_node(s->graph, i);
}

/* What ggml's scheduler would be told. */
struct told {
	const struct shape *shape;
	size_t n;
	int tensor[MOST], until[MOST]; /* their places in the graph as it was built; x: -1 */
};

static int shape_place(const struct shape *s, const struct abi_tensor *t)
{
	int i = 0;

	if (t == s->x)
		return -1;
	while (i < NODES && s->nodes[i] != t)
		i++;
	CHECK(i < NODES);
	return i;
}

static void told_add(void *user_data, struct abi_tensor *tensor, struct abi_tensor *until)
{
	struct told *told = user_data;

	CHECK(told->n < MOST);
	told->tensor[told->n] = shape_place(told->shape, tensor);
	told->until[told->n++] = shape_place(told->shape, until);
}

static void shape_optimize(const struct shape *s, struct abi_backend *b, struct told *told)
{
	struct abi_optimize_params params = { told_add, told };

	*told = (struct told){ .shape = s };
	b->iface.graph_optimize(b, s->graph, &params);
}

static bool shape_is_as_built(const struct shape *s, const struct program *p)
{
	for (int i = 0; i < NODES; i++) {
		if (p->g.graph_node(s->graph, i) != s->nodes[i])
			return false;
	}
	return true;
}

/* The same library in this process. */
static struct abi_backend *native_backend(const struct program *p)
{
	void *handle = dlopen(test_path("TEST_WRAP"), RTLD_NOW | RTLD_LOCAL);
	void *f = handle ? dlsym(handle, "wrap_optimizing") : NULL;
	struct abi_reg *(*reg)(void);
	struct abi_backend *b;

	CHECK(f);
	memcpy(&reg, &f, sizeof f);
	b = p->g.dev_init(p->g.reg_dev_get(reg(), 0), NULL);
	CHECK(b && b->iface.graph_optimize);
	return b;
}

SCENARIO(order_and_dependencies_are_as_natively)
{
	struct abi_backend *native;
	struct shape ours, theirs;
	struct told by_us, by_them;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	native = native_backend(&p);
	shape_make(&ours, &p, 16);
	shape_make(&theirs, &p, 16);
	CHECK(p.gpu->iface.graph_optimize);
	shape_optimize(&ours, p.gpu, &by_us);
	shape_optimize(&theirs, native, &by_them);
	CHECK(!shape_is_as_built(&theirs, &p));
	for (int i = 0; i < NODES; i++)
		CHECK(shape_place(&ours, p.g.graph_node(ours.graph, i)) ==
			shape_place(&theirs, p.g.graph_node(theirs.graph, i)));
	CHECK(by_them.n > 1 && by_us.n == by_them.n); /* what is read twice is known by the use counts */
	for (size_t i = 0; i < by_us.n; i++)
		CHECK(by_us.tensor[i] == by_them.tensor[i] && by_us.until[i] == by_them.until[i]);
	p.g.free(ours.ctx);
	p.g.free(theirs.ctx);
	p.g.backend_free(native);
	program_end(&p);
}

/* As ggml's scheduler does it, on the first of those. */
static void shape_compute(struct program *p, int64_t n, struct abi_backend **backends, int n_backends, float *result)
{
	struct abi_sched *sched = p->f.backend_sched_new(backends, NULL, n_backends, 64, false, true);
	float x[64];
	struct shape s;

	shape_make(&s, p, n);
	CHECK(sched);
	for (int i = 0; i < NODES; i++)
		p->f.backend_sched_set_tensor_backend(sched, s.nodes[i], backends[0]);
	CHECK(p->f.backend_sched_alloc_graph(sched, s.graph));
	numbers_fill(x, (size_t)n * 2, 7);
	for (int round = 0; round < 3; round++) {
		p->g.tensor_set(s.x, x, 0, (size_t)n * 2 * sizeof *x);
		CHECK(p->f.backend_sched_graph_compute(sched, s.graph) == ABI_STATUS_SUCCESS);
		p->g.tensor_get(s.out, result, 0, (size_t)n * 2 * sizeof *x);
	}
	p->f.backend_sched_free(sched);
	p->g.free(s.ctx);
}

SCENARIO(what_ggmls_scheduler_schedules_is_asked_about_once_and_computed_as_natively)
{
	static const int64_t sizes[] = { 18, 18, 20, 18, 20, 18 };
	float ours[64], native[64];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct abi_backend *both[] = { p.gpu, p.cpu };

		shape_compute(&p, sizes[i], both, 2, ours);
		shape_compute(&p, sizes[i], &p.cpu, 1, native);
		CHECK(!memcmp(ours, native, (size_t)sizes[i] * 2 * sizeof *ours));
	}
	program_end(&p);
}

/* Up to the context's end, of which it tells. */
static size_t server_has_said(const char *what)
{
	size_t n = 0;

	assert_true(server_said(&server, " graphs computed"));
	for (const char *at = server.said; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void the_library_was_asked_once_for_each(void **state)
{
	(void)state;
	/* one by the first scenario, and these two sizes */
	assert_int_equal(server_has_said("wrap: optimizing 9 nodes"), 3);
}

/* It may be asked for at any time. */
SCENARIO(a_host_that_is_gone_leaves_the_graph_as_it_is)
{
	struct shape s;
	struct program p;
	struct told told;

	(void)unused;
	program_start(&p, server.socket);
	shape_make(&s, &p, 16);
	CHECK(kill(server_worker(&server), SIGKILL) == 0);
	shape_optimize(&s, p.gpu, &told);
	CHECK(shape_is_as_built(&s, &p) && told.n == 0);
	p.g.free(s.ctx);
	program_end(&p);
}

/* What can't be written, or what is in no order by itself. */
SCENARIO(a_graph_that_is_none_is_left_as_it_is)
{
	struct shape s;
	struct program p;
	struct told told;

	(void)unused;
	program_start(&p, server.socket);
	shape_make(&s, &p, 16);
	s.nodes[0]->src[0] = s.nodes[NODES - 1]; /* it reads what comes later */
	shape_optimize(&s, p.gpu, &told);
	CHECK(shape_is_as_built(&s, &p) && told.n == 0);
	s.nodes[0]->src[0] = s.x;
	s.x->type = 77;
	shape_optimize(&s, p.gpu, &told);
	CHECK(shape_is_as_built(&s, &p) && told.n == 0);
	s.x->type = 0;
	s.x->ne[3] = INT64_C(1) << 40;
	shape_optimize(&s, p.gpu, &told);
	CHECK(shape_is_as_built(&s, &p) && told.n == 0);
	s.x->ne[3] = 1;
	shape_optimize(&s, p.gpu, &told);
	CHECK(!shape_is_as_built(&s, &p) && told.n > 0);
	p.g.free(s.ctx);
	program_end(&p);
}

static uint64_t commands(const struct program *p)
{
	void *f = p->g.reg_get_proc_address(p->reg, GGML_BACKEND_VIRTGPU_COUNTERS);
	struct ggml_backend_virtgpu_counters c = { .size = sizeof c };
	ggml_backend_virtgpu_counters_t read;

	CHECK(f);
	memcpy(&read, &f, sizeof read);
	CHECK(read((struct ggml_backend_device *)(void *)p->dev, &c));
	return c.by_door + c.by_ring;
}

/* The host answers while the device computes: whoever synchronizes then has to wait for that yet. */
SCENARIO(who_asks_meanwhile_does_not_take_the_answer_for_the_computations_end)
{
	struct program p;
	struct shape s;
	struct told told;
	struct net net;
	uint64_t before;

	(void)unused;
	program_start(&p, server.socket);
	shape_make(&s, &p, 22);
	net_make(&net, &p, p.gpu, 8, 1, 1);
	net_input(&net, &p, 1);
	CHECK(p.g.graph_compute(p.gpu, net.graph) == ABI_STATUS_SUCCESS);
	CHECK(p.g.graph_compute_async(p.gpu, net.graph) == ABI_STATUS_SUCCESS);
	before = commands(&p);
	shape_optimize(&s, p.gpu, &told);
	CHECK(told.n > 0 && commands(&p) > before);
	before = commands(&p);
	p.g.synchronize(p.gpu);
	CHECK(commands(&p) > before);
	before = commands(&p);
	p.g.synchronize(p.gpu);
	CHECK(commands(&p) == before);
	p.g.free(s.ctx);
	net_free(&net, &p);
	program_end(&p);
}

#define LIES 10

SCENARIO(a_host_that_lies_is_not_believed)
{
	struct program p;
	struct told told;

	(void)unused;
	program_start(&p, server.socket);
	for (int64_t lie = 0; lie <= LIES; lie++) {
		struct shape s;

		shape_make(&s, &p, 4 + 2 * lie);
		shape_optimize(&s, p.gpu, &told);
		CHECK(shape_is_as_built(&s, &p) == (lie < LIES) && (told.n == 0) == (lie < LIES));
		shape_optimize(&s, p.gpu, &told); /* what was learned stays so */
		CHECK((told.n == 0) == (lie < LIES));
		p.g.free(s.ctx);
	}
	program_end(&p);
}

/* Chains, each another. */
SCENARIO(a_library_that_never_wants_anything)
{
	struct program p;
	struct net net;

	(void)unused;
	program_start(&p, server.socket);
	for (int i = 0; i < 6; i++) {
		struct abi_context *ctx = program_context(&p);
		struct abi_tensor *x = p.g.new_tensor_4d(ctx, 0, 16 + i, 1, 1, 1);
		struct abi_graph *graph = p.f.new_graph(ctx);

		for (int n = 0; n < 2048; n++)
			x = p.f.scale(ctx, x, 2);
		p.f.build_forward_expand(graph, x);
		p.gpu->iface.graph_optimize(p.gpu, graph, NULL);
		CHECK(p.g.graph_node(graph, 2047) == x);
		p.g.free(ctx);
	}
	net_make(&net, &p, p.gpu, 8, 1, 1); /* so that the host tells of this context */
	net_input(&net, &p, 1);
	CHECK(p.g.graph_compute(p.gpu, net.graph) == ABI_STATUS_SUCCESS);
	net_free(&net, &p);
	program_end(&p);
}

static void is_not_asked_for_ever(void **state)
{
	(void)state;
	assert_int_equal(server_has_said("wrap: contented with 2048 nodes"), 4);
}

SCENARIO(a_library_that_has_no_say_is_not_asked)
{
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	CHECK(!p.gpu->iface.graph_optimize);
	program_end(&p);
}

SCENARIO(plain_apir_has_no_such_question)
{
	struct program p;

	(void)unused;
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	program_start(&p, server.socket);
	CHECK(!p.gpu->iface.graph_optimize);
	program_end(&p);
}

static int server_of(const char *reg)
{
	return server_start_on(&server, test_path("TEST_WRAP"), reg) ? 0 : -1;
}

static int optimizing_up(void **state)
{
	(void)state;
	return server_of("APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_optimizing");
}

static int contented_up(void **state)
{
	(void)state;
	return server_of("APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_contented");
}

static int lying_up(void **state)
{
	setenv("TEST_BACKEND", test_path("TEST_APIR_LIAR"), 1);
	return optimizing_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_and_dependencies_are_as_natively),
		cmocka_unit_test(what_ggmls_scheduler_schedules_is_asked_about_once_and_computed_as_natively),
		cmocka_unit_test(the_library_was_asked_once_for_each),
		cmocka_unit_test(a_graph_that_is_none_is_left_as_it_is),
		cmocka_unit_test(who_asks_meanwhile_does_not_take_the_answer_for_the_computations_end),
		cmocka_unit_test(plain_apir_has_no_such_question),
		cmocka_unit_test(a_host_that_is_gone_leaves_the_graph_as_it_is),
	};
	const struct CMUnitTest contented[] = {
		cmocka_unit_test(a_library_that_never_wants_anything),
		cmocka_unit_test(is_not_asked_for_ever),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(a_library_that_has_no_say_is_not_asked) };
	const struct CMUnitTest lies[] = { cmocka_unit_test(a_host_that_lies_is_not_believed) };
	int failed = cmocka_run_group_tests_name("a library that optimizes", tests, optimizing_up, server_down);

	failed += cmocka_run_group_tests_name("a contented library", contented, contented_up, server_down);
	failed += cmocka_run_group_tests_name("ggml's CPU library", none, server_up, server_down);
	return failed + cmocka_run_group_tests_name("a host that lies", lies, lying_up, server_down);
}
