/* SPDX-License-Identifier: MIT */
/*
 * GRAPH_OPTIMIZE: a graph without memory is answered with an order of its nodes and with what is to keep its memory; what isn't
 * such a graph is refused, and the library never sees it. The library is support/wrap_ggml.c's optimizing one, which turns
 * round whatever may be turned round.
 */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>

#include "tests/protocol/fixture.h"
#include "tests/support/capture.h"
#include "tests/support/ggml.h"
#include "tests/support/process.h"

static pid_t worker;

static int open_with(const char *reg)
{
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", test_path("TEST_WRAP"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", reg, 1);
	h = host_open(NULL, HOST_BACKEND);
	if (!h || !guest_open(&g, h, 1) || !guest_ready(&g))
		return -1;
	worker = host_worker(h);
	return 0;
}

static int open_optimizing(void **state)
{
	(void)state;
	return open_with("wrap_optimizing");
}

static int open_without(void **state)
{
	(void)state;
	return open_with("wrap_refusing");
}

static uint64_t hello(uint64_t features)
{
	uint32_t version;
	uint64_t agreed = 0;

	args_start(&g);
	arg_u32(&g, APIR_HELLO_VERSION);
	arg_u64(&g, features);
	assert_int_equal(forward(&g, APIR_FN_HELLO), 0);
	assert_true(cursor_read_u32(&g.answer, &version) && cursor_read_u64(&g.answer, &agreed));
	return agreed;
}

/* x; a = x + x; b = x + x; c = a + b; d = b + b: ids and places 1, 2, 3, 4, 5. */
static struct wire_graph diamond(void)
{
	static const uint64_t src[5][2] = { { 0, 0 }, { 1, 1 }, { 1, 1 }, { 2, 3 }, { 3, 3 } };
	struct wire_graph w = { .n_nodes = 4, .n_tensors = 5, .nodes = { 2, 3, 4, 5 } };

	for (uint64_t i = 0; i < 5; i++) {
		w.tensors[i] = tensor_f32(i + 1, 0, 0, 8, 1);
		w.tensors[i].op = i ? (uint32_t)ggml_op("ADD") : 0;
		memcpy(w.tensors[i].src, src[i], sizeof src[i]);
	}
	return w;
}

/* Asks about n bytes of the data blob; the code. */
static int64_t optimize(uint64_t n)
{
	args_start(&g);
	arg_u32(&g, g.data.res);
	arg_u64(&g, n);
	return forward(&g, APIR_FN_GRAPH_OPTIMIZE);
}

static int64_t optimize_graph(const struct wire_graph *w)
{
	return optimize(graph_put(&g, w));
}

#define assert_answer(order, deps, n)                                                                                  \
	do {                                                                                                           \
		uint32_t n_ = 99;                                                                                      \
                                                                                                                       \
		assert_true(cursor_read_u32(&g.answer, &n_));                                                          \
		assert_int_equal(n_, n);                                                                               \
		assert_memory_equal(g.data.ptr, order, sizeof(order));                                                 \
		assert_memory_equal(g.data.ptr + sizeof(order), deps, (n) * sizeof(struct apir_dep));                  \
	} while (0)

static void nodes_get_another_order_and_keep_their_memory_longer(void **state)
{
	static const uint32_t order[] = { 1, 3, 0, 2 };
	static const struct apir_dep deps[] = { { 0, 3 }, { 1, 3 }, { 2, 3 } };
	struct wire_graph w = diamond();

	(void)state;
	assert_int_equal(hello(UINT64_MAX) & APIR_FEATURE_OPTIMIZE, APIR_FEATURE_OPTIMIZE);
	assert_int_equal(optimize_graph(&w), 0);
	assert_answer(order, deps, 1);
	w.tensors[1].use_count = 3; /* as the whole graph has it, whoever reads it there */
	w.tensors[2].use_count = 2;
	w.tensors[3].use_count = 1;
	assert_int_equal(optimize_graph(&w), 0);
	assert_answer(order, deps, 3);
	hello(0); /* nobody counts any more */
	assert_int_equal(optimize_graph(&w), 0);
	assert_answer(order, deps, 1);
}

/* CUDA's library looks for nodes that it has seen, by their addresses: what is asked about is computed by others. */
static void questions_and_computations_take_turns(void **state)
{
	const struct wire_graph w = diamond();

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(optimize_graph(&w), 0);
		assert_true(guest_computes(&g));
	}
	assert_int_equal(host_worker(h), worker);
}

static void a_library_that_has_no_say_is_not_asked(void **state)
{
	const struct wire_graph w = diamond();

	(void)state;
	assert_int_equal(hello(UINT64_MAX) & APIR_FEATURE_OPTIMIZE, 0);
	assert_int_equal(optimize_graph(&w), FAILED);
	assert_true(guest_computes(&g));
}

static void a_library_that_loses_a_node_has_said_nothing(void **state)
{
	static const uint32_t order[] = { 1, 3, 0, 2 };
	static const struct apir_dep deps[] = { { 0, 3 } };
	struct wire_graph w = diamond();

	(void)state;
	strcpy(w.tensors[2].name, "double"); /* it comes first */
	assert_int_equal(optimize_graph(&w), FAILED);
	w.tensors[2].name[0] = '\0';
	assert_int_equal(optimize_graph(&w), 0);
	assert_answer(order, deps, 1);
	assert_int_equal(host_worker(h), worker);
}

/* It is refused, the blob is as it was, the library has seen nothing, and the context is of use. */
#define assert_refused(code)                                                                                           \
	do {                                                                                                           \
		struct capture capture_;                                                                               \
		uint8_t before_[256];                                                                                  \
		int64_t code_;                                                                                         \
		char *said_;                                                                                           \
                                                                                                                       \
		memcpy(before_, g.data.ptr, sizeof before_);                                                           \
		capture_begin(&capture_);                                                                              \
		code_ = (code);                                                                                        \
		said_ = capture_end(&capture_);                                                                        \
		assert_int_equal(code_, REFUSED);                                                                      \
		assert_null(strstr(said_, "wrap: optimizing"));                                                        \
		assert_memory_equal(before_, g.data.ptr, sizeof before_);                                              \
		free(said_);                                                                                           \
	} while (0)

/* Its change to the diamond is refused. */
#define assert_refuses(...)                                                                                            \
	do {                                                                                                           \
		struct wire_graph w = diamond();                                                                       \
		size_t n_;                                                                                             \
                                                                                                                       \
		__VA_ARGS__;                                                                                           \
		n_ = graph_put(&g, &w);                                                                                \
		assert_refused(optimize(n_));                                                                          \
	} while (0)

static void arguments_cut_anywhere_are_refused(void **state)
{
	const struct wire_graph w = diamond();
	size_t n = graph_put(&g, &w);

	(void)state;
	for (size_t cut = 0; cut < 12; cut++) {
		args_start(&g);
		arg_u32(&g, g.data.res);
		arg_u64(&g, n);
		assert_refused(forward_cut(&g, APIR_FN_GRAPH_OPTIMIZE, cut));
	}
	assert_true(guest_computes(&g));
}

static void a_graph_cut_anywhere_is_refused(void **state)
{
	struct wire_graph w = diamond();
	size_t n;

	(void)state;
	w.n_nodes = 1;
	w.n_tensors = 2;
	n = graph_put(&g, &w);
	assert_int_equal(optimize(n), 0);
	graph_put(&g, &w);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(optimize(cut), REFUSED);
	assert_true(guest_computes(&g));
	assert_int_equal(host_worker(h), worker);
}

static void sizes_beyond_the_blob_or_any_measure_are_refused(void **state)
{
	static const uint64_t sizes[] = { APIR_OPTIMIZE_MAX + 1, APIR_DATA_BLOB_SIZE + 1, UINT64_MAX, UINT64_MAX - 4,
		UINT64_C(1) << 32, UINT64_C(1) << 63 };
	const struct wire_graph w = diamond();

	(void)state;
	graph_put(&g, &w);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		assert_refused(optimize(sizes[i]));
	args_start(&g);
	arg_u32(&g, g.reply.res);
	arg_u64(&g, APIR_REPLY_BLOB_SIZE + 1);
	assert_refused(forward(&g, APIR_FN_GRAPH_OPTIMIZE));
	args_start(&g);
	arg_u32(&g, 0xabcdef);
	arg_u64(&g, 64);
	assert_refused(forward(&g, APIR_FN_GRAPH_OPTIMIZE));
	assert_true(guest_computes(&g));
}

static void counts_that_lie_are_refused(void **state)
{
	static const uint32_t counts[] = { 0, 5, 1000, 0x7fffffff, 0x20000000, 0x20000001, 0xffffffff };
	const struct wire_graph w = diamond();
	const size_t n = graph_put(&g, &w), at = sizeof(uint32_t) + 4 * sizeof(uint64_t);

	(void)state;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		memcpy(g.data.ptr, &counts[i], sizeof counts[i]);
		assert_refused(optimize(n));
		graph_put(&g, &w);
		memcpy(g.data.ptr + at, &counts[i], sizeof counts[i]);
		if (counts[i] != 5)
			assert_refused(optimize(n));
		graph_put(&g, &w);
	}
	assert_true(guest_computes(&g));
}

static void what_is_no_graph_is_refused(void **state)
{
	(void)state;
	/* nodes */
	assert_refuses(w.nodes[1] = 77);
	assert_refuses(w.nodes[1] = 0);
	assert_refuses(w.nodes[1] = w.nodes[0]);
	assert_refuses(w.nodes[3] = w.nodes[2]);
	/* ids */
	assert_refuses(w.tensors[1].id = 0);
	assert_refuses(w.tensors[1].id = w.tensors[2].id);
	assert_refuses(w.tensors[3].src[0] = 77);
	assert_refuses(w.tensors[3].src[9] = UINT64_MAX);
	assert_refuses(w.tensors[3].view_src = 77);
	/* what comes later, and circles */
	assert_refuses(w.tensors[1].src[0] = 3);
	assert_refuses(w.tensors[1].src[0] = 2);
	assert_refuses(w.tensors[1].src[1] = 2);
	assert_refuses(w.tensors[0].src[0] = 5);
	assert_refuses(w.tensors[1].view_src = 2);
	assert_refuses(w.tensors[1].view_src = 5);
	/* operations and shapes */
	assert_refuses(w.tensors[1].op = 0xffffffff);
	assert_refuses(w.tensors[1].op = ABI_N_OPS);
	assert_refuses(w.tensors[1].op = (uint32_t)ggml_op("MAP_CUSTOM1"));
	assert_refuses(w.tensors[1].op = (uint32_t)ggml_op("UNARY"), w.tensors[1].op_params[0] = 99);
	assert_refuses(w.tensors[1].src[1] = 0);
	assert_refuses(w.tensors[1].type = 0x7fffffff);
	assert_refuses(w.tensors[0].type = 4); /* which was given up */
	assert_refuses(w.tensors[0].type = (uint32_t)ggml_type("q4_0"));
	assert_refuses(memset(w.tensors[0].ne, 0xff, sizeof w.tensors[0].ne));
	assert_refuses(w.tensors[0].nb[0] = 1);
	assert_true(guest_computes(&g));
	assert_int_equal(host_worker(h), worker);
}

/* Nothing can be read or written by way of it. */
static void memory_is_refused(void **state)
{
	(void)state;
	assert_refuses(w.tensors[0].buffer = g.buffer);
	assert_refuses(w.tensors[4].buffer = g.buffer);
	assert_refuses(w.tensors[4].buffer = 77);
	assert_true(guest_computes(&g));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_optimizing, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(arguments_cut_anywhere_are_refused),
		TEST(a_graph_cut_anywhere_is_refused),
		TEST(sizes_beyond_the_blob_or_any_measure_are_refused),
		TEST(counts_that_lie_are_refused),
		TEST(what_is_no_graph_is_refused),
		TEST(memory_is_refused),
		TEST(nodes_get_another_order_and_keep_their_memory_longer),
		TEST(questions_and_computations_take_turns),
		TEST(a_library_that_loses_a_node_has_said_nothing),
		cmocka_unit_test_setup_teardown(a_library_that_has_no_say_is_not_asked, open_without, close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
