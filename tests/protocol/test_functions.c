/* SPDX-License-Identifier: MIT */
/* Each of APIR's functions answers right, asked by the raw protocol. */
#include "tests/support/cm.h"

#include <string.h>
#include <sys/stat.h>

#include "ggml-abi/abi.h"
#include "tests/protocol/fixture.h"
#include "tests/support/ggml.h"

static int64_t ask(uint32_t fn)
{
	args_start(&g);
	return forward(&g, fn);
}

static int64_t ask_about(uint32_t fn, uint64_t handle)
{
	args_start(&g);
	arg_u64(&g, handle);
	return forward(&g, fn);
}

static void the_handshake_tells_version_0_2_with_both_bases(void **state)
{
	struct guest other;
	uint32_t major, minor;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(guest_open(&other, h, 2 + i));
		other.type_base = i ? APIR_VENUS_TYPE_BASE : 0;
		major = minor = 99;
		assert_int_equal(handshake(&other, &major, &minor), APIR_HANDSHAKE_MAGIC);
		assert_int_equal(major, 0);
		assert_int_equal(minor, 2);
		assert_true(guest_ready(&other));
		assert_true(guest_computes(&other));
		guest_close(&other);
	}
}

/* A handshake of 0.2 with more behind it; then the code of FORWARD's function 3. In figures, as they travel. */
static int64_t forwards_after(uint32_t ctx, const uint32_t *more, size_t size)
{
	struct guest other;
	int64_t code;

	assert_true(guest_open(&other, h, ctx));
	args_start(&other);
	arg_u32(&other, 0);
	arg_u32(&other, 2);
	arg_bytes(&other, more, size);
	assert_int_equal(command(&other, 0, 0), 0xab1e);
	args_start(&other);
	assert_int_equal(command(&other, 1, 0), 0);
	args_start(&other);
	code = command(&other, 2, 3);
	args_start(&other);
	assert_int_equal(command(&other, 2, 23), 4 + 6); /* failures are everybody's alike */
	guest_close(&other);
	return code;
}

/* Our first plugins greet behind the version, and take 0 for success and nothing else. */
static void who_greets_as_our_first_plugins_hears_0_and_everybody_else_4(void **state)
{
	uint32_t greeting[3] = { 0x54524248, 0, 0x4000 - 64 };

	(void)state;
	assert_int_equal(forwards_after(2, greeting, 0), 4);
	assert_int_equal(forwards_after(3, greeting, sizeof greeting), 0); /* also where its word can't be kept */
	assert_int_equal(forwards_after(4, greeting, sizeof greeting - 1), 4);
	greeting[0]++;
	assert_int_equal(forwards_after(5, greeting, sizeof greeting), 4);
}

/* A guest can't change what it is in mid-course. In figures, as they travel. */
static void the_first_handshake_decides_and_no_later_one(void **state)
{
	static const uint32_t greeting[3] = { 0x54524248, 0, 0x4000 - 64 };

	(void)state;
	for (uint32_t greets = 0; greets < 2; greets++) {
		struct guest other;

		assert_true(guest_open(&other, h, 2 + greets));
		for (uint32_t i = 0; i < 3; i++) {
			args_start(&other);
			arg_u32(&other, 0);
			if (i == 0) /* cut short, it is none */
				assert_int_equal(command(&other, 0, 0), 0);
			args_start(&other);
			arg_u32(&other, 0);
			arg_u32(&other, 2);
			arg_bytes(&other, greeting, (i + greets) % 2 ? sizeof greeting : 0);
			assert_int_equal(command(&other, 0, 0), 0xab1e);
			args_start(&other);
			assert_int_equal(command(&other, 1, 0), i ? 2 : 0);
			args_start(&other);
			assert_int_equal(command(&other, 2, 3), greets ? 0 : 4);
		}
		guest_close(&other);
	}
}

static void functions_0_and_1_count_one_device(void **state)
{
	int32_t n = -1;

	(void)state;
	for (uint32_t fn = 0; fn < 2; fn++) {
		assert_int_equal(ask(fn), 0);
		assert_true(cursor_read_i32(&g.answer, &n));
		assert_int_equal(n, 1);
	}
}

static void functions_2_and_3_name_and_describe_it(void **state)
{
	const char *s;

	(void)state;
	assert_int_equal(ask(2), 0);
	assert_true(cursor_read_string(&g.answer, &s));
	assert_string_equal(s, "CPU");
	assert_int_equal(ask(3), 0);
	assert_true(cursor_read_string(&g.answer, &s));
	assert_true(strlen(s) > 0);
}

/* A CPU library's too: upstream's guest passes it on to llama.cpp, which offloads to GPUs. */
static void function_4_tells_type_gpu(void **state)
{
	uint32_t type = 99;

	(void)state;
	assert_int_equal(ask(4), 0);
	assert_true(cursor_read_u32(&g.answer, &type));
	assert_int_equal(type, ABI_DEV_GPU);
	assert_int_equal(type, 1);
}

static void function_5_tells_its_memory(void **state)
{
	uint64_t free_bytes = 1, total = 0;

	(void)state;
	assert_int_equal(ask(5), 0);
	assert_true(cursor_read_u64(&g.answer, &free_bytes) && cursor_read_u64(&g.answer, &total));
	assert_true(total > 0 && free_bytes <= total);
}

static bool supports(int32_t op, int32_t type)
{
	struct abi_tensor t = { .type = type, .ne = { 8, 1, 1, 1 }, .nb = { 4, 32, 32, 32 }, .op = op };
	struct abi_tensor src = t;
	bool yes = true;

	src.op = 0;
	t.src[0] = t.src[1] = &src; /* that it isn't NULL is all that counts */
	args_start(&g);
	arg_bytes(&g, &t, sizeof t);
	arg_bytes(&g, &src, sizeof src);
	arg_bytes(&g, &src, sizeof src);
	assert_int_equal(forward(&g, 6), 0);
	assert_true(cursor_read_bool(&g.answer, &yes));
	return yes;
}

static void function_6_tells_which_operations_are_supported(void **state)
{
	(void)state;
	assert_true(supports(ggml_op("ADD"), 0));
	assert_true(supports(ggml_op("MUL_MAT"), 0));
	assert_false(supports(ggml_op("CUSTOM"), 0));
	assert_false(supports(ggml_op("MAP_CUSTOM1"), 0));
	assert_false(supports(101, 0));
	assert_false(supports(-1, 0));
	assert_false(supports(ggml_op("ADD"), 4));
	assert_false(supports(ggml_op("ADD"), -1));
}

static void function_7_gives_the_same_buffer_type_each_time(void **state)
{
	uint64_t first = 0, second = 0;

	(void)state;
	assert_int_equal(ask(7), 0);
	assert_true(cursor_read_u64(&g.answer, &first));
	assert_int_equal(ask(7), 0);
	assert_true(cursor_read_u64(&g.answer, &second));
	assert_true(first != 0 && first == second);
}

static void function_8_tells_five_properties(void **state)
{
	bool p[5];

	(void)state;
	assert_int_equal(ask(8), 0);
	for (int i = 0; i < 5; i++)
		assert_true(cursor_read_bool(&g.answer, &p[i]));
	assert_false(p[0] || p[1] || p[3]); /* the CPU: nothing asynchronous, no host buffer, no events */
	assert_true(p[2]);                  /* but buffers on given memory */
}

static void function_9_makes_a_buffer_on_a_blob(void **state)
{
	struct wire_graph w = graph_add(&g);
	struct guest_blob blob;
	uint64_t buffer = 0, buft = 0;
	float *f;

	(void)state;
	assert_true(guest_blob_make(&g, 16384, &blob));
	f = (float *)(void *)blob.ptr;
	args_start(&g);
	arg_u32(&g, blob.res);
	arg_u64(&g, 16384);
	arg_u64(&g, 16384);
	assert_int_equal(forward(&g, 9), 0);
	assert_true(cursor_read_u64(&g.answer, &buffer) && cursor_read_u64(&g.answer, &buft));
	assert_true(buffer != 0);
	assert_true(buft == g.buft);
	for (int i = 0; i < 8; i++) {
		f[i] = (float)i;
		f[16 + i] = 0.5f;
	}
	for (int i = 0; i < 3; i++)
		w.tensors[i].buffer = buffer;
	assert_int_equal(graph_try(&g, &w), 0);
	for (int i = 0; i < 8; i++)
		assert_true(f[32 + i] == (float)i + 0.5f);
	/* The buffer outlives the blob: its memory is mapped on its own. */
	guest_blob_drop(&g, &blob);
	assert_int_equal(graph_try(&g, &w), 0);
	assert_int_equal(tensor_get(&g, buffer, &w.tensors[2], 0, 32), 0);
	f = (float *)(void *)g.data.ptr;
	assert_true(f[7] == 7.5f);
	assert_int_equal(buffer_free(&g, buffer), 0);
}

static void functions_10_to_13_describe_the_buffer_type(void **state)
{
	uint64_t alignment = 0, max = 0;
	bool is_host = true;
	const char *s;

	(void)state;
	assert_int_equal(ask_about(10, g.buft), 0);
	assert_true(cursor_read_string(&g.answer, &s));
	assert_string_equal(s, "CPU");
	assert_int_equal(ask_about(11, g.buft), 0);
	assert_true(cursor_read_u64(&g.answer, &alignment));
	assert_true(alignment > 0 && (alignment & (alignment - 1)) == 0);
	assert_int_equal(ask_about(12, g.buft), 0);
	assert_true(cursor_read_u64(&g.answer, &max));
	assert_true(max > 0);
	assert_int_equal(ask_about(13, g.buft), 0);
	assert_true(cursor_read_bool(&g.answer, &is_host));
	assert_false(is_host);
}

static void functions_14_and_21_allocate_and_free(void **state)
{
	uint64_t a, b;

	(void)state;
	a = buffer_alloc(&g, 4096);
	b = buffer_alloc(&g, 4096);
	assert_true(a && b && a != b);
	assert_int_equal(buffer_free(&g, a), 0);
	assert_int_equal(buffer_free(&g, a), REFUSED);
	assert_int_equal(buffer_free(&g, b), 0);
	assert_true(buffer_alloc(&g, UINT64_C(1) << 60) == 0); /* out of memory is an answer */
	a = buffer_alloc(&g, 0);
	assert_true(a != 0);
	assert_int_equal(buffer_free(&g, a), 0);
}

static void function_15_tells_a_tensors_allocation(void **state)
{
	struct abi_tensor t = { .type = 0, .ne = { 8, 3, 1, 1 }, .nb = { 4, 32, 96, 96 } };
	uint64_t size = 0;

	(void)state;
	args_start(&g);
	arg_u64(&g, g.buft);
	arg_bytes(&g, &t, sizeof t);
	assert_int_equal(forward(&g, 15), 0);
	assert_true(cursor_read_u64(&g.answer, &size));
	assert_int_equal(size, 96);
}

static void function_16_tells_a_base_that_is_no_address(void **state)
{
	uint64_t base[2] = { 0 }, again = 0, other = buffer_alloc(&g, 1 << 20);

	(void)state;
	assert_int_equal(ask_about(16, g.buffer), 0);
	assert_true(cursor_read_u64(&g.answer, &base[0]));
	assert_int_equal(ask_about(16, other), 0);
	assert_true(cursor_read_u64(&g.answer, &base[1]));
	assert_int_equal(ask_about(16, g.buffer), 0);
	assert_true(cursor_read_u64(&g.answer, &again));
	assert_true(base[0] == again);
	assert_true(base[0] != 0 && base[0] % 4096 == 0);
	assert_true(base[1] >= base[0] + GUEST_BUFFER); /* the buffers don't overlap in the guest's eyes */
	assert_true(base[0] < UINT64_C(1) << 45); /* below what Linux gives processes: nothing is told of the host */
	assert_int_equal(buffer_free(&g, other), 0);
}

static void functions_17_and_18_set_and_get_bytes(void **state)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 256, 1024, 8);

	(void)state;
	for (int i = 0; i < 32768; i++)
		g.data.ptr[i] = (uint8_t)(i * 7);
	assert_int_equal(tensor_set(&g, g.buffer, &t, 0, 32768), 0);
	memset(g.data.ptr, 0xee, 16);
	assert_int_equal(tensor_set(&g, g.buffer, &t, 100, 16), 0);
	memset(g.data.ptr, 0, 32768);
	assert_int_equal(tensor_get(&g, g.buffer, &t, 0, 32768), 0);
	for (int i = 0; i < 32768; i++)
		assert_int_equal(g.data.ptr[i], i >= 100 && i < 116 ? 0xee : (uint8_t)(i * 7));
	assert_int_equal(tensor_get(&g, g.buffer, &t, 32767, 1), 0);
	assert_int_equal(g.data.ptr[0], (uint8_t)(32767 * 7));
	assert_int_equal(tensor_get(&g, g.buffer, &t, 0, 0), 0);
	assert_int_equal(tensor_set(&g, g.buffer, &t, 32768, 0), 0);
}

static void function_19_copies_between_buffers(void **state)
{
	uint64_t other = buffer_alloc(&g, 4096);
	struct apir_tensor src = tensor_f32(1, g.buffer, 0, 16, 1), dst = tensor_f32(2, other, 128, 16, 1);
	bool done = false;

	(void)state;
	memset(g.data.ptr, 0x5a, 64);
	assert_int_equal(tensor_set(&g, g.buffer, &src, 0, 64), 0);
	args_start(&g);
	arg_u64(&g, other);
	arg_bytes(&g, &src, sizeof src);
	arg_bytes(&g, &dst, sizeof dst);
	assert_int_equal(forward(&g, 19), 0);
	assert_true(cursor_read_bool(&g.answer, &done));
	assert_true(done);
	memset(g.data.ptr, 0, 64);
	assert_int_equal(tensor_get(&g, other, &dst, 0, 64), 0);
	for (int i = 0; i < 64; i++)
		assert_int_equal(g.data.ptr[i], 0x5a);
	assert_int_equal(buffer_free(&g, other), 0);
}

static void function_20_clears_a_buffer(void **state)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, GUEST_BUFFER / 4, 1);

	(void)state;
	args_start(&g);
	arg_u64(&g, g.buffer);
	arg_u32(&g, 0xabcdef77); /* one byte of four counts */
	assert_int_equal(forward(&g, 20), 0);
	assert_int_equal(tensor_get(&g, g.buffer, &t, 0, GUEST_BUFFER), 0);
	for (size_t i = 0; i < GUEST_BUFFER; i++)
		assert_int_equal(g.data.ptr[i], 0x77);
}

/* relu(A B + C): A 8x4, B 8x3, C 4x3, every operation's number from its name. */
static void function_22_computes_a_graph(void **state)
{
	struct wire_graph w = { .n_nodes = 3, .n_tensors = 6, .nodes = { 4, 5, 6 } };
	float a[32], b[24], c[12], want[12], got[12];

	(void)state;
	for (int i = 0; i < 32; i++)
		a[i] = (float)(i % 7) - 3;
	for (int i = 0; i < 24; i++)
		b[i] = (float)(i % 5) - 2;
	for (int i = 0; i < 12; i++)
		c[i] = (float)i;
	for (int n = 0; n < 3; n++) {
		for (int m = 0; m < 4; m++) {
			float sum = c[n * 4 + m];

			for (int k = 0; k < 8; k++)
				sum += a[m * 8 + k] * b[n * 8 + k];
			want[n * 4 + m] = sum > 0 ? sum : 0;
		}
	}
	w.tensors[0] = tensor_f32(1, g.buffer, 0, 8, 4);
	w.tensors[1] = tensor_f32(2, g.buffer, 256, 8, 3);
	w.tensors[2] = tensor_f32(3, g.buffer, 512, 4, 3);
	w.tensors[3] = tensor_f32(4, g.buffer, 1024, 4, 3);
	w.tensors[3].op = (uint32_t)ggml_op("MUL_MAT");
	w.tensors[3].src[0] = 1;
	w.tensors[3].src[1] = 2;
	w.tensors[4] = tensor_f32(5, g.buffer, 1280, 4, 3);
	w.tensors[4].op = (uint32_t)ggml_op("ADD");
	w.tensors[4].src[0] = 4;
	w.tensors[4].src[1] = 3;
	w.tensors[5] = tensor_f32(6, g.buffer, 1536, 4, 3);
	w.tensors[5].op = (uint32_t)ggml_op("UNARY");
	w.tensors[5].op_params[0] = ggml_unary("RELU");
	w.tensors[5].src[0] = 5;
	memcpy(g.data.ptr, a, sizeof a);
	assert_int_equal(tensor_set(&g, g.buffer, &w.tensors[0], 0, sizeof a), 0);
	memcpy(g.data.ptr, b, sizeof b);
	assert_int_equal(tensor_set(&g, g.buffer, &w.tensors[1], 0, sizeof b), 0);
	memcpy(g.data.ptr, c, sizeof c);
	assert_int_equal(tensor_set(&g, g.buffer, &w.tensors[2], 0, sizeof c), 0);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(graph_try(&g, &w), 0);
		assert_int_equal(tensor_get(&g, g.buffer, &w.tensors[5], 0, sizeof got), 0);
		memcpy(got, g.data.ptr, sizeof got);
		for (int i = 0; i < 12; i++)
			assert_true(got[i] == want[i]);
	}
}

static void write_sets_several_ranges_at_once(void **state)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 64, 1);
	struct apir_write w[2] = { { g.buffer, 3, 5 }, { g.buffer, 100, 16 } };

	(void)state;
	memset(g.data.ptr, 0, 256);
	assert_int_equal(tensor_set(&g, g.buffer, &t, 0, 256), 0);
	args_start(&g);
	arg_bytes(&g, &w[0], sizeof w[0]);
	arg_bytes(&g, "abcdefgh", 8); /* five bytes and padding */
	arg_bytes(&g, &w[1], sizeof w[1]);
	arg_bytes(&g, "ABCDEFGHIJKLMNOP", 16);
	assert_int_equal(forward(&g, APIR_FN_WRITE), 0);
	assert_int_equal(tensor_get(&g, g.buffer, &t, 0, 256), 0);
	assert_memory_equal(g.data.ptr, "\0\0\0abcde\0", 9);
	assert_memory_equal(g.data.ptr + 99, "\0ABCDEFGHIJKLMNOP\0", 18);
}

static void a_graph_in_a_blob_of_its_own_computes(void **state)
{
	struct wire_graph w = graph_add(&g);
	struct guest_blob blob;
	int32_t status = -1;
	size_t n;

	(void)state;
	assert_true(guest_computes(&g));
	n = graph_put(&g, &w);
	assert_true(guest_blob_make(&g, n, &blob));
	memcpy(blob.ptr, g.data.ptr, n);
	assert_int_equal(graph_run(&g, blob.res, n, &status), 0);
	assert_int_equal(status, ABI_STATUS_SUCCESS);
	guest_blob_drop(&g, &blob);
}

static void a_view_computes_on_its_sources_memory(void **state)
{
	struct wire_graph w = graph_add(&g);
	float *f = (float *)(void *)g.data.ptr;

	(void)state;
	assert_true(guest_computes(&g)); /* a = i, b = 100 i */
	w.tensors[1] = w.tensors[0];     /* b: the last half of a, twice broadcast */
	w.tensors[1].id = 2;
	w.tensors[1].op = (uint32_t)ggml_op("VIEW");
	w.tensors[1].ne[0] = 4;
	w.tensors[1].nb[1] = w.tensors[1].nb[2] = w.tensors[1].nb[3] = 16;
	w.tensors[1].data = 16;
	w.tensors[1].src[0] = w.tensors[1].view_src = 1;
	w.tensors[1].view_offs = 16;
	assert_int_equal(graph_try(&g, &w), 0);
	assert_int_equal(tensor_get(&g, g.buffer, &w.tensors[2], 0, 32), 0);
	for (int i = 0; i < 8; i++)
		assert_true(f[i] == (float)(i + 4 + i % 4));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_handshake_tells_version_0_2_with_both_bases),
		TEST(the_first_handshake_decides_and_no_later_one),
		TEST(who_greets_as_our_first_plugins_hears_0_and_everybody_else_4),
		TEST(functions_0_and_1_count_one_device),
		TEST(functions_2_and_3_name_and_describe_it),
		TEST(function_4_tells_type_gpu),
		TEST(function_5_tells_its_memory),
		TEST(function_6_tells_which_operations_are_supported),
		TEST(function_7_gives_the_same_buffer_type_each_time),
		TEST(function_8_tells_five_properties),
		TEST(function_9_makes_a_buffer_on_a_blob),
		TEST(functions_10_to_13_describe_the_buffer_type),
		TEST(functions_14_and_21_allocate_and_free),
		TEST(function_15_tells_a_tensors_allocation),
		TEST(function_16_tells_a_base_that_is_no_address),
		TEST(functions_17_and_18_set_and_get_bytes),
		TEST(function_19_copies_between_buffers),
		TEST(function_20_clears_a_buffer),
		TEST(function_22_computes_a_graph),
		TEST(write_sets_several_ranges_at_once),
		TEST(a_graph_in_a_blob_of_its_own_computes),
		TEST(a_view_computes_on_its_sources_memory),
	};

	return cmocka_run_group_tests(tests, open_ready, close_all);
}
