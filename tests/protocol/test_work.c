/* SPDX-License-Identifier: MIT */
/* A graph may ask for so much work and no more; what real models ask for is far below it. */
#include "tests/support/cm.h"

#include <stdio.h>
#include <string.h>

#include "backend/work.h"
#include "tests/protocol/harness.h"
#include "tests/support/capture.h"
#include "tests/support/ggml.h"

static struct host *h;
static struct guest g;

/* NULL: the key isn't set. What loading the library answers. */
static int64_t open_with(const char *most)
{
	uint32_t major, minor;

	h = host_open(NULL, HOST_GGML);
	assert_non_null(h);
	assert_true(!most || apir_configure(h->apir, 0, "ggml.graph.work", most) == 0);
	assert_true(guest_open(&g, h, 1));
	assert_int_equal(handshake(&g, &major, &minor), APIR_HANDSHAKE_MAGIC);
	return load_library(&g);
}

static int close_all(void **state)
{
	(void)state;
	guest_close(&g);
	host_close(h);
	return 0;
}

/* 2^60 elements over one row. */
static void zero_strides_over_more_elements_than_can_be_computed_are_refused(void **state)
{
	struct wire_graph w;
	struct capture c;
	char *heard;

	(void)state;
	capture_begin(&c);
	assert_int_equal(open_with(NULL), APIR_LOAD_OK);
	assert_true(guest_loaded(&g));
	w = graph_add(&g);
	for (int i = 0; i < 3; i++) {
		memcpy(w.tensors[i].ne, (uint32_t[]){ 8, 1u << 19, 1u << 19, 1u << 19 }, sizeof w.tensors[i].ne);
		memcpy(w.tensors[i].nb, (uint32_t[]){ 4, 0, 0, 0 }, sizeof w.tensors[i].nb);
	}
	assert_int_equal(graph_try(&g, &w), REFUSED);
	assert_true(guest_computes(&g));
	heard = capture_end(&c);
	assert_non_null(
		strstr(heard, "refused: graph: up to node 0 (ADD) it is 18446744073709551615 multiply-adds' work, and "
			      "4503599627370496 are allowed: raise ggml.graph.work"));
	free(heard);
}

/* What a kernel goes through without reading it counts, too. */
static void a_loop_that_reads_little_is_refused_where_it_has_no_end(void **state)
{
	enum { N = 1 << 30 };
	static const struct {
		const char *op;
		int32_t params[3];
		uint32_t from[4], to[4];
	} cases[] = {
		{ "POOL_1D", { 1, INT32_MAX }, { 8, 1, 1, N }, { 8, 1, 1, N } },
		{ "POOL_2D", { 1, INT32_MAX, INT32_MAX }, { 8, 8, 1, 1 }, { 8, 8, 1, 1 } },
		{ "POOL_2D_BACK", { 1, INT32_MAX, INT32_MAX }, { 8, 8, 1, 1 }, { 8, 8, 1, 1 } },
		{ "GROUP_NORM", { INT32_MAX }, { 8, 1, 1, N }, { 8, 1, 1, N } },
		{ "SUM", { 0 }, { 0, N, N, 1 }, { 1, 1, 1, 1 } },
	};

	(void)state;
	assert_int_equal(open_with(NULL), APIR_LOAD_OK);
	assert_true(guest_loaded(&g));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct wire_graph w = graph_add(&g);
		struct apir_tensor *t = &w.tensors[2];

		t->op = (uint32_t)ggml_op(cases[i].op);
		t->src[1] = strcmp(cases[i].op, "POOL_2D_BACK") ? 0 : 2;
		memcpy(t->op_params, cases[i].params, sizeof cases[i].params);
		for (int k = 0; k < 3; k++) {
			memcpy(w.tensors[k].ne, k == 2 ? cases[i].to : cases[i].from, sizeof w.tensors[k].ne);
			memcpy(w.tensors[k].nb, (uint32_t[]){ 4, 0, 0, 0 }, sizeof w.tensors[k].nb);
		}
		assert_int_equal(graph_try(&g, &w), REFUSED);
	}
	assert_true(guest_computes(&g));
}

static void a_product_counts_with_its_inner_length(void **state)
{
	struct wire_graph w;

	(void)state;
	assert_int_equal(open_with("4096"), APIR_LOAD_OK);
	assert_true(guest_loaded(&g));
	w = graph_add(&g);
	w.tensors[0] = tensor_f32(1, g.buffer, 0, 64, 8);
	w.tensors[1] = tensor_f32(2, g.buffer, 4096, 64, 8);
	w.tensors[2] = tensor_f32(3, g.buffer, 8192, 8, 8);
	w.tensors[2].op = (uint32_t)ggml_op("MUL_MAT");
	w.tensors[2].src[0] = 1;
	w.tensors[2].src[1] = 2;
	assert_int_equal(graph_try(&g, &w), REFUSED); /* 16 for each of 512 that are read */
	guest_close(&g);
	host_close(h);
	assert_int_equal(open_with("8192"), APIR_LOAD_OK);
	assert_true(guest_loaded(&g));
	for (int i = 0; i < 3; i++)
		w.tensors[i].buffer = g.buffer;
	assert_int_equal(graph_try(&g, &w), 0);
}

static void the_key_is_the_limit_of_all_nodes_together(void **state)
{
	struct wire_graph w;

	(void)state;
	assert_int_equal(open_with("200"), APIR_LOAD_OK); /* one sum of 8 elements is 128 */
	assert_true(guest_loaded(&g));
	w = graph_add(&g);
	assert_int_equal(graph_try(&g, &w), 0);
	w.nodes[w.n_nodes++] = 4;
	w.tensors[w.n_tensors] = w.tensors[2];
	w.tensors[w.n_tensors].id = 4;
	w.tensors[w.n_tensors++].data = 256;
	assert_int_equal(graph_try(&g, &w), REFUSED);
	assert_true(guest_computes(&g));
}

static void a_value_that_is_no_number_is_refused(void **state)
{
	static const char *const values[] = { "", "0", "-1", "many", "1 ", "4611686018427387905",
		"99999999999999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		char line[96], *heard;
		struct capture c;
		int64_t code;

		capture_begin(&c);
		code = open_with(values[i]);
		close_all(NULL);
		heard = capture_end(&c);
		assert_int_equal(code, APIR_LOAD_INIT + APIR_LOAD_INIT + APIR_INIT_NO_BACKEND);
		snprintf(line, sizeof line, "ggml.graph.work: '%s' is no number from 1 to 2^62", values[i]);
		assert_non_null(strstr(heard, line));
		free(heard);
	}
}

/* A transformer's prompt in one graph: what its weights, its attention and its elements cost. */
static uint64_t prompt(const struct work *w, int64_t tokens, int64_t width, int64_t ff, int64_t layers, int64_t vocab)
{
	struct abi_tensor weight = { .ne = { width, width, 1, 1 } }, x = { .ne = { width, tokens, 1, 1 } };
	struct abi_tensor q = { .ne = { 128, tokens, width / 128, 1 } }, k = q, v = q;
	struct abi_tensor node = { .ne = { width, tokens, 1, 1 }, .src = { &weight, &x } };
	uint64_t sum = 0;

	for (int64_t l = 0; l < layers; l++) {
		node.op = ggml_op("MUL_MAT");
		for (int i = 0; i < 4; i++) /* Q, K, V, O, as if none were shared */
			sum = work_add(w, &node, sum);
		node.ne[0] = ff;
		for (int i = 0; i < 3; i++)
			sum = work_add(w, &node, sum);
		node.ne[0] = width;
		node.op = ggml_op("ADD");
		for (int i = 0; i < 30; i++)
			sum = work_add(w, &node, sum);
		node.op = ggml_op("FLASH_ATTN_EXT");
		node.src[0] = &q;
		node.src[1] = &k;
		node.src[2] = &v;
		sum = work_add(w, &node, sum);
		node.src[2] = NULL;
		node.src[0] = &weight;
		node.src[1] = &x;
	}
	node.op = ggml_op("MUL_MAT");
	node.ne[0] = vocab;
	return work_add(w, &node, sum);
}

/* Zero strides: as many values as one likes, which no query, key or result tells of. */
static void attention_counts_with_its_values_width(void **state)
{
	struct abi_tensor q = { .ne = { 1, 1 << 10, 1, 1 } }, k = { .ne = { 1, 1 << 20, 1, 1 } },
			  v = { .ne = { 1 << 20, 1 << 20, 1, 1 } };
	struct abi_tensor node = { .ne = { 1, 1, 1, 1 }, .src = { &q, &k, &v } };
	struct work w;

	(void)state;
	assert_true(work_learn(&w, ggml(), NULL));
	node.op = ggml_op("FLASH_ATTN_EXT");
	assert_int_equal(work_add(&w, &node, 0), ((UINT64_C(1) << 20) + 1) << 30);
}

static void a_prompt_of_4096_tokens_passes_by_far(void **state)
{
	struct work w;
	uint64_t of_8b, of_70b;

	(void)state;
	assert_true(work_learn(&w, ggml(), NULL));
	of_8b = prompt(&w, 4096, 4096, 14336, 32, 128256);
	of_70b = prompt(&w, 4096, 8192, 28672, 80, 128256);
	print_message("8B: %.2g, 70B: %.2g, allowed: %.2g\n", (double)of_8b, (double)of_70b, (double)w.most);
	assert_true(of_8b > UINT64_C(30000000000000) && of_70b > UINT64_C(280000000000000));
	assert_true(of_8b < w.most / 100 && of_70b < w.most / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(zero_strides_over_more_elements_than_can_be_computed_are_refused, close_all),
		cmocka_unit_test_teardown(a_loop_that_reads_little_is_refused_where_it_has_no_end, close_all),
		cmocka_unit_test_teardown(a_product_counts_with_its_inner_length, close_all),
		cmocka_unit_test_teardown(the_key_is_the_limit_of_all_nodes_together, close_all),
		cmocka_unit_test(a_value_that_is_no_number_is_refused),
		cmocka_unit_test(attention_counts_with_its_values_width),
		cmocka_unit_test(a_prompt_of_4096_tokens_passes_by_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
