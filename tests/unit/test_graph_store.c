/* SPDX-License-Identifier: MIT */
/* Which graphs a context keeps, and which go. */
#include "tests/support/cm.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "backend/graph_store.h"
#include "tests/support/ggml.h"

static struct graph_store s;
static struct abi_buffer plain;
static struct buffer buffers[300];

static int start(void **state)
{
	(void)state;
	s = (struct graph_store){ 0 };
	for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
		buffers[i].ggml = &plain;
	return 0;
}

static int end(void **state)
{
	(void)state;
	graph_store_clear(&s, ggml());
	for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
		if (buffers[i].graphs)
			return -1;
	}
	return s.n || s.newest || s.oldest || s.cost ? -1 : 0;
}

/* Named by a number, which is all of its bytes. */
static struct graph *graph_make(uint32_t name, uint64_t cost)
{
	struct graph *g = graph_new(ggml(), NULL, 0, 0);

	assert_non_null(g);
	g->key = graph_key_of(&name, sizeof name);
	g->cost = cost;
	return g;
}

static struct graph *add(uint32_t name, uint64_t cost)
{
	struct graph *g = graph_make(name, cost);

	graph_store_add(&s, ggml(), g);
	return g;
}

static struct graph *find(uint32_t name)
{
	struct graph_key key = graph_key_of(&name, sizeof name);

	return graph_store_find(&s, &key);
}

static void a_token_of_many_splits_finds_them_all(void **state)
{
	struct graph_key beginning;

	(void)state;
	for (uint32_t i = 0; i < 300; i++)
		add(i, 1 << 16);
	for (int token = 0; token < 3; token++) {
		for (uint32_t i = 0; i < 300; i++)
			assert_non_null(find(i));
	}
	assert_null(find(300));
	beginning = graph_key_of(&(uint16_t){ 0 }, sizeof(uint16_t)); /* of another */
	assert_null(graph_store_find(&s, &beginning));
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
	graph_store_add(&s, ggml(), g);
	return g;
}

static void a_graph_goes_with_its_buffers_and_no_others(void **state)
{
	(void)state;
	add_in(0, 0, 1);
	add_in(1, 0, 2);
	add_in(2, 1, 1);
	add(3, 1);
	graph_store_leave(&s, ggml(), &buffers[0]);
	assert_null(find(0));
	assert_null(find(1));
	assert_non_null(find(2));
	assert_non_null(find(3));
	assert_int_equal(s.n, 2);
	graph_store_leave(&s, ggml(), &buffers[2]);
	assert_int_equal(s.n, 2);
	graph_store_clear(&s, ggml());
	assert_int_equal(s.n, 0);
}

static void one_of_many_buffers_goes_with_each_of_them_and_no_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < 200; i++) {
		add_in(0, 0, 200);
		graph_store_leave(&s, ggml(), &buffers[200 + i % 100]);
		assert_non_null(find(0));
		graph_store_leave(&s, ggml(), &buffers[i]);
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
	graph_store_leave(&s, ggml(), &buffers[0]);
	assert_null(find(0));
	assert_true(graph_touch(g, &buffers[1]) && graph_touch(g, &buffers[0]));
	graph_store_add(&s, ggml(), g);
	assert_ptr_equal(find(1), g);
	graph_store_leave(&s, ggml(), &buffers[0]);
	assert_null(find(1));
}

/* Every bit counts, at every place, and so does the size. */
static void other_bytes_have_another_key(void **state)
{
	enum { MOST = 200 };
	static struct graph_key keys[8 * MOST + MOST + 1];
	static uint8_t zeros[MOST];
	uint8_t bytes[MOST];
	size_t n = 0;

	(void)state;
	for (size_t size = 0; size <= MOST; size++)
		keys[n++] = graph_key_of(zeros, size);
	for (size_t bit = 0; bit < 8 * MOST; bit++) {
		memset(bytes, 0, sizeof bytes);
		bytes[bit / 8] = (uint8_t)(1u << bit % 8);
		keys[n++] = graph_key_of(bytes, sizeof bytes);
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			assert_true(keys[i].low != keys[k].low && keys[i].high != keys[k].high);
	}
}

/* Memory that was made ready serves a graph that it fits, and nobody twice. */
static void the_next_graph_lies_in_the_spare_memory_where_it_fits(void **state)
{
	struct graph_spare spare = { 0 };
	struct graph *first = graph_new(ggml(), &spare, 100, 150), *next;
	void *ready;

	(void)state;
	assert_non_null(first);
	for (uint32_t more = 0; more <= 1; more++) {
		graph_spare_prepare(&spare, first);
		ready = spare.memory;
		assert_non_null(ready);
		graph_spare_prepare(&spare, first);
		assert_ptr_equal(spare.memory, ready);
		next = graph_new(ggml(), &spare, 100 + more, 150 + more);
		assert_non_null(next);
		assert_null(spare.memory);
		assert_true(more || next == ready);
		memset(next->tensors, 0, next->n_tensors * sizeof *next->tensors);
		graph_free(ggml(), next);
	}
	graph_spare_prepare(&spare, first); /* too much for one of fewer nodes: it isn't wasted on it */
	next = graph_new(ggml(), &spare, 80, 120);
	assert_non_null(next);
	assert_null(spare.memory);
	assert_true(malloc_usable_size(next) < first->cost);
	graph_free(ggml(), next);
	graph_free(ggml(), first);
}

static void a_blob_holds_the_graph_that_was_placed_there_last(void **state)
{
	struct graph *first, *second;

	(void)state;
	first = add(0, 1);
	second = add(1, 1);
	graph_store_place(&s, first, 7);
	assert_ptr_equal(graph_store_again(&s, 7, first->key.size), first);
	graph_store_place(&s, second, 7);
	assert_ptr_equal(graph_store_again(&s, 7, first->key.size), second);
	graph_store_place(&s, first, 8);
	assert_ptr_equal(graph_store_again(&s, 8, first->key.size), first);
	assert_null(graph_store_again(&s, 8, first->key.size + 1));
	assert_null(graph_store_again(&s, 9, first->key.size));
	assert_null(graph_store_again(&s, 0, first->key.size));
	graph_store_place(&s, second, 7 + GRAPHS_KEPT); /* in one chain with the other */
	graph_store_place(&s, first, 7);
	assert_ptr_equal(graph_store_again(&s, 7, first->key.size), first);
	assert_ptr_equal(graph_store_again(&s, 7 + GRAPHS_KEPT, first->key.size), second);
	graph_store_place(&s, first, 0); /* 0 is no blob */
	assert_null(graph_store_again(&s, 7, first->key.size));
	assert_null(graph_store_again(&s, 0, first->key.size));
	graph_store_clear(&s, ggml());
	for (uint32_t res = 0; res < 2 * GRAPHS_KEPT; res++)
		assert_null(s.by_res[res % GRAPHS_KEPT]);
}

/* At random; what is found where is what was put there last, and nothing else is left in the end. */
static void any_order_of_adding_placing_and_leaving_is_right(void **state)
{
	enum { NAMES = 64, BLOBS = 40 };
	uint32_t held[BLOBS] = { 0 }; /* a graph's name + 1 */
	bool there[NAMES] = { 0 };
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint32_t name = (seed = seed * 1103515245 + 12345) >> 16 & (NAMES - 1), res;

		res = ((seed = seed * 1103515245 + 12345) >> 16) % BLOBS;
		switch (seed >> 30) {
		case 0:
			if (!there[name])
				add_in(name, name % 3, 2);
			there[name] = true;
			break;
		case 1:
			if (!there[name])
				break;
			for (uint32_t k = 0; k < BLOBS; k++)
				held[k] = held[k] == name + 1 ? 0 : held[k];
			graph_store_place(&s, find(name), res * GRAPHS_KEPT / 4);
			held[res] = res ? name + 1 : 0;
			break;
		case 2:
			assert_int_equal(find(name) != NULL, there[name]);
			break;
		default:
			if (i % 64)
				break;
			graph_store_leave(&s, ggml(), &buffers[name % 4]);
			for (uint32_t n = 0; n < NAMES; n++) {
				if (n % 3 != name % 4 && n % 3 + 1 != name % 4)
					continue;
				there[n] = false;
				for (uint32_t k = 0; k < BLOBS; k++)
					held[k] = held[k] == n + 1 ? 0 : held[k];
			}
		}
		for (uint32_t k = 0; k < BLOBS; k++) {
			struct graph *g = graph_store_again(&s, k * GRAPHS_KEPT / 4, sizeof(uint32_t));

			assert_true(held[k] ? g && g == find(held[k] - 1) : !g);
		}
	}
	graph_store_clear(&s, ggml());
	for (size_t i = 0; i < GRAPHS_KEPT; i++)
		assert_true(!s.by_res[i] && !s.by_key[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_of_many_splits_finds_them_all, start, end),
		cmocka_unit_test_setup_teardown(what_was_not_used_for_longest_goes_first, start, end),
		cmocka_unit_test_setup_teardown(what_is_kept_is_bounded_in_bytes, start, end),
		cmocka_unit_test_setup_teardown(a_graph_goes_with_its_buffers_and_no_others, start, end),
		cmocka_unit_test(other_bytes_have_another_key),
		cmocka_unit_test(the_next_graph_lies_in_the_spare_memory_where_it_fits),
		cmocka_unit_test_setup_teardown(a_blob_holds_the_graph_that_was_placed_there_last, start, end),
		cmocka_unit_test_setup_teardown(any_order_of_adding_placing_and_leaving_is_right, start, end),
		cmocka_unit_test_setup_teardown(one_of_many_buffers_goes_with_each_of_them_and_no_other, start, end),
		cmocka_unit_test_setup_teardown(one_that_is_being_made_is_left_alone, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
