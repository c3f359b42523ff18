/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include <stdbool.h>

#include "guest/transport/transport.h"
#include "proto/apir_wire.h"

struct host_offers {
	bool venus, apir;
	int asked;
};

static int offers(void *user, uint32_t id)
{
	struct host_offers *o = user;

	o->asked++;
	return (id == APIR_CAPSET_VENUS && o->venus) || (id == APIR_CAPSET_APIR && o->apir);
}

static uint32_t choose(int use_apir, bool venus, bool apir)
{
	struct host_offers o = { venus, apir, 0 };
	uint32_t id = transport_choose_capset(use_apir, offers, &o);

	assert_true(o.asked >= 1);
	return id;
}

static void where_nothing_is_offered_none_is_chosen(void **state)
{
	(void)state;
	assert_int_equal(choose(0, false, false), 0);
	assert_int_equal(choose(1, false, false), 0);
}

static void the_variable_never_ends_with_venus(void **state)
{
	(void)state;
	assert_int_equal(choose(1, true, false), 0);
	assert_int_equal(choose(1, true, true), APIR_CAPSET_APIR);
	assert_int_equal(choose(1, false, true), APIR_CAPSET_APIR);
}

static void without_it_venus_comes_first_and_apir_where_it_is_alone(void **state)
{
	(void)state;
	assert_int_equal(choose(0, true, true), APIR_CAPSET_VENUS);
	assert_int_equal(choose(0, true, false), APIR_CAPSET_VENUS);
	assert_int_equal(choose(0, false, true), APIR_CAPSET_APIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_nothing_is_offered_none_is_chosen),
		cmocka_unit_test(the_variable_never_ends_with_venus),
		cmocka_unit_test(without_it_venus_comes_first_and_apir_where_it_is_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
