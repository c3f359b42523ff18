/* SPDX-License-Identifier: MIT */
/* Bytes written through the plugin are the bytes that come back, whatever their number, their order and the protocol. */
#include "tests/guest/scenario.h"

#include <string.h>

struct tensors {
	struct program p;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *a, *b;
	uint8_t *want, *got;
	size_t size;
};

/* Two tensors of `size` bytes (a multiple of 256) in one buffer. */
static void tensors_make(struct tensors *t, size_t size)
{
	*t = (struct tensors){ .size = size, .want = calloc(1, size), .got = calloc(1, size) };
	CHECK(t->want && t->got);
	program_start(&t->p, server.socket);
	t->ctx = program_context(&t->p);
	t->a = t->p.g.new_tensor_4d(t->ctx, 0, 64, (int64_t)(size / 256), 1, 1);
	t->b = t->p.g.new_tensor_4d(t->ctx, 0, 64, (int64_t)(size / 256), 1, 1);
	t->buffer = t->p.f.backend_alloc_ctx_tensors(t->ctx, t->p.gpu);
	CHECK(t->buffer && t->p.g.buffer_get_size(t->buffer) >= 2 * size);
}

static void tensors_free(struct tensors *t)
{
	t->p.g.buffer_free(t->buffer);
	t->p.g.free(t->ctx);
	program_end(&t->p);
	free(t->want);
	free(t->got);
}

static void holds(struct tensors *t, const struct abi_tensor *tensor)
{
	memset(t->got, 0xa5, t->size);
	t->p.g.tensor_get(tensor, t->got, 0, t->size);
	CHECK(!memcmp(t->want, t->got, t->size));
}

static void pattern(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

SCENARIO(what_is_set_is_got)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, 1 << 20);
	pattern(t.want, t.size, 1);
	t.p.g.tensor_set(t.a, t.want, 0, t.size);
	holds(&t, t.a);
	tensors_free(&t);
}

/* More than the data blob holds, so it travels in pieces. */
SCENARIO(more_than_24_mib_travel_in_pieces)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, (size_t)60 << 20);
	pattern(t.want, t.size, 2);
	t.p.g.tensor_set(t.a, t.want, 0, t.size);
	holds(&t, t.a);
	t.p.g.tensor_get(t.a, t.got, 1000, (size_t)30 << 20);
	CHECK(!memcmp(t.want + 1000, t.got, (size_t)30 << 20));
	tensors_free(&t);
}

/* Small and large writes in any order and place, some over others: the last one counts. */
SCENARIO(writes_over_writes_end_with_the_last)
{
	struct tensors t;
	uint32_t x = 12345;

	(void)unused;
	tensors_make(&t, 1 << 18);
	t.p.g.buffer_clear(t.buffer, 0);
	for (int i = 0; i < 3000; i++) {
		size_t off, n;

		x = x * 1664525u + 1013904223u;
		n = x % 7 == 0 ? (x >> 8) % 60000 : (x >> 8) % 64;
		x = x * 1664525u + 1013904223u;
		off = (x >> 8) % (t.size - n);
		pattern(t.want + off, n, x);
		t.p.g.tensor_set(t.a, t.want + off, off, n);
		if (i % 50 == 0) {
			off = (x >> 4) % (t.size - 256);
			t.p.g.tensor_get(t.a, t.got, off, 256);
			CHECK(!memcmp(t.want + off, t.got, 256));
		}
	}
	holds(&t, t.a);
	memset(t.want, 0, t.size);
	holds(&t, t.b); /* the neighbour is untouched */
	tensors_free(&t);
}

SCENARIO(writes_side_by_side_leave_each_other_alone)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, 4096);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < t.size; i += 64) {
			memset(t.want + i, (int)(i / 64) + round, 64);
			t.p.g.tensor_set(t.a, t.want + i, i, 64);
			t.p.g.tensor_set(t.b, t.want + i, i, 64);
		}
		holds(&t, t.a);
		holds(&t, t.b);
	}
	tensors_free(&t);
}

SCENARIO(rows_of_a_matrix_are_set_and_got)
{
	struct tensors t;
	uint8_t rows[32 * 16];

	(void)unused;
	tensors_make(&t, 256 * 64);
	pattern(t.want, t.size, 3);
	t.p.g.tensor_set(t.a, t.want, 0, t.size);
	pattern(rows, sizeof rows, 4);
	/* 32 rows of 16 bytes, every 256 bytes, from byte 40 on */
	t.p.f.backend_tensor_set_2d(t.a, rows, 40, 16, 32, 256, 16);
	for (size_t i = 0; i < 32; i++)
		memcpy(t.want + 40 + i * 256, rows + i * 16, 16);
	holds(&t, t.a);
	memset(rows, 0, sizeof rows);
	t.p.f.backend_tensor_get_2d(t.a, rows, 40, 16, 32, 256, 16);
	for (size_t i = 0; i < 32; i++)
		CHECK(!memcmp(t.want + 40 + i * 256, rows + i * 16, 16));
	tensors_free(&t);
}

SCENARIO(memset_fills_its_range_only)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, (size_t)4 << 20);
	pattern(t.want, t.size, 5);
	t.p.g.tensor_set(t.a, t.want, 0, t.size);
	t.p.f.backend_tensor_memset(t.a, 0x5a, 100, (size_t)3 << 20);
	memset(t.want + 100, 0x5a, (size_t)3 << 20);
	holds(&t, t.a);
	tensors_free(&t);
}

SCENARIO(a_copy_sees_the_writes_before_it)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, 4096);
	for (uint32_t round = 0; round < 50; round++) {
		pattern(t.want, t.size, round);
		t.p.g.tensor_set(t.a, t.want, 0, t.size);
		t.p.g.tensor_copy(t.a, t.b);
		memset(t.got, 0, t.size);
		t.p.g.tensor_set(t.a, t.got, 0, t.size); /* after it: too late */
		holds(&t, t.b);
	}
	tensors_free(&t);
}

SCENARIO(copies_to_and_from_the_programs_own_cpu_work)
{
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *host;
	struct tensors t;

	(void)unused;
	tensors_make(&t, 1 << 16);
	ctx = program_context(&t.p);
	host = t.p.g.new_tensor_4d(ctx, 0, 64, 256, 1, 1);
	buffer = t.p.f.backend_alloc_ctx_tensors(ctx, t.p.cpu);
	CHECK(buffer);
	pattern(t.want, t.size, 6);
	t.p.g.tensor_set(host, t.want, 0, t.size);
	t.p.g.tensor_copy(host, t.a);
	holds(&t, t.a);
	t.p.g.tensor_copy(t.a, t.b);
	t.p.f.backend_tensor_memset(host, 0, 0, t.size);
	t.p.g.tensor_copy(t.b, host);
	holds(&t, host);
	t.p.g.buffer_free(buffer);
	t.p.g.free(ctx);
	tensors_free(&t);
}

SCENARIO(a_clear_comes_after_the_writes_before_it)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, 4096);
	for (int round = 0; round < 20; round++) {
		pattern(t.want, t.size, 7);
		t.p.g.tensor_set(t.a, t.want, 0, t.size);
		t.p.g.buffer_clear(t.buffer, (uint8_t)round);
		t.p.g.tensor_set(t.b, t.want, 0, 64);
		memset(t.want + 64, round, t.size - 64);
		holds(&t, t.b);
		memset(t.want, round, t.size);
		holds(&t, t.a);
	}
	tensors_free(&t);
}

SCENARIO(a_freed_buffers_writes_bother_nobody)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, 4096);
	pattern(t.want, t.size, 8);
	t.p.g.tensor_set(t.a, t.want, 0, t.size);
	for (int i = 0; i < 50; i++) {
		struct abi_context *ctx = program_context(&t.p);
		struct abi_tensor *x = t.p.g.new_tensor_4d(ctx, 0, 64, 16, 1, 1);
		struct abi_buffer *b = t.p.f.backend_alloc_ctx_tensors(ctx, t.p.gpu);

		CHECK(b);
		t.p.g.tensor_set(x, t.got, 0, 64);
		t.p.g.buffer_free(b);
		t.p.g.free(ctx);
	}
	holds(&t, t.a);
	tensors_free(&t);
}

/* Tensors of all sizes: what lies between one's end and a write into the next is padding only up to where that starts. */
SCENARIO(bytes_before_a_neighbours_write_stay)
{
	uint8_t want[160], got[160];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (int64_t n = 1; n <= 40; n++) {
		struct abi_context *ctx = program_context(&p);
		struct abi_tensor *a = p.g.new_tensor_4d(ctx, 0, n, 1, 1, 1),
				  *b = p.g.new_tensor_4d(ctx, 0, 40, 1, 1, 1);
		struct abi_buffer *buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);

		CHECK(buffer);
		pattern(want, sizeof want, (uint32_t)n);
		p.g.tensor_set(b, want, 0, sizeof want);
		p.g.tensor_get(b, got, 0, sizeof got);
		for (size_t at = 0; at < 64; at += 4) {
			p.g.tensor_set(a, want, 0, (size_t)n * 4);
			p.g.tensor_set(b, want + at, at, 8);
			p.g.tensor_get(b, got, 0, sizeof got);
			CHECK(!memcmp(want, got, sizeof got));
		}
		p.g.buffer_free(buffer);
		p.g.free(ctx);
	}
	program_end(&p);
}

SCENARIO(more_memory_than_there_is_gives_no_buffer)
{
	struct tensors t;

	(void)unused;
	tensors_make(&t, 256);
	CHECK(!t.p.g.buft_alloc_buffer(t.p.g.dev_buffer_type(t.p.dev), (size_t)1 << 45));
	pattern(t.want, t.size, 9);
	t.p.g.tensor_set(t.a, t.want, 0, t.size);
	holds(&t, t.a);
	tensors_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_memory_than_there_is_gives_no_buffer),
		cmocka_unit_test(what_is_set_is_got),
		cmocka_unit_test(more_than_24_mib_travel_in_pieces),
		cmocka_unit_test(writes_over_writes_end_with_the_last),
		cmocka_unit_test(writes_side_by_side_leave_each_other_alone),
		cmocka_unit_test(bytes_before_a_neighbours_write_stay),
		cmocka_unit_test(rows_of_a_matrix_are_set_and_got),
		cmocka_unit_test(memset_fills_its_range_only),
		cmocka_unit_test(a_copy_sees_the_writes_before_it),
		cmocka_unit_test(copies_to_and_from_the_programs_own_cpu_work),
		cmocka_unit_test(a_clear_comes_after_the_writes_before_it),
		cmocka_unit_test(a_freed_buffers_writes_bother_nobody),
	};

	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_up, server_down);
}
