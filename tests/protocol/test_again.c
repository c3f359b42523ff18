/* SPDX-License-Identifier: MIT */
/* GRAPH_AGAIN: a graph that lies in its blob as it did is computed without being looked at; what isn't known is looked at. */
#include "tests/support/cm.h"

#include <string.h>

#include "tests/protocol/fixture.h"
#include "tests/support/ggml.h"

#define N 8

static struct guest_blob place; /* of the graph */
static uint64_t size;           /* of its bytes */

static int open_with_place(void **state)
{
	return open_ready(state) || !guest_blob_make(&g, APIR_BLOB_GRANULE, &place) ? -1 : 0;
}

/* c = a op b, in that buffer, into the blob. */
static void put(const char *op, uint64_t buffer)
{
	const struct guest_blob data = g.data;
	struct wire_graph w = graph_add(&g);

	w.tensors[2].op = (uint32_t)ggml_op(op);
	for (int i = 0; i < 3; i++)
		w.tensors[i].buffer = buffer;
	g.data = place;
	size = graph_put(&g, &w);
	g.data = data;
}

static void set(uint64_t buffer, uint64_t at, float first, float step)
{
	const struct apir_tensor t = tensor_f32(1, buffer, at, N, 1);
	float v[N];

	for (int i = 0; i < N; i++)
		v[i] = first + step * (float)i;
	memcpy(g.data.ptr, v, sizeof v);
	assert_int_equal(tensor_set(&g, buffer, &t, 0, sizeof v), 0);
}

/* Computes what is in the blob, by that function; the code. */
static int64_t compute(uint32_t fn)
{
	int32_t status = -1;
	int64_t code;

	args_start(&g);
	arg_u32(&g, place.res);
	arg_u64(&g, size);
	code = forward(&g, fn);
	if (code == 0) {
		assert_true(cursor_read_i32(&g.answer, &status));
		assert_int_equal(status, 0);
	}
	return code;
}

/* a = base + i, b = 2 i: whether the result of that function is a op b. */
#define assert_computes(fn, op, buffer, base)                                                                          \
	do {                                                                                                           \
		const struct apir_tensor c_ = tensor_f32(3, buffer, 128, N, 1);                                        \
		float v_[N];                                                                                           \
                                                                                                                       \
		set(buffer, 0, base, 1);                                                                               \
		set(buffer, 64, 0, 2);                                                                                 \
		set(buffer, 128, -1, 0);                                                                               \
		assert_int_equal(compute(fn), 0);                                                                      \
		assert_int_equal(tensor_get(&g, buffer, &c_, 0, sizeof v_), 0);                                        \
		memcpy(v_, g.data.ptr, sizeof v_);                                                                     \
		for (int i_ = 0; i_ < N; i_++)                                                                         \
			assert_true(v_[i_] == ((base) + (float)i_) op(2 * (float)i_));                                 \
	} while (0)

static void what_the_blob_held_is_computed_again_with_new_inputs(void **state)
{
	(void)state;
	put("ADD", g.buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, +, g.buffer, 1);
	for (int i = 0; i < 20; i++)
		assert_computes(APIR_FN_GRAPH_AGAIN, +, g.buffer, (float)i);
}

static void what_was_never_computed_is_looked_at(void **state)
{
	(void)state;
	put("ADD", g.buffer);
	assert_computes(APIR_FN_GRAPH_AGAIN, +, g.buffer, 1);
	memset(place.ptr, 0xff, 64);
	size += 8; /* nothing of that size is known */
	assert_int_equal(compute(APIR_FN_GRAPH_AGAIN), REFUSED);
}

static void it_is_the_last_that_the_blob_held(void **state)
{
	(void)state;
	put("ADD", g.buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, +, g.buffer, 1);
	put("SUB", g.buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, -, g.buffer, 1);
	assert_computes(APIR_FN_GRAPH_AGAIN, -, g.buffer, 2);
	put("ADD", g.buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, +, g.buffer, 3); /* which is known, and found by its bytes */
	assert_computes(APIR_FN_GRAPH_AGAIN, +, g.buffer, 4);
}

static void with_its_buffer_it_is_gone(void **state)
{
	uint64_t buffer = buffer_alloc(&g, 4096);

	(void)state;
	put("ADD", buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, +, buffer, 1);
	assert_int_equal(buffer_free(&g, buffer), 0);
	assert_int_equal(compute(APIR_FN_GRAPH_AGAIN), REFUSED);
	buffer = buffer_alloc(&g, 4096); /* may well lie where the other did */
	assert_int_equal(compute(APIR_FN_GRAPH_AGAIN), REFUSED);
	put("ADD", buffer);
	assert_computes(APIR_FN_GRAPH_AGAIN, +, buffer, 2);
}

/* It was checked when it came. */
static void who_changes_it_without_a_word_computes_what_it_was(void **state)
{
	(void)state;
	put("ADD", g.buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, +, g.buffer, 1);
	memset(place.ptr, 0xff, size);
	assert_computes(APIR_FN_GRAPH_AGAIN, +, g.buffer, 2);
	assert_int_equal(compute(APIR_FN_GRAPH_COMPUTE), REFUSED);
	assert_true(guest_computes(&g));
}

static void an_unknown_blob_is_refused(void **state)
{
	(void)state;
	put("ADD", g.buffer);
	assert_computes(APIR_FN_GRAPH_COMPUTE, +, g.buffer, 1);
	guest_blob_drop(&g, &place);
	assert_int_equal(compute(APIR_FN_GRAPH_AGAIN), REFUSED);
	assert_true(guest_computes(&g));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_with_place, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_blob_held_is_computed_again_with_new_inputs),
		TEST(what_was_never_computed_is_looked_at),
		TEST(it_is_the_last_that_the_blob_held),
		TEST(with_its_buffer_it_is_gone),
		TEST(who_changes_it_without_a_word_computes_what_it_was),
		TEST(an_unknown_blob_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
