/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include <string.h>

#include "guest/memo.h"

static struct abi_tensor a, b, view, op;

static int tensors_make(void **state)
{
	(void)state;
	a = (struct abi_tensor){ .type = 0, .ne = { 4, 2, 1, 1 }, .nb = { 4, 16, 32, 32 } };
	b = a;
	view = a;
	op = a;
	op.op = 2;
	op.src[0] = &a;
	op.src[1] = &b;
	return 0;
}

static struct signature sign(const struct abi_tensor *t)
{
	struct signature s;

	signature_make(&s, t);
	assert_true(s.size <= sizeof s.bytes);
	return s;
}

static bool same(const struct signature *x, const struct signature *y)
{
	return x->hash == y->hash && x->size == y->size && !memcmp(x->bytes, y->bytes, x->size);
}

static void what_makes_a_difference_makes_another_signature(void **state)
{
	struct signature base, s;

	(void)state;
	base = sign(&op);
#define DIFFERS(change, undo)                                                                                          \
	do {                                                                                                           \
		change;                                                                                                \
		s = sign(&op);                                                                                         \
		assert_false(same(&s, &base));                                                                         \
		undo;                                                                                                  \
		s = sign(&op);                                                                                         \
		assert_true(same(&s, &base));                                                                          \
	} while (0)
	DIFFERS(op.op = 3, op.op = 2);
	DIFFERS(op.type = 1, op.type = 0);
	DIFFERS(op.ne[3] = 2, op.ne[3] = 1);
	DIFFERS(op.nb[1] = 32, op.nb[1] = 16);
	DIFFERS(op.op_params[0] = 1, op.op_params[0] = 0);
	DIFFERS(op.op_params[15] = 1, op.op_params[15] = 0);
	DIFFERS(a.type = 8, a.type = 0);
	DIFFERS(b.ne[0] = 8, b.ne[0] = 4);
	DIFFERS(b.nb[3] = 64, b.nb[3] = 32);
	DIFFERS(op.src[1] = NULL, op.src[1] = &b);
	DIFFERS(op.view_src = &view, op.view_src = NULL);
	DIFFERS((op.src[1] = NULL, op.src[2] = &b), (op.src[1] = &b, op.src[2] = NULL)); /* another role */
#undef DIFFERS
}

static void names_and_addresses_make_none(void **state)
{
	struct abi_tensor a2 = a, op2 = op;
	struct signature s1, s2;

	(void)state;
	op2.src[0] = &a2;
	op2.data = &op2;
	op2.flags = 16;
	strcpy(op2.name, "another");
	s1 = sign(&op);
	s2 = sign(&op2);
	assert_true(same(&s1, &s2));
}

static void ten_sources_and_a_view_fit(void **state)
{
	(void)state;
	for (int i = 0; i < ABI_SRCS; i++)
		op.src[i] = &a;
	op.view_src = &view;
	sign(&op);
}

static void an_unknown_signature_has_no_answer(void **state)
{
	struct signature s = sign(&op), other;
	struct memo m;
	uint64_t answer = 99;

	(void)state;
	memo_init(&m);
	assert_false(memo_get(&m, &s, &answer));
	memo_put(&m, &s, 1);
	op.op = 7;
	other = sign(&op);
	other.hash = s.hash; /* a collision gives no wrong answer */
	assert_false(memo_get(&m, &other, &answer));
	assert_int_equal(answer, 99);
	memo_fini(&m);
}

static void answers_are_remembered_and_a_full_memo_starts_anew(void **state)
{
	struct memo m;
	uint64_t answer;

	(void)state;
	memo_init(&m);
	for (int64_t i = 0; i < 40000; i++) {
		struct signature s;

		op.ne[0] = i;
		s = sign(&op);
		memo_put(&m, &s, (uint64_t)i * 3);
		assert_true(memo_get(&m, &s, &answer));
		assert_int_equal(answer, i * 3);
		assert_true(m.n_used <= 32768);
	}
	memo_fini(&m);
}

static void the_first_answer_stays(void **state)
{
	struct signature s = sign(&op);
	struct memo m;
	uint64_t answer;

	(void)state;
	memo_init(&m);
	memo_put(&m, &s, 0);
	memo_put(&m, &s, 1);
	assert_true(memo_get(&m, &s, &answer));
	assert_int_equal(answer, 0);
	assert_int_equal(m.n_used, 1);
	memo_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_makes_a_difference_makes_another_signature, tensors_make),
		cmocka_unit_test_setup(names_and_addresses_make_none, tensors_make),
		cmocka_unit_test_setup(ten_sources_and_a_view_fit, tensors_make),
		cmocka_unit_test_setup(an_unknown_signature_has_no_answer, tensors_make),
		cmocka_unit_test_setup(answers_are_remembered_and_a_full_memo_starts_anew, tensors_make),
		cmocka_unit_test_setup(the_first_answer_stays, tensors_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
