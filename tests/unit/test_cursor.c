/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include <string.h>

#include "proto/cursor.h"

/* Every read and write is refused at every length that is too short for it, and then nothing has moved. */
static void reads_refuse_what_is_not_there(void **state)
{
	uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, out[8];

	(void)state;
	for (size_t n = 0; n < 8; n++) {
		struct cursor c = cursor_over(bytes, n);
		uint32_t u;
		int32_t i;
		uint64_t w;
		bool b;

		assert_false(cursor_read_u64(&c, &w));
		assert_false(cursor_read(&c, out, n + 1));
		assert_null(cursor_take(&c, n + 1));
		if (n < 4) {
			assert_false(cursor_read_u32(&c, &u));
			assert_false(cursor_read_i32(&c, &i));
			assert_false(cursor_read_bool(&c, &b));
		}
		assert_int_equal(cursor_left(&c), n);
	}
}

static void reads_refuse_sizes_that_wrap(void **state)
{
	uint8_t bytes[16] = { 0 }, out[1];
	struct cursor c = cursor_over(bytes, sizeof bytes);

	(void)state;
	assert_non_null(cursor_take(&c, 3));
	assert_null(cursor_take(&c, SIZE_MAX));
	assert_null(cursor_take(&c, SIZE_MAX - 2));
	assert_false(cursor_read(&c, out, SIZE_MAX));
	assert_int_equal(cursor_left(&c), 13);
}

static void writes_refuse_what_does_not_fit(void **state)
{
	uint8_t bytes[9] = { 0 };

	(void)state;
	for (size_t n = 0; n < 8; n++) {
		struct cursor c = cursor_over(bytes, n);

		assert_false(cursor_write_u64(&c, UINT64_MAX));
		if (n < 4) {
			assert_false(cursor_write_u32(&c, UINT32_MAX));
			assert_false(cursor_write_i32(&c, -1));
			assert_false(cursor_write_bool(&c, true));
		}
		assert_int_equal(cursor_left(&c), n);
	}
	for (size_t i = 0; i < sizeof bytes; i++)
		assert_int_equal(bytes[i], 0);
}

static void string_refused(uint64_t size, const char *bytes, size_t n)
{
	uint8_t message[64];
	struct cursor c = cursor_over(message, sizeof size + n);
	const char *s;

	memcpy(message, &size, sizeof size);
	memcpy(message + sizeof size, bytes, n);
	assert_false(cursor_read_string(&c, &s));
	assert_int_equal(c.pos, 0);
}

static void strings_refuse_bad_sizes_and_missing_ends(void **state)
{
	(void)state;
	string_refused(0, "abcd", 4);         /* not even a NUL */
	string_refused(4, "abcd", 4);         /* no NUL */
	string_refused(5, "abcd\0", 5);       /* the padding is missing */
	string_refused(9, "abcd\0\0\0", 8);   /* longer than the message */
	string_refused(UINT64_MAX, "abc", 4); /* wraps when it is rounded up */
	string_refused(UINT64_MAX - 3, "abc", 4);
	for (size_t n = 0; n < 12; n++) {
		uint8_t message[12] = { 4, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 0 };
		struct cursor c = cursor_over(message, n);
		const char *s;

		assert_false(cursor_read_string(&c, &s));
		assert_int_equal(c.pos, 0);
	}
}

static void string_writes_refuse_what_does_not_fit(void **state)
{
	uint8_t bytes[16];

	(void)state;
	for (size_t n = 0; n < 16; n++) {
		struct cursor c = cursor_over(bytes, n);

		assert_false(cursor_write_string(&c, "abcde"));
		assert_int_equal(c.pos, 0);
	}
}

static void what_was_written_is_read(void **state)
{
	uint8_t bytes[64];
	struct cursor w = cursor_over(bytes, sizeof bytes), r;
	const char *s = NULL, *empty = NULL;
	uint32_t u = 0;
	int32_t i = 0;
	uint64_t q = 0;
	bool yes = false, no = true;

	(void)state;
	assert_true(cursor_write_u32(&w, 0xdeadbeef));
	assert_true(cursor_write_string(&w, "GGML!"));
	assert_true(cursor_write_i32(&w, -7));
	assert_true(cursor_write_u64(&w, UINT64_C(0x123456789abcdef0)));
	assert_true(cursor_write_bool(&w, true));
	assert_true(cursor_write_bool(&w, false));
	assert_true(cursor_write_string(&w, ""));
	assert_int_equal(w.pos, 4 + 8 + 8 + 4 + 8 + 4 + 4 + 8 + 4);
	r = cursor_over(bytes, w.pos);
	assert_true(cursor_read_u32(&r, &u) && cursor_read_string(&r, &s) && cursor_read_i32(&r, &i) &&
		    cursor_read_u64(&r, &q) && cursor_read_bool(&r, &yes) && cursor_read_bool(&r, &no) &&
		    cursor_read_string(&r, &empty));
	assert_int_equal(u, 0xdeadbeef);
	assert_string_equal(s, "GGML!");
	assert_int_equal(i, -7);
	assert_true(q == UINT64_C(0x123456789abcdef0));
	assert_true(yes && !no);
	assert_string_equal(empty, "");
	assert_int_equal(cursor_left(&r), 0);
}

/* Upstream writes one byte of the four. */
static void a_bool_is_its_first_byte(void **state)
{
	uint8_t cells[8] = { 0, 0xaa, 0xbb, 0xcc, 1, 0xaa, 0xbb, 0xcc };
	struct cursor c = cursor_over(cells, sizeof cells);
	bool no = true, yes = false;

	(void)state;
	assert_true(cursor_read_bool(&c, &no) && cursor_read_bool(&c, &yes));
	assert_true(yes && !no);
}

static void ranges_never_wrap(void **state)
{
	(void)state;
	assert_false(range_ok(UINT64_MAX, 1, 16));
	assert_false(range_ok(1, UINT64_MAX, 16));
	assert_false(range_ok(UINT64_MAX, UINT64_MAX, UINT64_MAX));
	assert_false(range_ok(16, 1, 16));
	assert_false(range_ok(0, 17, 16));
	assert_true(range_ok(16, 0, 16));
	assert_true(range_ok(0, 16, 16));
	assert_true(range_ok(0, UINT64_MAX, UINT64_MAX));
	assert_int_equal(round_up(UINT64_MAX, 4096), 0);
	assert_int_equal(round_up(1, 4096), 4096);
	assert_int_equal(round_up(4096, 4096), 4096);
	assert_int_equal(round_up(0, 4096), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_refuse_what_is_not_there),
		cmocka_unit_test(reads_refuse_sizes_that_wrap),
		cmocka_unit_test(writes_refuse_what_does_not_fit),
		cmocka_unit_test(strings_refuse_bad_sizes_and_missing_ends),
		cmocka_unit_test(string_writes_refuse_what_does_not_fit),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(a_bool_is_its_first_byte),
		cmocka_unit_test(ranges_never_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
