/* SPDX-License-Identifier: MIT */
/*
 * What a hostile guest says of a tensor's memory: what the library would clear behind it must be its own, too. The library
 * is support/wrap_ggml.c's strict one, which clears 32 bytes behind a quantised tensor.
 */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>

#include "ggml-abi/abi.h"
#include "tests/protocol/fixture.h"
#include "tests/support/ggml.h"
#include "tests/support/process.h"

#define BLOCK 34u /* bytes of 32 elements of q8_0 */
#define USAGE (ABI_USAGE_WEIGHTS + 1u)

static pid_t worker;

static int open_strict(void **state)
{
	(void)state;
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", test_path("TEST_WRAP"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "wrap_strict", 1);
	h = host_open(NULL, HOST_BACKEND);
	if (!h || !guest_open(&g, h, 1) || !guest_ready(&g))
		return -1;
	worker = host_worker(h);
	return 0;
}

static void hello(uint64_t features)
{
	args_start(&g);
	arg_u32(&g, APIR_HELLO_VERSION);
	arg_u64(&g, features);
	assert_int_equal(forward(&g, APIR_FN_HELLO), 0);
}

/* y = W x, where W is 32 by 4 of q8_0 and ends `behind` bytes before the buffer does. */
static struct wire_graph product(uint32_t memory, uint64_t behind)
{
	struct wire_graph w = { .n_nodes = 1, .n_tensors = 3, .nodes = { 3 } };

	w.tensors[0] = tensor_f32(1, g.buffer, GUEST_BUFFER - behind - (uint64_t)4 * BLOCK, 32, 4);
	w.tensors[0].type = (uint32_t)ggml_type("q8_0");
	w.tensors[0].nb[0] = BLOCK;
	w.tensors[0].nb[1] = BLOCK;
	w.tensors[0].nb[2] = w.tensors[0].nb[3] = 4 * BLOCK;
	w.tensors[1] = tensor_f32(2, g.buffer, 0, 32, 1);
	w.tensors[2] = tensor_f32(3, g.buffer, 1024, 4, 1);
	w.tensors[2].op = (uint32_t)ggml_op("MUL_MAT");
	w.tensors[2].src[0] = 1;
	w.tensors[2].src[1] = 2;
	for (int i = 0; i < 3; i++)
		w.tensors[i].memory = i ? USAGE : memory;
	return w;
}

static int64_t product_try(uint32_t memory, uint64_t behind)
{
	struct wire_graph w = product(memory, behind);

	return graph_try(&g, &w);
}

static void what_would_be_cleared_beyond_the_buffer_is_refused(void **state)
{
	(void)state;
	hello(APIR_FEATURE_MEMORY);
	for (uint64_t behind = 0; behind < 32; behind++)
		assert_int_equal(product_try(USAGE, behind), REFUSED);
	assert_int_equal(product_try(USAGE, 32), 0);
	/* A part is never cleared behind, and this library computes with none such. */
	assert_int_equal(product_try(USAGE | APIR_MEMORY_PART, 0), 1000 + ABI_STATUS_FAILED);
	assert_int_equal(host_worker(h), worker);
}

static void memory_for_an_unknown_use_is_refused(void **state)
{
	static const uint32_t wrong[] = { 4, 0xff, 0x200, 0x80000000, 0xffffffff };

	(void)state;
	hello(APIR_FEATURE_MEMORY);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(product_try(wrong[i], 64), REFUSED);
	assert_int_equal(product_try(0, 64), 0); /* not told */
	assert_int_equal(host_worker(h), worker);
}

/* What upstream's compiler leaves in its padding means nothing. */
static void a_plain_guests_padding_is_not_read(void **state)
{
	(void)state;
	hello(0);
	assert_int_equal(product_try(0xffffffff, 0), 1000 + ABI_STATUS_FAILED);
	assert_int_equal(host_worker(h), worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_would_be_cleared_beyond_the_buffer_is_refused),
		cmocka_unit_test(memory_for_an_unknown_use_is_refused),
		cmocka_unit_test(a_plain_guests_padding_is_not_read),
	};

	return cmocka_run_group_tests(tests, open_strict, close_all);
}
