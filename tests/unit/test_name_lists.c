/* SPDX-License-Identifier: MIT */
/* Lists of names on the wire, and the maps that are made from two of them. */
#include <string.h>

#include "ggml-abi/names.h"
#include "tests/support/cm.h"

static struct abi_names canonical, other;
static uint8_t bytes[65536];

static void number_goes(const struct abi_numbers *m, enum abi_list list, int32_t from, int32_t to)
{
	assert_int_equal(abi_number(m, list, from), to);
}

static void a_truncated_list_is_refused(void **state)
{
	struct cursor c = cursor_over(bytes, sizeof bytes);
	size_t size;

	(void)state;
	assert_true(abi_names_write(&c, &canonical));
	size = c.pos;
	for (size_t n = 0; n < size; n++) {
		c = cursor_over(bytes, n);
		assert_false(abi_names_read(&c, &other));
	}
	c = cursor_over(bytes, size);
	assert_true(abi_names_read(&c, &other));
	assert_memory_equal(&other, &canonical, sizeof other);
}

static void a_list_that_does_not_fit_is_not_written(void **state)
{
	struct cursor c = cursor_over(bytes, 1000);

	(void)state;
	assert_false(abi_names_write(&c, &canonical));
}

/* A later version may have more than we keep, and longer names. */
static void a_longer_list_is_read_and_what_is_beyond_left_out(void **state)
{
	struct cursor c = cursor_over(bytes, sizeof bytes);
	struct abi_numbers m;

	(void)state;
	for (int list = 0; list < ABI_LISTS; list++) {
		assert_true(cursor_write_u32(&c, 300));
		for (int i = 0; i < 300; i++) {
			assert_true(cursor_write_string(&c, i == 5     ? "a name that is longer than any that ggml has"
							    : i == 127 ? "ADD"
							    : i == 128 ? "MUL"
								       : ""));
			assert_true(list != ABI_TYPES || (cursor_write_u32(&c, 1) && cursor_write_u32(&c, 1)));
		}
	}
	c = cursor_over(bytes, c.pos);
	assert_true(abi_names_read(&c, &other));
	abi_numbers_map(&m, &canonical, &other);
	number_goes(&m, ABI_OPS, 2, 127);
	number_goes(&m, ABI_OPS, 7, -1);
	number_goes(&m, ABI_OPS, 5, -1);
}

static void numbers_out_of_range_go_nowhere(void **state)
{
	const int32_t numbers[] = { INT32_MIN, -1, 101, ABI_NAMES - 1, ABI_NAMES, INT32_MAX };
	struct abi_numbers m;

	(void)state;
	abi_numbers_map(&m, &canonical, &canonical);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		for (int list = 0; list < ABI_LISTS; list++)
			number_goes(&m, (enum abi_list)list, numbers[i], -1);
	}
}

static void every_number_goes_to_its_name(void **state)
{
	struct abi_numbers m;

	(void)state;
	other = canonical;
	for (int list = 0; list < ABI_LISTS; list++) { /* the whole list backwards */
		for (uint32_t i = 0; i < canonical.n[list]; i++)
			other.names[list][canonical.n[list] - 1 - i] = canonical.names[list][i];
	}
	abi_numbers_map(&m, &canonical, &other);
	for (int list = 0; list < ABI_LISTS; list++) {
		for (uint32_t i = 0; i < canonical.n[list]; i++)
			number_goes(&m, (enum abi_list)list, (int32_t)i,
				canonical.names[list][i].text[0] ? (int32_t)(canonical.n[list] - 1 - i) : -1);
	}
}

static void types_of_other_sizes_are_others(void **state)
{
	struct abi_numbers m;

	(void)state;
	other = canonical;
	other.names[ABI_TYPES][2].bytes++;
	other.names[ABI_TYPES][3].block *= 2;
	abi_numbers_map(&m, &canonical, &other);
	number_goes(&m, ABI_TYPES, 2, -1);
	number_goes(&m, ABI_TYPES, 3, -1);
	number_goes(&m, ABI_TYPES, 0, 0);
}

static void the_parameter_of_unary_and_glu_goes_by_name_others_stay(void **state)
{
	const int32_t unary = 91, glu = 100, scale = 32;
	int32_t op = unary, param = 2; /* NEG */
	struct abi_numbers m;

	(void)state;
	other = canonical;
	strcpy(other.names[ABI_UNARY][2].text, "NEW");
	strcpy(other.names[ABI_UNARY][0].text, "NEG");
	strcpy(other.names[ABI_GLU][0].text, "GEGLU");
	strcpy(other.names[ABI_GLU][1].text, "REGLU");
	abi_numbers_map(&m, &canonical, &other);
	assert_true(abi_numbers_op(&m, &op, &param));
	assert_int_equal(op, unary);
	assert_int_equal(param, 0);
	param = 0; /* ABS, which is gone */
	assert_false(abi_numbers_op(&m, &op, &param));
	op = glu, param = 0;
	assert_true(abi_numbers_op(&m, &op, &param));
	assert_int_equal(param, 1);
	op = glu, param = -1;
	assert_false(abi_numbers_op(&m, &op, &param));
	op = scale, param = -7;
	assert_true(abi_numbers_op(&m, &op, &param));
	assert_int_equal(op, scale);
	assert_int_equal(param, -7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_truncated_list_is_refused),
		cmocka_unit_test(a_list_that_does_not_fit_is_not_written),
		cmocka_unit_test(a_longer_list_is_read_and_what_is_beyond_left_out),
		cmocka_unit_test(numbers_out_of_range_go_nowhere),
		cmocka_unit_test(every_number_goes_to_its_name),
		cmocka_unit_test(types_of_other_sizes_are_others),
		cmocka_unit_test(the_parameter_of_unary_and_glu_goes_by_name_others_stay),
	};

	abi_names_canonical(&canonical);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
