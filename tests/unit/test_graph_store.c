/* SPDX-License-Identifier: MIT */
/* Which graphs a context keeps, and which go. */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>

#include "backend/graph_store.h"

static const struct abi_symbols fn; /* nothing of it is called for graphs without a ggml_cgraph */
static struct graph_store s;
static struct buffer buffers[300];

static int start(void **state)
{
	(void)state;
	s = (struct graph_store){ 0 };
	return 0;
}

static int end(void **state)
{
	(void)state;
	graph_store_clear(&s, &fn);
	for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
		if (buffers[i].graphs)
			return -1;
	}
	return s.n || s.newest || s.oldest || s.cost ? -1 : 0;
}

/* Named by a number, which is all of its bytes. */
static struct graph *graph_make(uint32_t name, uint64_t cost)
{
	struct graph *g = calloc(1, sizeof *g);

	assert_non_null(g);
	g->bytes = malloc(sizeof name);
	assert_non_null(g->bytes);
	memcpy(g->bytes, &name, sizeof name);
	g->size = sizeof name;
	g->cost = cost;
	return g;
}

static struct graph *add(uint32_t name, uint64_t cost)
{
	struct graph *g = graph_make(name, cost);

	graph_store_add(&s, &fn, g);
	return g;
}

static struct graph *find(uint32_t name)
{
	return graph_store_find(&s, &name, sizeof name);
}

static void a_token_of_many_splits_finds_them_all(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 300; i++)
		add(i, 1 << 16);
	for (int token = 0; token < 3; token++) {
		for (uint32_t i = 0; i < 300; i++)
			assert_non_null(find(i));
	}
	assert_null(find(300));
	assert_null(graph_store_find(&s, &(uint16_t){ 0 }, sizeof(uint16_t))); /* the beginning of another */
}

static void what_was_not_used_for_longest_goes_first(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < GRAPHS_KEPT; i++)
		add(i, 1);
	assert_non_null(find(0));
	add(GRAPHS_KEPT, 1);
	assert_null(find(1));
	assert_non_null(find(0));
	assert_non_null(find(2));
	assert_int_equal(s.n, GRAPHS_KEPT);
}

static void what_is_kept_is_bounded_in_bytes(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		add(i, GRAPHS_KEPT_BYTES / 4);
	assert_int_equal(s.n, 4);
	assert_true(s.cost <= GRAPHS_KEPT_BYTES);
	assert_null(find(3));
	assert_non_null(find(4));
	add(8, GRAPHS_KEPT_BYTES + 1); /* alone, or it could never be computed twice */
	assert_int_equal(s.n, 1);
	assert_non_null(find(8));
}

/* What is noted while a graph is made. */
static struct graph *add_in(uint32_t name, size_t first, size_t n)
{
	struct graph *g = graph_make(name, 1);

	for (size_t i = 0; i < 3 * n; i++)
		assert_true(graph_touch(g, &buffers[first + i % n]));
	graph_store_add(&s, &fn, g);
	return g;
}

static void a_graph_goes_with_its_buffers_and_no_others(void **state)
{
	(void)state;
	add_in(0, 0, 1);
	add_in(1, 0, 2);
	add_in(2, 1, 1);
	add(3, 1);
	graph_store_leave(&s, &fn, &buffers[0]);
	assert_null(find(0));
	assert_null(find(1));
	assert_non_null(find(2));
	assert_non_null(find(3));
	assert_int_equal(s.n, 2);
	graph_store_leave(&s, &fn, &buffers[2]);
	assert_int_equal(s.n, 2);
	graph_store_clear(&s, &fn);
	assert_int_equal(s.n, 0);
}

static void one_of_many_buffers_goes_with_each_of_them_and_no_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < 200; i++) {
		add_in(0, 0, 200);
		graph_store_leave(&s, &fn, &buffers[200 + i % 100]);
		assert_non_null(find(0));
		graph_store_leave(&s, &fn, &buffers[i]);
		assert_null(find(0));
	}
}

/* A buffer of another use drops the graphs that touch it, while one is made of it. */
static void one_that_is_being_made_is_left_alone(void **state)
{
	struct graph *g = graph_make(1, 1);

	(void)state;
	add_in(0, 0, 1);
	assert_true(graph_touch(g, &buffers[0]));
	graph_store_leave(&s, &fn, &buffers[0]);
	assert_null(find(0));
	assert_true(graph_touch(g, &buffers[1]) && graph_touch(g, &buffers[0]));
	graph_store_add(&s, &fn, g);
	assert_ptr_equal(find(1), g);
	graph_store_leave(&s, &fn, &buffers[0]);
	assert_null(find(1));
}

static void a_blob_holds_the_graph_that_was_placed_there_last(void **state)
{
	struct graph *first, *second;

	(void)state;
	first = add(0, 1);
	second = add(1, 1);
	graph_store_place(&s, first, 7);
	assert_ptr_equal(graph_store_again(&s, 7, first->size), first);
	graph_store_place(&s, second, 7);
	assert_ptr_equal(graph_store_again(&s, 7, first->size), second);
	graph_store_place(&s, first, 8);
	assert_ptr_equal(graph_store_again(&s, 8, first->size), first);
	assert_null(graph_store_again(&s, 8, first->size + 1));
	assert_null(graph_store_again(&s, 9, first->size));
	assert_null(graph_store_again(&s, 0, first->size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_of_many_splits_finds_them_all, start, end),
		cmocka_unit_test_setup_teardown(what_was_not_used_for_longest_goes_first, start, end),
		cmocka_unit_test_setup_teardown(what_is_kept_is_bounded_in_bytes, start, end),
		cmocka_unit_test_setup_teardown(a_graph_goes_with_its_buffers_and_no_others, start, end),
		cmocka_unit_test_setup_teardown(a_blob_holds_the_graph_that_was_placed_there_last, start, end),
		cmocka_unit_test_setup_teardown(one_of_many_buffers_goes_with_each_of_them_and_no_other, start, end),
		cmocka_unit_test_setup_teardown(one_that_is_being_made_is_left_alone, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
