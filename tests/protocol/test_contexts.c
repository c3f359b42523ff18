/* SPDX-License-Identifier: MIT */
/* Two contexts at once: neither sees what the other has, and neither suffers from what the other does. */
#include "tests/support/cm.h"

#include <signal.h>
#include <string.h>

#include "tests/protocol/harness.h"
#include "tests/support/ggml.h"
#include "tests/support/process.h"

static struct host *h;
static struct guest a, b;
static pid_t worker_a;

static int open_both(void **state)
{
	(void)state;
	h = host_open(NULL, HOST_GGML);
	if (!h || !guest_open(&a, h, 1) || !guest_ready(&a))
		return -1;
	worker_a = host_worker(h);
	return guest_open(&b, h, 2) && guest_ready(&b) ? 0 : -1;
}

static int close_both(void **state)
{
	(void)state;
	guest_close(&a);
	guest_close(&b);
	host_close(h);
	return 0;
}

static void each_has_its_own_worker(void **state)
{
	(void)state;
	assert_true(worker_a > 0 && host_worker(h) > 0 && worker_a != host_worker(h));
}

/* The tables of both count alike, so the numbers are the same; what they name is not. */
static void equal_handles_name_different_memory(void **state)
{
	struct apir_tensor ta = tensor_f32(1, a.buffer, 0, 64, 1), tb = tensor_f32(1, b.buffer, 0, 64, 1);

	(void)state;
	assert_true(a.buffer == b.buffer);
	memset(a.data.ptr, 0xaa, 256);
	assert_int_equal(tensor_set(&a, a.buffer, &ta, 0, 256), 0);
	memset(b.data.ptr, 0xbb, 256);
	assert_int_equal(tensor_set(&b, b.buffer, &tb, 0, 256), 0);
	memset(a.data.ptr, 0, 256);
	assert_int_equal(tensor_get(&a, a.buffer, &ta, 0, 256), 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(a.data.ptr[i], 0xaa);
}

static void freeing_in_one_leaves_the_others(void **state)
{
	(void)state;
	assert_int_equal(buffer_free(&a, a.buffer), 0);
	assert_int_equal(buffer_free(&a, a.buffer), REFUSED);
	assert_true(guest_computes(&b));
	a.buffer = buffer_alloc(&a, GUEST_BUFFER);
	assert_true(guest_computes(&a));
}

static void a_handle_that_only_the_other_has_is_refused(void **state)
{
	struct apir_tensor t;
	uint64_t only_b = 0;
	struct wire_graph w = graph_add(&a);

	(void)state;
	for (int i = 0; i < 3; i++)
		only_b = buffer_alloc(&b, 4096);
	t = tensor_f32(1, only_b, 0, 8, 1);
	assert_int_equal(tensor_get(&b, only_b, &t, 0, 32), 0);
	assert_int_equal(tensor_get(&a, only_b, &t, 0, 32), REFUSED);
	assert_int_equal(tensor_set(&a, a.buffer, &t, 0, 32), REFUSED);
	w.tensors[0].buffer = only_b;
	assert_int_equal(graph_try(&a, &w), REFUSED);
	assert_int_equal(buffer_free(&a, only_b), REFUSED);
	assert_int_equal(tensor_get(&b, only_b, &t, 0, 32), 0);
}

static void the_others_blobs_are_unknown(void **state)
{
	struct wire_graph w = graph_add(&a);
	size_t n = graph_put(&b, &w);
	int32_t status;

	(void)state;
	assert_int_equal(graph_run(&a, b.data.res, n, &status), REFUSED);
}

/* Ops whose sources are missing, shapes that make no sense: if that costs a worker, it costs only that one.
 */
static void the_worst_graph_costs_only_its_own_context(void **state)
{
	static const char *const ops[] = { "MUL_MAT", "SOFT_MAX_BACK", "FLASH_ATTN_EXT", "SSM_SCAN", "ROPE",
		"SET_ROWS" };

	(void)state;
	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
		struct guest c;

		assert_true(guest_open(&c, h, 3) && guest_ready(&c));
		for (int n_src = 0; n_src < 4; n_src++) {
			struct wire_graph w = graph_add(&c);
			int64_t code;

			w.tensors[2].op = (uint32_t)ggml_op(ops[i]);
			w.tensors[2].src[0] = n_src > 0;
			w.tensors[2].src[1] = n_src > 1 ? 2 : 0;
			w.tensors[2].src[2] = n_src > 2 ? 1 : 0;
			code = graph_try(&c, &w);
			if (code == LOST)
				break;
		}
		guest_close(&c);
		h->n_lost = 0;
		assert_true(guest_computes(&a));
		assert_true(guest_computes(&b));
	}
}

static void a_killed_worker_leaves_the_other_context_computing(void **state)
{
	(void)state;
	kill(worker_a, SIGKILL);
	assert_true(host_loses(h, 1));
	args_start(&a);
	assert_int_equal(forward(&a, 0), LOST);
	for (int i = 0; i < 10; i++)
		assert_true(guest_computes(&b));
	guest_close(&a);
	h->n_lost = 0;
	assert_true(guest_open(&a, h, 1) && guest_ready(&a)); /* the same id again */
	assert_true(guest_computes(&a));
}

static void contexts_come_and_go(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		guest_close(&a);
		assert_true(guest_open(&a, h, 1) && guest_ready(&a));
		assert_true(guest_computes(&a) && guest_computes(&b));
	}
	assert_int_equal(h->n_lost, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_has_its_own_worker),
		TEST(equal_handles_name_different_memory),
		TEST(freeing_in_one_leaves_the_others),
		TEST(a_handle_that_only_the_other_has_is_refused),
		TEST(the_others_blobs_are_unknown),
		TEST(the_worst_graph_costs_only_its_own_context),
		TEST(a_killed_worker_leaves_the_other_context_computing),
		TEST(contexts_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
