/* SPDX-License-Identifier: MIT */
/*
 * What a hostile guest sends is refused with an answer, and after each refusal the same worker still computes
 * right. Cases that others left open are named after their reports.
 */
#include "tests/support/cm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-abi/abi.h"
#include "tests/protocol/fixture.h"
#include "tests/support/capture.h"
#include "tests/support/ggml.h"
#include "tests/support/process.h"

static pid_t worker;

static int open_watched(void **state)
{
	if (open_ready(state))
		return -1;
	worker = host_worker(h);
	return 0;
}

/* The promise of every refusal. */
#define assert_unharmed()                                                                                              \
	do {                                                                                                           \
		assert_true(guest_computes(&g));                                                                       \
		assert_int_equal(host_worker(h), worker);                                                              \
	} while (0)

#define assert_refused(code) assert_int_equal(code, REFUSED)

/* Complete, right arguments of every function that has some. */
static void args_right(uint32_t fn)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 8, 1);
	struct abi_tensor raw = { .type = 0, .ne = { 8, 1, 1, 1 }, .nb = { 4, 32, 32, 32 }, .op = ggml_op("ADD") };
	struct abi_tensor src = raw;
	struct wire_graph w = graph_add(&g);

	src.op = 0;
	raw.src[0] = raw.src[1] = raw.view_src = &src;
	args_start(&g);
	switch (fn) {
	case APIR_FN_DEVICE_SUPPORTS_OP:
	case APIR_FN_BUFT_ALLOC_SIZE:
		if (fn == APIR_FN_BUFT_ALLOC_SIZE)
			arg_u64(&g, g.buft);
		arg_bytes(&g, &raw, sizeof raw);
		for (int i = 0; i < 3; i++)
			arg_bytes(&g, &src, sizeof src);
		break;
	case APIR_FN_DEVICE_BUFFER_FROM_PTR:
		arg_u32(&g, g.data.res);
		arg_u64(&g, 16384);
		arg_u64(&g, 16384);
		break;
	case APIR_FN_BUFT_NAME:
	case APIR_FN_BUFT_ALIGNMENT:
	case APIR_FN_BUFT_MAX_SIZE:
	case APIR_FN_BUFT_IS_HOST:
		arg_u64(&g, g.buft);
		break;
	case APIR_FN_BUFT_ALLOC_BUFFER:
		arg_u64(&g, g.buft);
		arg_u64(&g, 4096);
		break;
	case APIR_FN_BUFFER_BASE:
	case APIR_FN_BUFFER_FREE:
		arg_u64(&g, g.buffer);
		break;
	case APIR_FN_BUFFER_SET_TENSOR:
	case APIR_FN_BUFFER_GET_TENSOR:
		arg_u64(&g, g.buffer);
		arg_bytes(&g, &t, sizeof t);
		arg_u32(&g, g.data.res);
		arg_u64(&g, 0);
		arg_u64(&g, 32);
		break;
	case APIR_FN_BUFFER_CPY_TENSOR:
		arg_u64(&g, g.buffer);
		arg_bytes(&g, &t, sizeof t);
		arg_bytes(&g, &t, sizeof t);
		break;
	case APIR_FN_BUFFER_CLEAR:
		arg_u64(&g, g.buffer);
		arg_u32(&g, 0);
		break;
	case APIR_FN_GRAPH_COMPUTE:
		arg_u32(&g, g.data.res);
		arg_u64(&g, graph_put(&g, &w));
		break;
	default:
		break;
	}
}

static void arguments_cut_anywhere_are_refused(void **state)
{
	(void)state;
	for (uint32_t fn = 0; fn < APIR_FN_COUNT; fn++) {
		size_t full;

		args_right(fn);
		full = g.args.pos - APIR_CMD_HEADER_SIZE;
		for (size_t n = 0; n < full; n++) {
			int64_t code = forward_cut(&g, fn, n);
			bool yes = true;

			if (fn == APIR_FN_DEVICE_SUPPORTS_OP) { /* its refusal is "no" */
				assert_int_equal(code, 0);
				assert_true(cursor_read_bool(&g.answer, &yes));
				assert_false(yes);
			} else if (code != REFUSED) {
				fail_msg("function %u with %zu of %zu bytes: %lld", fn, n, full, (long long)code);
			}
		}
		assert_unharmed();
	}
}

static void a_command_cut_in_its_header_is_dropped(void **state)
{
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)g.reply.ptr;
	uint8_t bytes[12] = { 2 };

	(void)state;
	memcpy(bytes + 8, &g.reply.res, 4);
	for (size_t n = 1; n < sizeof bytes; n++) {
		atomic_store(word, 0);
		assert_int_equal(apir_submit(h->apir, 1, 0, bytes, n), 0);
		assert_true(host_fence(h, 1));
		assert_int_equal(atomic_load(word), 0);
	}
	assert_unharmed();
}

static void an_unknown_reply_blob_is_dropped(void **state)
{
	uint32_t right = g.reply.res;

	(void)state;
	args_start(&g);
	g.reply.res = 0xffffffff;
	assert_int_equal(forward(&g, 0), DROPPED);
	g.reply.res = 0;
	assert_int_equal(forward(&g, 0), DROPPED);
	g.reply.res = right;
	assert_unharmed();
}

static void unknown_types_are_refused(void **state)
{
	static const int32_t types[] = { 3, 330, -1, INT32_MIN, INT32_MAX - 400, 331 + 3, 331 + 331 };

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		args_start(&g);
		assert_int_equal(command(&g, types[i], 0), APIR_FORWARD_NO_DISPATCH);
	}
	assert_unharmed();
}

static void an_index_of_no_function_answers_4_plus_6(void **state)
{
	static const uint32_t indices[] = { 23, 24, 0xff, 0x1ff, 10000, 0x7fffffff, 0x80000000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof indices / sizeof indices[0]; i++) {
		args_start(&g);
		assert_int_equal(forward(&g, indices[i]), 10);
	}
	assert_unharmed();
}

static void a_handshake_cut_short_is_no_handshake(void **state)
{
	(void)state;
	for (size_t n = 0; n < 8; n++) {
		args_start(&g);
		arg_u64(&g, 0);
		assert_true(command_cut(&g, APIR_HANDSHAKE, 0, n) != APIR_HANDSHAKE_MAGIC);
	}
	assert_unharmed();
}

/* The heartbeat word must lie in a blob of the context, whole and aligned. */
static void a_greeting_with_a_bad_place_gets_no_heartbeat(void **state)
{
	static const uint32_t offsets[] = { 1, 2, 0x4000, 0x3ffd, 0xfffffffc, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0] + 1; i++) {
		bool last = i == sizeof offsets / sizeof offsets[0];
		struct apir_greeting greeting = { APIR_GREETING_MAGIC, last ? 0xabcdef : g.reply.res,
			last ? 0 : offsets[i] };
		uint32_t magic = 1;

		memset(g.reply.ptr, 0, 64);
		args_start(&g);
		arg_u64(&g, 0);
		arg_bytes(&g, &greeting, sizeof greeting);
		assert_int_equal(command(&g, APIR_HANDSHAKE, 0), APIR_HANDSHAKE_MAGIC);
		assert_non_null(cursor_take(&g.answer, 8));
		assert_true(cursor_read_u32(&g.answer, &magic));
		assert_true(magic != APIR_GREETING_MAGIC);
	}
	assert_unharmed();
}

static void hello_agrees_to_nothing_that_is_unknown(void **state)
{
	static const uint32_t versions[] = { 0, 2, 0xffffffff };
	uint32_t version = 0;
	uint64_t features = 0;

	(void)state;
	for (size_t n = 0; n < 12; n++) {
		args_start(&g);
		arg_u32(&g, APIR_HELLO_VERSION);
		arg_u64(&g, UINT64_MAX);
		assert_refused(forward_cut(&g, APIR_FN_HELLO, n));
	}
	for (size_t i = 0; i < 4; i++) {
		int64_t code;

		args_start(&g);
		arg_u32(&g, i < 3 ? versions[i] : APIR_HELLO_VERSION);
		arg_u64(&g, UINT64_MAX);
		code = forward(&g, APIR_FN_HELLO);
		if (code == REFUSED && i < 3)
			continue;
		assert_int_equal(code, 0);
		assert_true(cursor_read_u32(&g.answer, &version) && cursor_read_u64(&g.answer, &features));
		assert_true(version <= APIR_HELLO_VERSION);
		assert_true((features & ~(APIR_FEATURE_USE_COUNTS | APIR_FEATURE_WRITE | APIR_FEATURE_NAMES |
						APIR_FEATURE_MEMORY | APIR_FEATURE_AGAIN | APIR_FEATURE_ASYNC |
						APIR_FEATURE_AT | APIR_FEATURE_OPTIMIZE)) == 0);
	}
	assert_unharmed();
}

static void names_are_not_told_for_a_question_that_is_cut(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 7, 9, UINT64_MAX, UINT64_C(1) << 32 };

	(void)state;
	args_start(&g);
	arg_u64(&g, 8);
	arg_bytes(&g, "0.25.1\0", 8);
	for (size_t n = 0; n < 16; n++)
		assert_refused(forward_cut(&g, APIR_FN_NAMES, n));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		args_start(&g);
		arg_u64(&g, sizes[i]);
		arg_bytes(&g, "0.25.1xx", 8);
		assert_refused(forward(&g, APIR_FN_NAMES));
	}
	assert_unharmed();
}

/* Counts that are the guest's word may be wrong: they steer what is fused, not where it is written. */
static void wrong_use_counts_do_no_harm(void **state)
{
	static const uint32_t counts[] = { 1, 2, 0x7fffffff, 0x80000000, 0xffffffff };

	(void)state;
	args_start(&g);
	arg_u32(&g, APIR_HELLO_VERSION);
	arg_u64(&g, APIR_FEATURE_USE_COUNTS);
	assert_int_equal(forward(&g, APIR_FN_HELLO), 0);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		struct wire_graph w = graph_add(&g);

		for (int t = 0; t < 3; t++)
			w.tensors[t].use_count = counts[i];
		assert_int_equal(graph_try(&g, &w), 0);
		w.n_tensors = 4; /* one that no node reads */
		w.tensors[3] = w.tensors[0];
		w.tensors[3].id = 99;
		assert_int_equal(graph_try(&g, &w), 0);
	}
	assert_unharmed();
}

static void writes_cut_or_outside_of_their_buffer_are_refused(void **state)
{
	static const uint64_t wrong[][2] = { { 0, 0 }, { GUEST_BUFFER, 1 }, { GUEST_BUFFER - 7, 8 }, { UINT64_MAX, 1 },
		{ UINT64_MAX - 7, 8 }, { 0, UINT64_MAX }, { 0, UINT64_MAX - 7 }, { 8, UINT64_MAX - 8 },
		{ 0, APIR_CMD_MAX + 1 }, { 0, UINT64_C(1) << 32 }, { UINT64_C(1) << 63, UINT64_C(1) << 63 } };
	struct apir_write right = { g.buffer, 0, 8 }, bad;
	size_t full;

	(void)state;
	args_start(&g);
	for (int i = 0; i < 2; i++) {
		arg_bytes(&g, &right, sizeof right);
		arg_u64(&g, 0);
	}
	full = g.args.pos - APIR_CMD_HEADER_SIZE;
	for (size_t n = 1; n < full; n++) {
		if (n != full / 2) /* there it is whole */
			assert_refused(forward_cut(&g, APIR_FN_WRITE, n));
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		bad = (struct apir_write){ g.buffer, wrong[i][0], wrong[i][1] };
		args_start(&g);
		arg_bytes(&g, &bad, sizeof bad);
		arg_u64(&g, 0);
		assert_refused(forward(&g, APIR_FN_WRITE));
	}
	bad = right;
	for (unsigned bit = 0; bit < 64; bit++) {
		bad.buffer = g.buffer ^ UINT64_C(1) << bit;
		args_start(&g);
		arg_bytes(&g, &bad, sizeof bad);
		arg_u64(&g, 0);
		assert_refused(forward(&g, APIR_FN_WRITE));
	}
	bad.buffer = g.buft;
	args_start(&g);
	arg_bytes(&g, &bad, sizeof bad);
	arg_u64(&g, 0);
	assert_refused(forward(&g, APIR_FN_WRITE));
	assert_unharmed();
}

/* Handles */

static bool takes_buffer(uint32_t fn)
{
	return fn == APIR_FN_BUFFER_BASE || fn == APIR_FN_BUFFER_FREE || fn == APIR_FN_BUFFER_SET_TENSOR ||
	       fn == APIR_FN_BUFFER_GET_TENSOR || fn == APIR_FN_BUFFER_CPY_TENSOR || fn == APIR_FN_BUFFER_CLEAR;
}

static bool takes_buft(uint32_t fn)
{
	return (fn >= APIR_FN_BUFT_NAME && fn <= APIR_FN_BUFT_ALLOC_BUFFER) || fn == APIR_FN_BUFT_ALLOC_SIZE;
}

static void handle_refused_everywhere(uint64_t handle, bool by_buft_functions)
{
	for (uint32_t fn = 0; fn < APIR_FN_COUNT; fn++) {
		if (!takes_buffer(fn) && !(by_buft_functions && takes_buft(fn)))
			continue;
		args_right(fn);
		memcpy(g.args_bytes + APIR_CMD_HEADER_SIZE, &handle, sizeof handle);
		assert_refused(forward(&g, fn));
	}
}

static void forged_handles_are_refused(void **state)
{
	static const uint64_t handles[] = { 0, 1, 2, 0xffffffff, UINT64_MAX, UINT64_C(0x7fff12345678),
		UINT64_C(1) << 63 };

	(void)state;
	for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
		handle_refused_everywhere(handles[i], true);
	for (unsigned bit = 0; bit < 64; bit++) {
		handle_refused_everywhere(g.buffer ^ UINT64_C(1) << bit, true);
		handle_refused_everywhere(g.buft ^ UINT64_C(1) << bit, true);
	}
	assert_unharmed();
}

static void handles_of_the_other_type_are_refused(void **state)
{
	(void)state;
	handle_refused_everywhere(g.buft, false);
	for (uint32_t fn = 0; fn < APIR_FN_COUNT; fn++) {
		if (!takes_buft(fn))
			continue;
		args_right(fn);
		memcpy(g.args_bytes + APIR_CMD_HEADER_SIZE, &g.buffer, sizeof g.buffer);
		assert_refused(forward(&g, fn));
	}
	assert_unharmed();
}

static void stale_handles_are_refused_though_their_place_is_taken(void **state)
{
	uint64_t old = buffer_alloc(&g, 4096), now;

	(void)state;
	assert_int_equal(buffer_free(&g, old), 0);
	handle_refused_everywhere(old, true);
	now = buffer_alloc(&g, 4096);
	assert_true(now != old && (now & 0xffffff) == (old & 0xffffff));
	handle_refused_everywhere(old, true);
	assert_int_equal(buffer_free(&g, now), 0);
	assert_unharmed();
}

static void another_contexts_handles_and_blobs_are_refused(void **state)
{
	struct guest other;
	struct apir_tensor t;
	uint64_t mine[4], theirs = 0;

	(void)state;
	assert_true(guest_open(&other, h, 2) && guest_ready(&other));
	/* The tables count alike: let the other's run ahead until its handle is none of ours. */
	for (int i = 0; i < 4; i++)
		theirs = buffer_alloc(&other, 4096);
	handle_refused_everywhere(theirs, true);
	t = tensor_f32(1, theirs, 0, 8, 1);
	assert_refused(tensor_set(&g, g.buffer, &t, 0, 32));
	/* And the other's blob isn't ours, though the number is right. */
	t = tensor_f32(1, g.buffer, 0, 8, 1);
	for (uint32_t fn = APIR_FN_BUFFER_SET_TENSOR; fn <= APIR_FN_BUFFER_GET_TENSOR; fn++) {
		args_start(&g);
		arg_u64(&g, g.buffer);
		arg_bytes(&g, &t, sizeof t);
		arg_u32(&g, other.data.res);
		arg_u64(&g, 0);
		arg_u64(&g, 32);
		assert_refused(forward(&g, fn));
	}
	args_start(&g);
	arg_u32(&g, other.data.res);
	arg_u64(&g, 16384);
	arg_u64(&g, 16384);
	assert_refused(forward(&g, APIR_FN_DEVICE_BUFFER_FROM_PTR));
	/* Equal handles name different memory. */
	mine[0] = buffer_alloc(&g, 4096);
	assert_int_equal(buffer_free(&g, mine[0]), 0);
	assert_true(guest_computes(&other));
	guest_close(&other);
	assert_true(host_fence(h, 1));
	assert_true(guest_computes(&g));
}

/* Ranges */

static const uint64_t wrong_ranges[][2] = {
	{ 0, 33 },
	{ 1, 32 },
	{ 32, 1 },
	{ 33, 0 },
	{ UINT64_MAX, 1 },
	{ 1, UINT64_MAX },
	{ UINT64_MAX, UINT64_MAX },
	{ UINT64_MAX - 31, 32 },
	{ 0, UINT64_MAX },
	{ 0, UINT64_C(1) << 32 },
	{ UINT64_C(1) << 32, 4 },
	{ UINT64_C(1) << 63, UINT64_C(1) << 63 },
};

static void cve_2024_42479_set_and_get_outside_of_the_tensor_are_refused(void **state)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 8, 1);

	(void)state;
	for (size_t i = 0; i < sizeof wrong_ranges / sizeof wrong_ranges[0]; i++) {
		assert_refused(tensor_set(&g, g.buffer, &t, wrong_ranges[i][0], wrong_ranges[i][1]));
		assert_refused(tensor_get(&g, g.buffer, &t, wrong_ranges[i][0], wrong_ranges[i][1]));
	}
	assert_unharmed();
}

static void tensors_outside_of_their_buffer_are_refused(void **state)
{
	static const uint64_t places[] = { GUEST_BUFFER - 31, GUEST_BUFFER, UINT64_MAX, UINT64_MAX - 31,
		UINT64_C(1) << 63, UINT64_C(0x7fff00000000) };
	struct wire_graph w = graph_add(&g);

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		struct apir_tensor t = tensor_f32(1, g.buffer, places[i], 8, 1);

		assert_refused(tensor_set(&g, g.buffer, &t, 0, 4));
		assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
		for (int which = 0; which < 3; which++) {
			w = graph_add(&g);
			w.tensors[which].data = places[i];
			assert_refused(graph_try(&g, &w));
		}
	}
	assert_unharmed();
}

static void shapes_that_reach_beyond_the_buffer_are_refused(void **state)
{
	struct apir_tensor t;

	(void)state;
	t = tensor_f32(1, g.buffer, 0, GUEST_BUFFER / 4 + 1, 1);
	assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
	t = tensor_f32(1, g.buffer, 0, 8, 1);
	for (int i = 1; i < 4; i++) {
		t = tensor_f32(1, g.buffer, 0, 8, 1);
		t.ne[i] = 2;
		t.nb[i] = GUEST_BUFFER - 31;
		assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
		t.ne[i] = UINT32_MAX;
		t.nb[i] = UINT32_MAX;
		assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
	}
	memset(t.ne, 0xff, sizeof t.ne); /* their product wraps */
	memset(t.nb, 0, sizeof t.nb);
	assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
	memset(t.nb, 0xff, sizeof t.nb);
	assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
	assert_unharmed();
}

static void args_at(uint32_t res, uint64_t at, uint64_t offset, uint64_t size)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 8, 1);

	args_start(&g);
	arg_u64(&g, g.buffer);
	arg_bytes(&g, &t, sizeof t);
	arg_u32(&g, res);
	arg_u64(&g, at);
	arg_u64(&g, offset);
	arg_u64(&g, size);
}

static void a_place_beyond_the_blob_is_refused(void **state)
{
	static const uint64_t places[] = { 4096, 4065, 4097, UINT64_MAX, UINT64_MAX - 31, UINT64_C(1) << 63 };
	struct guest_blob small;

	(void)state;
	assert_true(guest_blob_make(&g, 4096, &small));
	for (uint32_t fn = APIR_FN_SET_TENSOR_AT; fn <= APIR_FN_GET_TENSOR_AT; fn++) {
		size_t full;

		for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
			args_at(small.res, places[i], 0, 32);
			assert_refused(forward(&g, fn));
		}
		for (size_t i = 0; i < sizeof wrong_ranges / sizeof wrong_ranges[0]; i++) {
			args_at(small.res, 0, wrong_ranges[i][0], wrong_ranges[i][1]);
			assert_refused(forward(&g, fn));
		}
		args_at(0xffffff, 0, 0, 32);
		assert_refused(forward(&g, fn));
		args_at(small.res, 0, 0, 32);
		full = g.args.pos - APIR_CMD_HEADER_SIZE;
		for (size_t n = 0; n < full; n++)
			assert_refused(forward_cut(&g, fn, n));
	}
	memset(small.ptr, 7, 4096);
	small.ptr[4064] = 42;
	args_at(small.res, 4064, 0, 32);
	assert_int_equal(forward(&g, APIR_FN_SET_TENSOR_AT), 0);
	args_at(small.res, 100, 0, 32);
	assert_int_equal(forward(&g, APIR_FN_GET_TENSOR_AT), 0);
	assert_int_equal(small.ptr[99], 7);
	assert_int_equal(small.ptr[100], 42);
	assert_int_equal(small.ptr[132], 7);
	guest_blob_drop(&g, &small);
	assert_unharmed();
}

static void sizes_larger_than_the_blob_are_refused(void **state)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 4096, 1);
	struct guest_blob small;
	int32_t status;

	(void)state;
	assert_true(guest_blob_make(&g, 4096, &small));
	for (uint32_t fn = APIR_FN_BUFFER_SET_TENSOR; fn <= APIR_FN_BUFFER_GET_TENSOR; fn++) {
		args_start(&g);
		arg_u64(&g, g.buffer);
		arg_bytes(&g, &t, sizeof t);
		arg_u32(&g, small.res);
		arg_u64(&g, 0);
		arg_u64(&g, 4097);
		assert_refused(forward(&g, fn));
	}
	assert_refused(graph_run(&g, small.res, 4097, &status));
	assert_refused(graph_run(&g, small.res, UINT64_MAX, &status));
	assert_refused(graph_run(&g, 0xffffff, 4096, &status));
	for (int i = 0; i < 3; i++) {
		static const uint64_t sizes[] = { 0, 4097, UINT64_MAX };

		args_start(&g);
		arg_u32(&g, small.res);
		arg_u64(&g, sizes[i]);
		arg_u64(&g, sizes[i]);
		assert_refused(forward(&g, APIR_FN_DEVICE_BUFFER_FROM_PTR));
	}
	guest_blob_drop(&g, &small);
	args_start(&g);
	arg_u32(&g, small.res);
	arg_u64(&g, 4096);
	arg_u64(&g, 4096);
	assert_refused(forward(&g, APIR_FN_DEVICE_BUFFER_FROM_PTR)); /* dropped */
	assert_unharmed();
}

/* ggml#1103 */
static void copies_that_would_overflow_are_not_made(void **state)
{
	uint64_t small = buffer_alloc(&g, 64);
	struct apir_tensor src = tensor_f32(1, g.buffer, 0, 1024, 1), dst = tensor_f32(2, small, 0, 16, 1);
	bool done = true;

	(void)state;
	args_start(&g);
	arg_u64(&g, small);
	arg_bytes(&g, &src, sizeof src);
	arg_bytes(&g, &dst, sizeof dst);
	assert_int_equal(forward(&g, APIR_FN_BUFFER_CPY_TENSOR), 0); /* layouts differ: the long way */
	assert_true(cursor_read_bool(&g.answer, &done));
	assert_false(done);
	dst = src;
	dst.buffer = small; /* layouts equal, and the destination too small */
	args_start(&g);
	arg_u64(&g, small);
	arg_bytes(&g, &src, sizeof src);
	arg_bytes(&g, &dst, sizeof dst);
	assert_refused(forward(&g, APIR_FN_BUFFER_CPY_TENSOR));
	args_start(&g);
	arg_u64(&g, small);
	arg_bytes(&g, &dst, sizeof dst);
	arg_bytes(&g, &src, sizeof src);
	assert_refused(forward(&g, APIR_FN_BUFFER_CPY_TENSOR));
	src = tensor_f32(1, g.buffer, 0, 16, 1);
	dst = tensor_f32(2, g.buffer, 64, 16, 1);
	args_start(&g);
	arg_u64(&g, small); /* neither lies there */
	arg_bytes(&g, &src, sizeof src);
	arg_bytes(&g, &dst, sizeof dst);
	assert_refused(forward(&g, APIR_FN_BUFFER_CPY_TENSOR));
	assert_int_equal(buffer_free(&g, small), 0);
	assert_unharmed();
}

static void cve_2026_34159_a_tensor_without_a_buffer_has_no_data(void **state)
{
	static const uint64_t data[] = { 0, 0x41414141, UINT64_C(0x7fff00001000) };
	struct wire_graph w;

	(void)state;
	for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
		struct apir_tensor t = tensor_f32(1, 0, data[i], 8, 1), right = tensor_f32(2, g.buffer, 0, 8, 1);

		assert_refused(tensor_set(&g, g.buffer, &t, 0, 32));
		assert_refused(tensor_get(&g, g.buffer, &t, 0, 32));
		for (int swap = 0; swap < 2; swap++) {
			args_start(&g);
			arg_u64(&g, g.buffer);
			arg_bytes(&g, swap ? &right : &t, sizeof t);
			arg_bytes(&g, swap ? &t : &right, sizeof t);
			assert_refused(forward(&g, APIR_FN_BUFFER_CPY_TENSOR));
		}
		for (int which = 0; which < 3; which++) {
			w = graph_add(&g);
			w.tensors[which].buffer = 0;
			w.tensors[which].data = data[i];
			assert_refused(graph_try(&g, &w));
		}
	}
	assert_unharmed();
}

/* The same by way of a node that computes nothing, which may itself lie in no buffer. */
static void cve_2026_34159_nor_is_it_read_through_a_node_that_computes_nothing(void **state)
{
	static const char *const idle[] = { "NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE" };

	(void)state;
	for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
		struct wire_graph w = graph_add(&g);

		/* 4 = idle(1), a node in no buffer: by itself no harm */
		w.tensors[3] = w.tensors[2];
		w.tensors[2] = tensor_f32(4, 0, 0, 8, 1);
		w.tensors[2].op = (uint32_t)ggml_op(idle[i]);
		w.tensors[2].src[0] = 1;
		w.n_tensors = 4;
		w.n_nodes = 2;
		w.nodes[0] = 4;
		w.nodes[1] = 3;
		assert_int_equal(graph_try(&g, &w), 0);
		w.tensors[3].src[1] = 4; /* 3 = 1 + 4 */
		assert_refused(graph_try(&g, &w));
		w.n_nodes = 1; /* nor where it is no node */
		w.nodes[0] = 3;
		assert_refused(graph_try(&g, &w));
		w.tensors[3].src[1] = 2;
		w.tensors[3].view_src = 4;
		assert_refused(graph_try(&g, &w));
		w.tensors[3].buffer = 0; /* both in no buffer */
		w.tensors[3].data = 0;
		assert_refused(graph_try(&g, &w));
		w.tensors[2].view_src = 1; /* it can't borrow one either */
		w.tensors[3] = graph_add(&g).tensors[2];
		w.tensors[3].src[1] = 4;
		assert_refused(graph_try(&g, &w));
	}
	assert_unharmed();
}

/* How blocks lie matters to who reads or writes them; a node that computes nothing does neither. */
static void blocks_that_are_apart_are_looked_at_and_never_read(void **state)
{
	struct wire_graph w = graph_add(&g);
	struct apir_tensor *turned = &w.tensors[2];

	(void)state;
	w.tensors[3] = w.tensors[2];
	*turned = tensor_f32(4, g.buffer, 1024, 3, 256); /* q8_0 [256, 3], transposed */
	turned->type = (uint32_t)ggml_type("q8_0");
	turned->op = (uint32_t)ggml_op("TRANSPOSE");
	turned->nb[0] = 272;
	turned->nb[1] = 34;
	turned->nb[2] = turned->nb[3] = 816;
	w.n_tensors = 4;
	w.n_nodes = 2;
	w.nodes[0] = 4;
	w.nodes[1] = 3;
	assert_int_equal(graph_try(&g, &w), 0);
	w.tensors[3].src[1] = 4;
	assert_refused(graph_try(&g, &w));
	w.tensors[3].src[1] = 2;
	w.tensors[3].view_src = 4;
	w.tensors[3].view_offs = w.tensors[3].data - turned->data;
	assert_refused(graph_try(&g, &w));
	w.tensors[3].view_src = w.tensors[3].view_offs = 0;
	turned->op = (uint32_t)ggml_op("SQR"); /* one that computes */
	turned->src[0] = 1;
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g); /* floats that overlap */
	w.tensors[0].nb[0] = 2;
	assert_refused(graph_try(&g, &w));
	assert_unharmed();
}

/* Types and operations */

/* llama.cpp#13067 */
static void types_that_ggml_has_not_are_refused(void **state)
{
	static const uint32_t types[] = { 4, 5, 31, 43, 44, 255, 0x7fffffff, 0x80000000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		struct apir_tensor t = tensor_f32(1, g.buffer, 0, 8, 1);
		struct abi_tensor raw = { .type = (int32_t)types[i], .ne = { 8, 1, 1, 1 }, .nb = { 4, 32, 32, 32 } };

		t.type = types[i];
		assert_refused(tensor_set(&g, g.buffer, &t, 0, 4));
		assert_refused(tensor_get(&g, g.buffer, &t, 0, 4));
		for (int which = 0; which < 3; which++) {
			struct wire_graph w = graph_add(&g);

			w.tensors[which].type = types[i];
			assert_refused(graph_try(&g, &w));
		}
		args_start(&g);
		arg_u64(&g, g.buft);
		arg_bytes(&g, &raw, sizeof raw);
		assert_refused(forward(&g, APIR_FN_BUFT_ALLOC_SIZE));
	}
	assert_unharmed();
}

static void rows_of_partial_blocks_are_refused(void **state)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 33, 1);

	(void)state;
	t.type = (uint32_t)ggml_type("q4_0");
	t.nb[0] = 18;
	assert_refused(tensor_get(&g, g.buffer, &t, 0, 1));
	assert_unharmed();
}

static bool supported(int32_t op, int32_t param)
{
	struct abi_tensor t = {
		.type = 0, .ne = { 8, 1, 1, 1 }, .nb = { 4, 32, 32, 32 }, .op = op, .op_params = { param }
	};
	struct abi_tensor src = t;
	bool yes = true;

	src.op = 0;
	t.src[0] = t.src[1] = &src;
	args_start(&g);
	arg_bytes(&g, &t, sizeof t);
	arg_bytes(&g, &src, sizeof src);
	arg_bytes(&g, &src, sizeof src);
	assert_int_equal(forward(&g, APIR_FN_DEVICE_SUPPORTS_OP), 0);
	assert_true(cursor_read_bool(&g.answer, &yes));
	return yes;
}

/* llama.cpp#25289: MAP_CUSTOM* and CUSTOM carry function pointers */
static void operations_that_carry_pointers_or_are_none_are_refused(void **state)
{
	uint32_t ops[8] = { 101, 1000, 0x80000000, 0xffffffff };

	(void)state;
	ops[4] = (uint32_t)ggml_op("MAP_CUSTOM1");
	ops[5] = (uint32_t)ggml_op("MAP_CUSTOM2");
	ops[6] = (uint32_t)ggml_op("MAP_CUSTOM3");
	ops[7] = (uint32_t)ggml_op("CUSTOM");
	for (size_t i = 0; i < 8; i++) {
		struct wire_graph w = graph_add(&g);

		w.tensors[2].op = ops[i];
		memset(w.tensors[2].op_params, 0x41, sizeof w.tensors[2].op_params);
		assert_refused(graph_try(&g, &w));
		assert_false(supported((int32_t)ops[i], 0));
		w = graph_add(&g); /* nor on a tensor that is only read */
		w.tensors[0].op = ops[i];
		assert_refused(graph_try(&g, &w));
	}
	assert_unharmed();
}

static void sub_operations_out_of_range_are_refused(void **state)
{
	const int32_t unary[] = { -1, ABI_N_UNARY, 1000, INT32_MAX, INT32_MIN },
		      glu[] = { -1, ABI_N_GLU, 1000, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++) {
		struct wire_graph w = graph_add(&g);

		w.tensors[2].op = (uint32_t)ggml_op("UNARY");
		w.tensors[2].op_params[0] = unary[i];
		w.tensors[2].src[1] = 0;
		assert_refused(graph_try(&g, &w));
		assert_false(supported(ggml_op("UNARY"), unary[i]));
	}
	for (size_t i = 0; i < sizeof glu / sizeof glu[0]; i++) {
		struct wire_graph w = graph_add(&g);

		w.tensors[2].op = (uint32_t)ggml_op("GLU");
		w.tensors[2].op_params[0] = glu[i];
		assert_refused(graph_try(&g, &w));
		assert_false(supported(ggml_op("GLU"), glu[i]));
	}
	assert_unharmed();
}

/* Graphs */

static void a_graph_cut_anywhere_is_refused(void **state)
{
	struct wire_graph w = graph_add(&g);
	size_t full = graph_put(&g, &w);
	int32_t status;

	(void)state;
	for (size_t n = 0; n < full; n++)
		assert_refused(graph_run(&g, g.data.res, n, &status));
	assert_unharmed();
}

static void graphs_that_announce_too_much_are_refused(void **state)
{
	static const uint32_t counts[] = { 0, 2, 1000, 1u << 20, (1u << 20) + 1, 1u << 29, 0x7fffffff, 0x80000000,
		0xffffffff };
	struct wire_graph w = graph_add(&g);
	size_t full;
	int32_t status;

	(void)state;
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		full = graph_put(&g, &w);
		memcpy(g.data.ptr, &counts[i], 4);
		assert_refused(graph_run(&g, g.data.res, full, &status));
		full = graph_put(&g, &w);
		memcpy(g.data.ptr + 12, &counts[i], 4);
		assert_refused(graph_run(&g, g.data.res, full, &status));
	}
	assert_unharmed();
}

static void bad_ids_are_refused(void **state)
{
	struct wire_graph w;

	(void)state;
	w = graph_add(&g);
	w.tensors[0].id = 0;
	w.tensors[2].src[0] = 0;
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[1].id = 1; /* twice */
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.nodes[0] = 99;
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.nodes[0] = 0;
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[2].src[9] = 99;
	assert_refused(graph_try(&g, &w));
	assert_unharmed();
}

static void cycles_and_forward_references_are_refused(void **state)
{
	struct wire_graph w;

	(void)state;
	w = graph_add(&g);
	w.tensors[2].src[1] = 3; /* itself */
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[0].src[0] = 3; /* a circle */
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[0].src[0] = 2; /* forward */
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[0].view_src = 3;
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[0].view_src = 1;
	assert_refused(graph_try(&g, &w));
	w = graph_add(&g);
	w.tensors[2].view_src = 99;
	assert_refused(graph_try(&g, &w));
	assert_unharmed();
}

static void a_view_of_another_buffer_is_refused(void **state)
{
	uint64_t other = buffer_alloc(&g, 4096);
	struct wire_graph w = graph_add(&g);

	(void)state;
	w.tensors[0].buffer = other;
	w.tensors[2].view_src = 1;
	assert_refused(graph_try(&g, &w));
	assert_int_equal(buffer_free(&g, other), 0);
	assert_unharmed();
}

/* llama.cpp#24292, #25703 */
static void a_kept_graph_dies_with_its_buffer(void **state)
{
	uint64_t buffer = buffer_alloc(&g, 4096), again;
	struct wire_graph w = graph_add(&g);

	(void)state;
	for (int i = 0; i < 3; i++)
		w.tensors[i].buffer = buffer;
	for (int round = 0; round < 3; round++)
		assert_int_equal(graph_try(&g, &w), 0); /* kept now */
	assert_int_equal(buffer_free(&g, buffer), 0);
	assert_refused(graph_try(&g, &w));
	again = buffer_alloc(&g, 4096); /* may well get the same memory and the same slot */
	assert_refused(graph_try(&g, &w));
	for (int i = 0; i < 3; i++)
		w.tensors[i].buffer = again;
	assert_int_equal(graph_try(&g, &w), 0);
	assert_int_equal(buffer_free(&g, again), 0);
	assert_unharmed();
}

static void a_graph_changed_between_two_computes_is_read_anew(void **state)
{
	struct wire_graph w = graph_add(&g);
	float *f = (float *)(void *)g.data.ptr;
	static const char *const ops[] = { "ADD", "SUB", "MUL" };

	(void)state;
	assert_true(guest_computes(&g)); /* a = i, b = 100 i */
	for (int round = 0; round < 20; round++) {
		w.tensors[2].op = (uint32_t)ggml_op(ops[round % 3]);
		assert_int_equal(graph_try(&g, &w), 0);
		assert_int_equal(tensor_get(&g, g.buffer, &w.tensors[2], 0, 32), 0);
		for (int i = 0; i < 8; i++) {
			float a = (float)i, b = (float)(100 * i);

			assert_true(f[i] == (round % 3 == 0 ? a + b : round % 3 == 1 ? a - b : a * b));
		}
	}
	w.tensors[2].op = 101;
	assert_refused(graph_try(&g, &w));
	assert_unharmed();
}

/* Flips fields of the shared bytes between right and wrong as fast as it can. */
static struct {
	_Atomic bool stop;
	uint32_t add;
} scribbler;

static void *scribble(void *unused)
{
	volatile uint8_t *node = g.data.ptr + 4 + 8 + 4 + 2 * sizeof(struct apir_tensor);
	volatile uint32_t *op = (volatile uint32_t *)(volatile void *)(node + offsetof(struct apir_tensor, op));
	volatile uint32_t *n_nodes = (volatile uint32_t *)(volatile void *)g.data.ptr;
	volatile uint32_t *place =
		(volatile uint32_t *)(volatile void *)(node + offsetof(struct apir_tensor, data) + 4);

	(void)unused;
	for (uint32_t i = 0; !atomic_load(&scribbler.stop); i++) {
		*op = i % 3 ? scribbler.add : 0xffffffff;
		*n_nodes = i % 5 ? 1 : 0xffffffff;
		*place = i % 7 ? 0 : 0xffffffff;
	}
	return NULL;
}

static void a_graph_that_changes_while_it_is_read_is_right_or_refused(void **state)
{
	struct wire_graph w = graph_add(&g);
	size_t n = graph_put(&g, &w), right = 0, refused = 0;
	pthread_t t;

	(void)state;
	scribbler.add = (uint32_t)ggml_op("ADD");
	atomic_store(&scribbler.stop, false);
	assert_int_equal(pthread_create(&t, NULL, scribble, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		int32_t status = -1;
		int64_t code = graph_run(&g, g.data.res, n, &status);

		right += code == 0 && status == 0;
		refused += code == REFUSED;
	}
	atomic_store(&scribbler.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(right + refused, 3000);
	assert_unharmed();
}

static void a_guest_does_not_fill_the_log(void **state)
{
	struct capture c;
	char *heard;

	(void)state;
	capture_begin(&c);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t right = g.reply.res;

		args_start(&g);
		command(&g, 77, 0);          /* unknown types */
		g.reply.res = 0x1000000 + i; /* unknown blobs */
		forward(&g, 0);
		g.reply.res = right;
		apir_submit(h->apir, 1, 0, "", 1);                            /* no header */
		buffer_free(&g, i);                                           /* refusals */
		buffer_alloc(&g, UINT64_C(1) << 60);                          /* what ggml says of it */
		apir_blob_create(h->apir, 0xf0000000 + i, UINT64_C(1) << 60); /* over the quota */
	}
	heard = capture_end(&c);
	assert_true(strlen(heard) < 150000);
	assert_true(strlen(heard) > 1000); /* something is said */
	free(heard);
	assert_unharmed();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_watched, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(arguments_cut_anywhere_are_refused),
		TEST(a_command_cut_in_its_header_is_dropped),
		TEST(an_unknown_reply_blob_is_dropped),
		TEST(unknown_types_are_refused),
		TEST(an_index_of_no_function_answers_4_plus_6),
		TEST(a_handshake_cut_short_is_no_handshake),
		TEST(a_greeting_with_a_bad_place_gets_no_heartbeat),
		TEST(hello_agrees_to_nothing_that_is_unknown),
		TEST(names_are_not_told_for_a_question_that_is_cut),
		TEST(wrong_use_counts_do_no_harm),
		TEST(writes_cut_or_outside_of_their_buffer_are_refused),
		TEST(forged_handles_are_refused),
		TEST(handles_of_the_other_type_are_refused),
		TEST(stale_handles_are_refused_though_their_place_is_taken),
		TEST(another_contexts_handles_and_blobs_are_refused),
		TEST(cve_2024_42479_set_and_get_outside_of_the_tensor_are_refused),
		TEST(tensors_outside_of_their_buffer_are_refused),
		TEST(shapes_that_reach_beyond_the_buffer_are_refused),
		TEST(a_place_beyond_the_blob_is_refused),
		TEST(sizes_larger_than_the_blob_are_refused),
		TEST(copies_that_would_overflow_are_not_made),
		TEST(cve_2026_34159_a_tensor_without_a_buffer_has_no_data),
		TEST(cve_2026_34159_nor_is_it_read_through_a_node_that_computes_nothing),
		TEST(blocks_that_are_apart_are_looked_at_and_never_read),
		TEST(types_that_ggml_has_not_are_refused),
		TEST(rows_of_partial_blocks_are_refused),
		TEST(operations_that_carry_pointers_or_are_none_are_refused),
		TEST(sub_operations_out_of_range_are_refused),
		TEST(a_graph_cut_anywhere_is_refused),
		TEST(graphs_that_announce_too_much_are_refused),
		TEST(bad_ids_are_refused),
		TEST(cycles_and_forward_references_are_refused),
		TEST(a_view_of_another_buffer_is_refused),
		TEST(a_kept_graph_dies_with_its_buffer),
		TEST(a_graph_changed_between_two_computes_is_read_anew),
		TEST(a_graph_that_changes_while_it_is_read_is_right_or_refused),
		TEST(a_guest_does_not_fill_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
