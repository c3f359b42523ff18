/* SPDX-License-Identifier: MIT */
/* From bytes to a graph, called directly: every cut and every changed byte, which would take too long by way of a worker. */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>

#include "backend/graph_build.h"
#include "ggml-abi/uid.h"
#include "tests/protocol/direct.h"

#define ROOM 4096

static struct backend_context *ctx;
static struct buffer *buffer;
static uint64_t handle;
static uint8_t *bytes; /* of a right graph */
static size_t size;

/* a + b, a view into it, its squares, a b'. */
static int open_with_graph(void **state)
{
	struct direct_graph g = { 0 };
	uint64_t a, b, sum, view;

	(void)state;
	ctx = direct_open();
	if (!ctx)
		return -1;
	ctx->features = APIR_FEATURE_USE_COUNTS | APIR_FEATURE_MEMORY;
	handle = direct_buffer(ctx, ROOM);
	buffer = handle_get(&ctx->handles, handle, OBJ_BUFFER);
	a = direct_tensor(&g, "NONE", handle, 0, 8, 4, 0, 0);
	b = direct_tensor(&g, "NONE", handle, 128, 8, 4, 0, 0);
	sum = direct_tensor(&g, "ADD", handle, 256, 8, 4, a, b);
	view = direct_tensor(&g, "VIEW", handle, 256 + 32, 8, 2, sum, 0);
	g.tensors[3].view_src = sum;
	g.tensors[3].view_offs = 32;
	direct_tensor(&g, "SQR", handle, 512, 8, 2, view, 0);
	direct_tensor(&g, "MUL_MAT", handle, 640, 4, 4, a, b);
	for (size_t i = 0; i < g.n_tensors; i++)
		g.tensors[i].memory = 1;
	bytes = direct_bytes(&g, &size);
	return bytes && buffer ? 0 : -1;
}

static int close_all(void **state)
{
	(void)state;
	free(bytes);
	context_close(ctx);
	return 0;
}

/* The n bytes' graph; NULL: refused. Nothing lies behind them, so that a sanitizer sees who looks there. */
static struct graph *build(const uint8_t *from, size_t n)
{
	uint8_t *exact = malloc(n);
	int32_t status = 0;
	struct graph *g;

	assert_non_null(exact);
	memcpy(exact, from, n);
	graph_incoming_fini(&ctx->incoming);
	assert_true(graph_incoming_copy(&ctx->incoming, exact, n));
	free(exact);
	g = graph_build(ctx, &status);
	assert_int_equal(status, 0);
	return g;
}

/* What a kernel may be given of it lies in the buffer, and names the graph's own tensors. */
static void assert_within(const struct graph *g)
{
	for (uint32_t i = 0; i < g->n_tensors; i++) {
		const struct abi_tensor *t = &g->tensors[i];
		size_t extent;

		for (int s = 0; s <= ABI_SRCS; s++) {
			const struct abi_tensor *other = s < ABI_SRCS ? t->src[s] : t->view_src;

			assert_true(!other || (other >= g->tensors && other <= t));
		}
		if (!t->data)
			continue;
		assert_ptr_equal(t->buffer, buffer->ggml);
		assert_true(abi_tensor_extent(
			t->ne, t->nb, ctx->lib.ops.blck_size[t->type], ctx->lib.ops.type_size[t->type], &extent));
		assert_true((char *)t->data >= buffer->base &&
			    range_ok((uint64_t)((char *)t->data - buffer->base), extent, ROOM));
	}
	assert_int_equal(ctx->lib.fn.graph_n_nodes(g->ggml), g->n_nodes);
}

static void a_right_graph_is_built_and_goes_without_a_trace(void **state)
{
	struct graph *g = build(bytes, size);

	(void)state;
	assert_non_null(g);
	assert_within(g);
	assert_int_equal(g->n_nodes, 4);
	assert_non_null(buffer->graphs);
	graph_free(&ctx->lib.fn, g);
	assert_null(buffer->graphs);
}

static void one_that_is_cut_anywhere_is_refused(void **state)
{
	(void)state;
	for (size_t n = 1; n < size; n++) {
		assert_null(build(bytes, n));
		assert_null(buffer->graphs);
	}
	assert_int_equal(ctx->counters.refused, size - 1);
}

/* Each bit of each byte, and the bytes that are ends of ranges. */
static void one_with_any_byte_changed_is_refused_or_stays_within_its_buffer(void **state)
{
	static const uint8_t ends[] = { 0, 0x7f, 0xff };
	size_t built = 0, refused = 0;

	(void)state;
	for (size_t at = 0; at < size; at++) {
		const uint8_t was = bytes[at];

		for (int k = 0; k < 11; k++) {
			struct graph *g;

			bytes[at] = k < 8 ? (uint8_t)(was ^ 1u << k) : ends[k - 8];
			g = build(bytes, size);
			built += g != NULL;
			refused += g == NULL;
			if (g) {
				assert_within(g);
				graph_free(&ctx->lib.fn, g);
			}
			assert_null(buffer->graphs);
		}
		bytes[at] = was;
	}
	assert_int_equal(ctx->counters.refused, refused);
	assert_true(built > size && refused > size);
}

/* What a backend may take an equal one for is the same graph. */
static void each_graph_has_a_uid_of_its_own(void **state)
{
	struct graph *first = build(bytes, size), *again = build(bytes, size), *none;
	uint64_t uid, other;

	(void)state;
	assert_non_null(first);
	assert_non_null(again);
	uid = abi_uid_get(first->ggml);
	other = abi_uid_get(again->ggml);
	assert_true(uid && other && uid != other);
	graph_free(&ctx->lib.fn, first);
	first = build(bytes, size); /* may well lie where the other did */
	assert_non_null(first);
	assert_true(abi_uid_get(first->ggml) != uid && abi_uid_get(first->ggml) != other);
	graph_free(&ctx->lib.fn, first);
	graph_free(&ctx->lib.fn, again);
	ctx->lib.has_uid = false; /* a ggml whose graphs we don't know */
	none = build(bytes, size);
	assert_non_null(none);
	assert_int_equal(abi_uid_get(none->ggml), 0);
	assert_int_equal(ctx->lib.fn.graph_compute(ctx->lib.backend, none->ggml), 0);
	graph_free(&ctx->lib.fn, none);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_with_graph, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_right_graph_is_built_and_goes_without_a_trace),
		TEST(one_that_is_cut_anywhere_is_refused),
		TEST(one_with_any_byte_changed_is_refused_or_stays_within_its_buffer),
		TEST(each_graph_has_a_uid_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
