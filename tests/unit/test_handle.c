/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include "proto/handle.h"

enum { APPLE = 1, PEAR = 2 };

static int objects[2000];

static void nothing_resolves_in_an_empty_table(void **state)
{
	struct handle_table t;
	uint32_t pos = 0;

	(void)state;
	handle_table_init(&t, 16);
	assert_null(handle_get(&t, 0, APPLE));
	assert_null(handle_get(&t, 1, APPLE));
	assert_null(handle_get(&t, UINT64_MAX, APPLE));
	assert_null(handle_remove(&t, UINT64_C(0x100000001), APPLE));
	assert_null(handle_next(&t, APPLE, &pos));
	handle_table_fini(&t);
}

static void a_stale_handle_is_refused_for_good(void **state)
{
	struct handle_table t;
	uint64_t old, now;

	(void)state;
	handle_table_init(&t, 16);
	old = handle_add(&t, APPLE, &objects[0]);
	assert_ptr_equal(handle_remove(&t, old, APPLE), &objects[0]);
	assert_null(handle_get(&t, old, APPLE));
	assert_null(handle_remove(&t, old, APPLE));
	for (int i = 0; i < 1000; i++) { /* the same slot again and again */
		now = handle_add(&t, APPLE, &objects[1]);
		assert_true(now != old);
		assert_null(handle_get(&t, old, APPLE));
		assert_null(handle_remove(&t, old, APPLE));
		assert_ptr_equal(handle_remove(&t, now, APPLE), &objects[1]);
	}
	handle_table_fini(&t);
}

static void another_type_is_refused(void **state)
{
	struct handle_table t;
	uint64_t apple, pear;

	(void)state;
	handle_table_init(&t, 16);
	apple = handle_add(&t, APPLE, &objects[0]);
	pear = handle_add(&t, PEAR, &objects[1]);
	assert_null(handle_get(&t, apple, PEAR));
	assert_null(handle_get(&t, pear, APPLE));
	assert_null(handle_remove(&t, apple, PEAR));
	/* nor with the type forged into the handle */
	assert_null(handle_get(&t, apple ^ (uint64_t)(APPLE ^ PEAR) << 24, PEAR));
	assert_ptr_equal(handle_get(&t, apple, APPLE), &objects[0]);
	handle_table_fini(&t);
}

static void forged_handles_are_refused(void **state)
{
	struct handle_table t;
	uint64_t h;

	(void)state;
	handle_table_init(&t, 16);
	h = handle_add(&t, APPLE, &objects[0]);
	for (unsigned bit = 0; bit < 64; bit++)
		assert_null(handle_get(&t, h ^ UINT64_C(1) << bit, APPLE));
	handle_table_fini(&t);
}

static void a_full_table_gives_no_handle(void **state)
{
	struct handle_table t;
	uint64_t handles[1000];

	(void)state;
	handle_table_init(&t, 1000);
	for (size_t i = 0; i < 1000; i++) {
		handles[i] = handle_add(&t, APPLE, &objects[i]);
		assert_true(handles[i] != 0);
	}
	assert_true(handle_add(&t, APPLE, &objects[0]) == 0);
	assert_int_equal(t.n_used, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_ptr_equal(handle_get(&t, handles[i], APPLE), &objects[i]);
	assert_ptr_equal(handle_remove(&t, handles[500], APPLE), &objects[500]);
	assert_true(handle_add(&t, PEAR, &objects[0]) != 0);
	assert_true(handle_add(&t, APPLE, &objects[0]) == 0);
	handle_table_fini(&t);
}

static void walking_finds_each_object_of_the_type_once(void **state)
{
	struct handle_table t;
	uint32_t pos = 0;
	size_t apples = 0;
	const int *o;

	(void)state;
	handle_table_init(&t, 2000);
	for (size_t i = 0; i < 300; i++)
		assert_true(handle_add(&t, i % 3 ? APPLE : PEAR, &objects[i]) != 0);
	while ((o = handle_next(&t, APPLE, &pos))) {
		assert_true((o - objects) % 3 != 0);
		apples++;
	}
	assert_int_equal(apples, 200);
	handle_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_resolves_in_an_empty_table),
		cmocka_unit_test(a_stale_handle_is_refused_for_good),
		cmocka_unit_test(another_type_is_refused),
		cmocka_unit_test(forged_handles_are_refused),
		cmocka_unit_test(a_full_table_gives_no_handle),
		cmocka_unit_test(walking_finds_each_object_of_the_type_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
