/* SPDX-License-Identifier: MIT */
/* Buffers on a blob's memory: what a guest gave up lives on under them, but not without bound. */
#include "tests/support/cm.h"

#include "tests/protocol/fixture.h"

#define SIZE (UINT64_C(1) << 20)

/* The code; the buffer's handle where it is 0. */
static int64_t buffer_on(uint32_t res, uint64_t *handle)
{
	int64_t code;

	args_start(&g);
	arg_u32(&g, res);
	arg_u64(&g, SIZE);
	arg_u64(&g, SIZE);
	code = forward(&g, APIR_FN_DEVICE_BUFFER_FROM_PTR);
	if (code == 0)
		assert_true(cursor_read_u64(&g.answer, handle));
	return code;
}

static void a_buffer_outlives_its_blob(void **state)
{
	struct apir_tensor t;
	struct guest_blob b;
	uint64_t handle;

	(void)state;
	assert_true(guest_blob_make(&g, SIZE, &b));
	b.ptr[5] = 42;
	assert_int_equal(buffer_on(b.res, &handle), 0);
	guest_blob_drop(&g, &b);
	t = tensor_f32(1, handle, 0, 64, 1);
	assert_int_equal(tensor_get(&g, handle, &t, 0, 256), 0);
	assert_int_equal(g.data.ptr[5], 42);
	assert_int_equal(buffer_free(&g, handle), 0);
}

static void no_memory_is_collected_that_the_quota_does_not_count(void **state)
{
	uint64_t handle, first = 0;
	struct guest_blob b;
	int made = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		int64_t code;

		assert_true(guest_blob_make(&g, SIZE, &b));
		code = buffer_on(b.res, &handle);
		assert_true(code == 0 || code == REFUSED);
		if (code == 0 && !made++)
			first = handle;
		guest_blob_drop(&g, &b);
	}
	assert_int_equal(made, 1);
	/* Once it is freed it goes on. */
	assert_int_equal(buffer_free(&g, first), 0);
	assert_true(guest_blob_make(&g, SIZE, &b));
	assert_int_equal(buffer_on(b.res, &handle), 0);
	assert_int_equal(buffer_free(&g, handle), 0);
	guest_blob_drop(&g, &b);
	assert_true(guest_computes(&g));
}

/* The number is the guest's to choose. */
static void a_blob_of_the_same_number_is_another(void **state)
{
	const uint32_t res = 77777;
	uint64_t handle, other;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(apir_blob_create(h->apir, res, SIZE), 0);
		assert_int_equal(apir_blob_attach(h->apir, g.ctx, res), 0);
		assert_int_equal(buffer_on(res, i ? &other : &handle), i ? REFUSED : 0);
		assert_int_equal(apir_blob_unref(h->apir, res), 0);
	}
	assert_int_equal(buffer_free(&g, handle), 0);
}

static void buffers_on_blobs_that_are_there_are_not_limited(void **state)
{
	enum { N = 40 };
	struct guest_blob blobs[N], other;
	uint64_t handles[N];

	(void)state;
	for (int i = 0; i < N; i++) {
		assert_true(guest_blob_make(&g, SIZE, &blobs[i]));
		assert_int_equal(buffer_on(blobs[i].res, &handles[i]), 0);
		assert_true(guest_blob_make(&g, SIZE, &other)); /* one without a buffer comes and goes */
		guest_blob_drop(&g, &other);
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(buffer_free(&g, handles[i]), 0);
		guest_blob_drop(&g, &blobs[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_outlives_its_blob),
		cmocka_unit_test(no_memory_is_collected_that_the_quota_does_not_count),
		cmocka_unit_test(a_blob_of_the_same_number_is_another),
		cmocka_unit_test(buffers_on_blobs_that_are_there_are_not_limited),
	};

	return cmocka_run_group_tests(tests, open_ready, close_all);
}
