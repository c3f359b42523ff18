/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include <errno.h>

#include "proto/idmap.h"

static void an_empty_map_finds_nothing(void **state)
{
	struct idmap m = { 0 };
	uint32_t v;

	(void)state;
	assert_false(idmap_find(&m, 0, &v));
	assert_false(idmap_find(&m, 1, &v));
	assert_int_equal(idmap_reset(&m, 0), 0);
	assert_false(idmap_find(&m, 0, &v));
	assert_false(idmap_find(&m, UINT64_MAX, &v));
	idmap_fini(&m);
}

static void too_many_ids_are_refused(void **state)
{
	struct idmap m = { 0 };
	uint32_t v;

	(void)state;
	assert_int_equal(idmap_reset(&m, UINT32_MAX), -ENOMEM);
	assert_int_equal(idmap_reset(&m, (UINT32_C(1) << 29) + 1), -ENOMEM);
	assert_false(idmap_find(&m, 1, &v));
	idmap_fini(&m);
}

static void a_second_value_for_an_id_does_not_replace_the_first(void **state)
{
	struct idmap m = { 0 };
	uint32_t v;

	(void)state;
	assert_int_equal(idmap_reset(&m, 2), 0);
	assert_int_equal(idmap_add(&m, 7, 1), 1);
	assert_int_equal(idmap_add(&m, 7, 2), 1);
	assert_true(idmap_find(&m, 7, &v));
	assert_int_equal(v, 1);
	assert_int_equal(m.n_used, 1);
	idmap_fini(&m);
}

static void a_value_that_is_set_replaces_the_one_before(void **state)
{
	struct idmap m = { 0 };
	uint32_t v;

	(void)state;
	assert_int_equal(idmap_reset(&m, 2), 0);
	idmap_set(&m, 7, 1);
	assert_int_equal(m.n_used, 1);
	idmap_set(&m, 7, 2);
	assert_int_equal(m.n_used, 1);
	assert_true(idmap_find(&m, 7, &v));
	assert_int_equal(v, 2);
	idmap_fini(&m);
}

static void a_reset_map_has_forgotten_everything(void **state)
{
	struct idmap m = { 0 };
	uint32_t v;

	(void)state;
	for (uint32_t round = 0; round < 100; round++) {
		assert_int_equal(idmap_reset(&m, 32), 0);
		for (uint64_t id = 0; id < 32; id++)
			assert_false(idmap_find(&m, id, &v));
		for (uint32_t id = 0; id < 32; id++)
			assert_int_equal(idmap_add(&m, id, id + round), id + round);
	}
	m.epoch = UINT32_MAX; /* and when the epochs start anew */
	assert_int_equal(idmap_reset(&m, 32), 0);
	assert_int_equal(m.epoch, 1);
	assert_false(idmap_find(&m, 5, &v));
	idmap_fini(&m);
}

static void every_id_is_found_with_its_value(void **state)
{
	struct idmap m = { 0 };
	uint32_t n = 100000, v;

	(void)state;
	assert_int_equal(idmap_reset(&m, n), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(idmap_add(&m, (uint64_t)i * 4096, i), i); /* as addresses come */
	for (uint32_t i = 0; i < n; i++) {
		assert_true(idmap_find(&m, (uint64_t)i * 4096, &v));
		assert_int_equal(v, i);
		assert_false(idmap_find(&m, (uint64_t)i * 4096 + 1, &v));
	}
	assert_true(m.n_entries >= 2 * m.n_used);
	idmap_fini(&m);
}

static void maps_are_seeded_apart(void **state)
{
	struct idmap a = { 0 }, b = { 0 };

	(void)state;
	assert_int_equal(idmap_reset(&a, 1), 0);
	assert_int_equal(idmap_reset(&b, 1), 0);
	assert_true(a.seed != 0 && b.seed != 0 && a.seed != b.seed);
	idmap_fini(&a);
	idmap_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_finds_nothing),
		cmocka_unit_test(too_many_ids_are_refused),
		cmocka_unit_test(a_second_value_for_an_id_does_not_replace_the_first),
		cmocka_unit_test(a_value_that_is_set_replaces_the_one_before),
		cmocka_unit_test(a_reset_map_has_forgotten_everything),
		cmocka_unit_test(every_id_is_found_with_its_value),
		cmocka_unit_test(maps_are_seeded_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
