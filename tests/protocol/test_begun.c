/* SPDX-License-Identifier: MIT */
/*
 * ASYNC: a computation is answered when it has begun, and the answer to whatever is asked for then says that it is over,
 * whatever that answer is. The library is support/wrap_ggml.c's lazy one, which computes when it is waited for, and says so.
 */
#include "tests/support/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/protocol/fixture.h"
#include "tests/support/capture.h"
#include "tests/support/process.h"

static struct capture capture;
static unsigned begun;

static int open_lazy(void **state)
{
	(void)state;
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", test_path("TEST_WRAP"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "wrap_lazy", 1);
	capture_begin(&capture);
	h = host_open(NULL, HOST_BACKEND);
	return h && guest_open(&g, h, 1) && guest_ready(&g) ? 0 : -1;
}

static int close_lazy(void **state)
{
	char *text = capture_end(&capture);

	fputs(text, stderr);
	free(text);
	return close_all(state);
}

static void hello(uint64_t features)
{
	args_start(&g);
	arg_u32(&g, APIR_HELLO_VERSION);
	arg_u64(&g, features);
	assert_int_equal(forward(&g, APIR_FN_HELLO), 0);
}

/* Begins c = a + b, in that buffer, each time another graph. */
static void begin(uint64_t buffer)
{
	struct wire_graph w = graph_add(&g);

	for (int i = 0; i < 3; i++)
		w.tensors[i].buffer = buffer;
	snprintf(w.tensors[2].name, sizeof w.tensors[2].name, "told %u.", ++begun);
	assert_int_equal(graph_try(&g, &w), 0);
}

static bool is_over(void)
{
	char path[64], wanted[64], *text;
	bool is;

	snprintf(path, sizeof path, "/proc/self/fd/%d", capture.file);
	snprintf(wanted, sizeof wanted, "computed 'told %u.'", begun);
	text = file_text(path);
	assert_non_null(text);
	is = strstr(text, wanted) != NULL;
	free(text);
	return is;
}

static int64_t synchronize(void)
{
	args_start(&g);
	return forward(&g, APIR_FN_SYNCHRONIZE);
}

static int64_t memory(void)
{
	args_start(&g);
	return forward(&g, APIR_FN_DEVICE_MEMORY);
}

static int64_t write_nothing(void)
{
	args_start(&g);
	return forward(&g, APIR_FN_WRITE);
}

static int64_t get(uint64_t offset, uint64_t size)
{
	const struct apir_tensor t = tensor_f32(1, g.buffer, 512, 8, 1);

	return tensor_get(&g, g.buffer, &t, offset, size);
}

static int64_t get_some(void)
{
	return get(0, 32);
}

static int64_t get_nothing(void)
{
	return get(0, 0);
}

static int64_t get_beyond(void)
{
	return get(0, 33) == REFUSED ? 0 : -1;
}

static int64_t get_at(uint64_t offset)
{
	const struct apir_tensor t = tensor_f32(1, g.buffer, 512, 8, 1);

	args_start(&g);
	arg_u64(&g, g.buffer);
	arg_bytes(&g, &t, sizeof t);
	arg_u32(&g, g.data.res);
	arg_u64(&g, 4096);
	arg_u64(&g, offset);
	arg_u64(&g, 32);
	return forward(&g, APIR_FN_GET_TENSOR_AT);
}

static int64_t get_elsewhere(void)
{
	return get_at(0);
}

static int64_t get_elsewhere_beyond(void)
{
	return get_at(1) == REFUSED ? 0 : -1;
}

static int64_t get_without_arguments(void)
{
	args_start(&g);
	return forward(&g, APIR_FN_BUFFER_GET_TENSOR) == REFUSED ? 0 : -1;
}

static void whatever_is_answered_then_says_that_it_is_over(void **state)
{
	int64_t (*const questions[])(void) = { synchronize, memory, write_nothing, get_some, get_nothing, get_beyond,
		get_elsewhere, get_elsewhere_beyond, get_without_arguments };

	(void)state;
	hello(APIR_FEATURE_ASYNC);
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
		begin(g.buffer);
		assert_false(is_over());
		assert_int_equal(questions[i](), 0);
		assert_true(is_over());
	}
}

static void another_graph_may_begin_behind_it(void **state)
{
	uint64_t size;
	int32_t status;

	(void)state;
	hello(APIR_FEATURE_ASYNC);
	begin(g.buffer);
	size = 3 * sizeof(struct apir_tensor) + 4 + 8 + 4;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(graph_run(&g, g.data.res, size, &status), 0);
		assert_int_equal(status, 0);
		assert_false(is_over());
	}
	begin(g.buffer); /* a new one doesn't */
	begun--;
	assert_true(is_over());
	begun++;
	assert_false(is_over());
	assert_int_equal(synchronize(), 0);
	assert_true(is_over());
}

static void who_has_not_agreed_to_it_is_answered_when_it_is_over(void **state)
{
	(void)state;
	hello(0);
	begin(g.buffer);
	assert_true(is_over());
}

/* Which the device can't be asked for asynchronously. */
static void a_buffer_on_a_blob_is_read_when_it_is_over(void **state)
{
	struct apir_tensor t;
	struct guest_blob b;
	uint64_t handle;
	float v[8];

	(void)state;
	hello(APIR_FEATURE_ASYNC);
	assert_true(guest_blob_make(&g, APIR_BLOB_GRANULE, &b));
	args_start(&g);
	arg_u32(&g, b.res);
	arg_u64(&g, APIR_BLOB_GRANULE);
	arg_u64(&g, APIR_BLOB_GRANULE);
	assert_int_equal(forward(&g, APIR_FN_DEVICE_BUFFER_FROM_PTR), 0);
	assert_true(cursor_read_u64(&g.answer, &handle));
	for (int i = 0; i < 8; i++)
		v[i] = (float)i;
	memcpy(b.ptr, v, sizeof v);
	memcpy(b.ptr + 64, v, sizeof v);
	begin(handle);
	t = tensor_f32(3, handle, 128, 8, 1);
	assert_int_equal(tensor_get(&g, handle, &t, 0, sizeof v), 0);
	memcpy(v, g.data.ptr, sizeof v);
	for (int i = 0; i < 8; i++)
		assert_true(v[i] == 2 * (float)i);
	assert_int_equal(buffer_free(&g, handle), 0);
	guest_blob_drop(&g, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_answered_then_says_that_it_is_over),
		cmocka_unit_test(another_graph_may_begin_behind_it),
		cmocka_unit_test(who_has_not_agreed_to_it_is_answered_when_it_is_over),
		cmocka_unit_test(a_buffer_on_a_blob_is_read_when_it_is_over),
	};

	return cmocka_run_group_tests(tests, open_lazy, close_lazy);
}
