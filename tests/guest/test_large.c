/* SPDX-License-Identifier: MIT */
/*
 * Tensors past 32 bits, more than APIR 0.2 can carry of a shape: no memory is to be had for one, and one line says why,
 * before anything is in it. Where a view is such a tensor its bytes are read and written nevertheless. Little of the
 * memory here is ever touched, so little of it is there.
 */
#include "tests/guest/scenario.h"

#include <string.h>

#include "proto/util.h"
#include "tests/support/capture.h"
#include "tests/support/ggml.h"

#define GIB ((size_t)1 << 30)

static size_t lines_with(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* No memory for the context's tensors, and one line of ours that has `text`. */
static void memory_refused(const struct program *p, struct abi_context *ctx, const char *text)
{
	struct abi_buffer *buffer;
	struct capture c;
	char *heard;

	capture_begin(&c);
	buffer = p->f.backend_alloc_ctx_tensors(ctx, p->gpu);
	heard = capture_end(&c);
	CHECK(!buffer);
	if (!strstr(heard, text) || lines_with(heard, "ggml-virtgpu: ") != 1) {
		fprintf(stderr, "expected once: %s\nheard: %s\n", text, heard);
		_exit(1);
	}
	free(heard);
}

SCENARIO(memory_for_a_stride_past_32_bits_is_refused_in_one_line)
{
	struct abi_context *ctx;
	struct abi_tensor *k;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (int others = 0; others < 3; others++) {
		ctx = program_context(&p);
		if (others > 0)
			p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
		k = p.g.new_tensor_4d(ctx, ggml_type("f16"), 1024, 2200000, 2, 1);
		strcpy(k->name, "cache_k");
		if (others > 1)
			p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
		memory_refused(&p, ctx,
			"alloc_buffer: no memory for tensor 'cache_k', 1024 x 2200000 x 2 x 1: a dimension or stride");
		p.g.free(ctx);
	}
	program_end(&p);
}

SCENARIO(memory_for_a_dimension_past_32_bits_is_refused_in_one_line)
{
	struct abi_context *ctx;
	struct abi_tensor *t;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	t = p.g.new_tensor_4d(ctx, ggml_type("i8"), 5 * (int64_t)GIB, 1, 1, 1);
	strcpy(t->name, "long");
	memory_refused(&p, ctx, "alloc_buffer: no memory for tensor 'long', 5368709120 x 1 x 1 x 1: a dimension or");
	p.g.free(ctx);
	/* many of them don't sum up to what is there */
	ctx = program_context(&p);
	for (int i = 0; i < 1024; i++) {
		t = p.g.new_tensor_4d(ctx, ggml_type("i8"), 5 * (int64_t)GIB, 1, 1, 1);
		strcpy(t->name, "long");
	}
	memory_refused(&p, ctx, "alloc_buffer: no memory for tensor 'long'");
	p.g.free(ctx);
	program_end(&p);
}

SCENARIO(after_a_refusal_memory_is_to_be_had)
{
	struct abi_context *ctx;
	struct abi_buffer *b;
	struct net gpu, cpu;
	struct program p;
	struct capture c;
	char *heard;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	p.g.new_tensor_4d(ctx, ggml_type("i8"), 5 * (int64_t)GIB, 1, 1, 1);
	memory_refused(&p, ctx, "alloc_buffer: no memory for tensor ''");
	p.g.free(ctx);
	capture_begin(&c); /* what is simply too much is told as that */
	b = p.g.buft_alloc_buffer(p.g.dev_buffer_type(p.dev), (size_t)1 << 51);
	heard = capture_end(&c);
	CHECK(!b && !strstr(heard, "32 bits") && strstr(heard, "alloc_buffer: "));
	free(heard);
	net_make(&gpu, &p, p.gpu, 64, 2, 1);
	net_make(&cpu, &p, p.cpu, 64, 2, 1);
	net_input(&gpu, &p, 2);
	net_input(&cpu, &p, 2);
	nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

/* Two rows of a tensor that fits, more than 4 GiB apart, as a view: it doesn't fit. */
struct apart {
	struct program p;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *whole, *rows;
	size_t stride;
};

#define ROW 4096 /* bytes */

static void apart_make(struct apart *a)
{
	int64_t n = (int64_t)(4 * GIB / ROW) + 8;

	program_start(&a->p, server.socket);
	a->ctx = program_context(&a->p);
	a->whole = a->p.g.new_tensor_4d(a->ctx, 0, ROW / 4, n + 1, 1, 1);
	a->stride = (size_t)n * ROW;
	a->rows = a->p.f.view_2d(a->ctx, a->whole, ROW / 4, 2, a->stride, 0);
	strcpy(a->rows->name, "rows");
	a->buffer = a->p.f.backend_alloc_ctx_tensors(a->ctx, a->p.gpu);
	CHECK(a->buffer);
}

static void apart_end(struct apart *a)
{
	a->p.g.buffer_free(a->buffer);
	a->p.g.free(a->ctx);
	program_end(&a->p);
}

static void bytes_fill(uint8_t *v, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (uint8_t)(i * 7 + seed * 31 + (i >> 8));
}

SCENARIO(a_view_past_32_bits_is_read_and_written)
{
	static const size_t sizes[] = { 4, 64, ROW }, places[] = { 0, 16 };
	uint8_t want[ROW], got[ROW];
	struct apart a;
	uint32_t seed = 0;

	(void)unused;
	apart_make(&a);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (size_t i = 0; i < 4; i++) {
			size_t at = places[i % 2] + (i / 2) * a.stride, n = sizes[s];

			if (places[i % 2] + n > ROW)
				n -= places[i % 2];
			bytes_fill(want, n, ++seed);
			a.p.g.tensor_set(a.rows, want, at, n);
			a.p.g.tensor_get(a.whole, got, at, n);
			CHECK(!memcmp(want, got, n));
			bytes_fill(want, n, ++seed);
			a.p.g.tensor_set(a.whole, want, at, n);
			a.p.g.tensor_get(a.rows, got, at, n);
			CHECK(!memcmp(want, got, n));
		}
	}
	a.p.f.backend_tensor_memset(a.rows, 9, a.stride, ROW);
	a.p.g.tensor_get(a.whole, got, a.stride, ROW);
	for (size_t i = 0; i < ROW; i++)
		CHECK(got[i] == 9);
	apart_end(&a);
}

/* A shape that became one that its memory can't hold: the program's fault, which it is told of. */
SCENARIO(what_reaches_beyond_its_buffer_is_told_and_never_made_up)
{
	uint8_t bytes[64], zeros[64] = { 0 };
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *t;
	struct program p;
	struct capture c;
	char *heard;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	t = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	strcpy(t->name, "torn");
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	memset(bytes, 7, sizeof bytes);
	p.g.tensor_set(t, bytes, 0, sizeof bytes);
	t->ne[0] = (int64_t)1 << 33;
	capture_begin(&c);
	p.g.tensor_set(t, bytes, 0, sizeof bytes);
	p.g.tensor_get(t, bytes, 0, sizeof bytes);
	heard = capture_end(&c);
	CHECK(strstr(heard, "set_tensor: 'torn' reaches beyond its buffer"));
	CHECK(strstr(heard, "get_tensor: 'torn' reaches beyond its buffer"));
	CHECK(!memcmp(bytes, zeros, sizeof bytes));
	free(heard);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

/* Where ggml's scheduler couldn't go on, the program goes on to an error that it can handle. */
SCENARIO(what_writes_past_32_bits_fails_when_it_is_computed_and_is_never_the_schedulers_abort)
{
	struct abi_tensor *elsewhere, *here;
	struct abi_graph *graph;
	struct capture c;
	struct apart a;
	int32_t status;
	char *heard;

	(void)unused;
	apart_make(&a);
	elsewhere = a.p.f.scale(a.ctx, a.rows, 2.0f);
	CHECK(!a.p.g.dev_supports_op(a.p.dev, elsewhere)); /* let another backend do it */
	CHECK(a.p.g.dev_supports_op(a.p.dev, a.rows));     /* it computes nothing */
	here = a.p.f.scale(a.ctx, a.rows, 2.0f);
	here->view_src = a.whole;
	here->buffer = a.buffer;
	here->data = a.rows->data;
	memcpy(here->nb, a.rows->nb, sizeof here->nb);
	CHECK(a.p.g.dev_supports_op(a.p.dev, here));
	graph = a.p.f.new_graph(a.ctx);
	a.p.f.build_forward_expand(graph, here);
	capture_begin(&c);
	status = a.p.g.graph_compute(a.p.gpu, graph);
	heard = capture_end(&c);
	CHECK(status == ABI_STATUS_FAILED);
	CHECK(strstr(heard, "has a dimension or stride past 32 bits"));
	free(heard);
	apart_end(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_for_a_stride_past_32_bits_is_refused_in_one_line),
		cmocka_unit_test(memory_for_a_dimension_past_32_bits_is_refused_in_one_line),
		cmocka_unit_test(after_a_refusal_memory_is_to_be_had),
		cmocka_unit_test(what_reaches_beyond_its_buffer_is_told_and_never_made_up),
		cmocka_unit_test(a_view_past_32_bits_is_read_and_written),
		cmocka_unit_test(what_writes_past_32_bits_fails_when_it_is_computed_and_is_never_the_schedulers_abort),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_up, server_down);
}
