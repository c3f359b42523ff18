/* SPDX-License-Identifier: MIT */
/*
 * Tensors, places and products past 4 GiB on a device.
 *   big DEVICE CASE
 * Ends with 0 where everything is as expected, and says what isn't.
 */
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB ((size_t)1 << 30)

static ggml_backend_t device, cpu;
static struct ggml_context *ctx;

#define EXPECT(what)                                                                                                   \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			printf("not so: %s (line %d)\n", #what, __LINE__);                                             \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static struct ggml_context *context_new(void)
{
	struct ggml_init_params p = { .mem_size = (size_t)1 << 20, .no_alloc = true };

	return ggml_init(p);
}

static void *room(size_t n)
{
	void *p = malloc(n);

	EXPECT(p);
	return p;
}

static ggml_backend_buffer_t memory_get(void)
{
	ggml_backend_buffer_t b = ggml_backend_alloc_ctx_tensors(ctx, device);

	EXPECT(b);
	return b;
}

static float float_at(struct ggml_tensor *t, size_t offset)
{
	float v = -1;

	ggml_backend_tensor_get(t, &v, offset, sizeof v);
	return v;
}

/* 5 GiB written and read in one go, and a few bytes beyond 4 GiB. */
static void whole(void)
{
	struct ggml_tensor *t = ggml_new_tensor_2d(ctx, GGML_TYPE_F16, 1 << 20, 2560);
	size_t n = ggml_nbytes(t);
	ggml_backend_buffer_t b = memory_get();
	uint32_t *want = room(n), *got = room(n), v = 0xdeadbeef, seen = 0;

	for (size_t i = 0; i < n / 4; i++)
		want[i] = (uint32_t)i * 2654435761u;
	ggml_backend_tensor_set(t, want, 0, n);
	ggml_backend_tensor_get(t, got, 0, n);
	EXPECT(!memcmp(want, got, n));
	ggml_backend_tensor_set(t, &v, 4 * GIB + 64, sizeof v);
	ggml_backend_tensor_get(t, &seen, 4 * GIB + 64, sizeof seen);
	EXPECT(seen == v);
	ggml_backend_tensor_get(t, &seen, 64, sizeof seen);
	EXPECT(seen == want[16]);
	free(want);
	free(got);
	ggml_backend_buffer_free(b);
}

/* 5 GiB of weights, most of them 0, times a vector; and two rows of them by a view that begins beyond 4 GiB. */
static void product(void)
{
	enum { WIDTH = 4096, ROWS = 655360, STEP = 65535 };
	struct ggml_tensor *w = ggml_new_tensor_2d(ctx, GGML_TYPE_F16, WIDTH, ROWS);
	struct ggml_tensor *x = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, WIDTH, 1);
	struct ggml_tensor *rows = ggml_view_2d(ctx, w, WIDTH, 2, w->nb[1], 4 * GIB + 8192);
	struct ggml_tensor *y = ggml_mul_mat(ctx, w, x), *y2 = ggml_mul_mat(ctx, rows, x);
	struct ggml_cgraph *graph = ggml_new_graph(ctx);
	int64_t beyond = (int64_t)((4 * GIB + 8192) / w->nb[1]);
	float *v = room(ROWS * sizeof *v);
	ggml_fp16_t *row = room(WIDTH * sizeof *row);
	ggml_backend_buffer_t b = memory_get();

	ggml_build_forward_expand(graph, y);
	ggml_build_forward_expand(graph, y2);
	for (int i = 0; i < WIDTH; i++)
		v[i] = 1;
	ggml_backend_tensor_memset(w, 0, 0, ggml_nbytes(w));
	ggml_backend_tensor_set(x, v, 0, WIDTH * sizeof *v);
	for (int64_t r = 0; r < ROWS; r += STEP) {
		for (int i = 0; i < WIDTH; i++)
			row[i] = ggml_fp32_to_fp16((float)(r % 7 + 1) / 64);
		ggml_backend_tensor_set(w, row, (size_t)r * w->nb[1], WIDTH * sizeof *row);
	}
	for (int i = 0; i < WIDTH; i++)
		row[i] = ggml_fp32_to_fp16(0.5f);
	ggml_backend_tensor_set(w, row, (size_t)beyond * w->nb[1], WIDTH * sizeof *row);
	EXPECT(ggml_backend_graph_compute(device, graph) == GGML_STATUS_SUCCESS);
	ggml_backend_tensor_get(y, v, 0, ROWS * sizeof *v);
	for (int64_t r = 0; r < ROWS; r++)
		EXPECT(v[r] == (r == beyond ? 2048 : r % STEP ? 0 : (float)(r % 7 + 1) * 64));
	EXPECT(float_at(y2, 0) == 2048 && float_at(y2, sizeof(float)) == 0);
	free(v);
	free(row);
	ggml_backend_buffer_free(b);
}

/* 4.5 GiB scaled in place, then rows of it from beyond 4 GiB. */
static void in_place(void)
{
	struct ggml_tensor *t = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, 4096, 4096, 72);
	size_t place = 4 * GIB + t->nb[1] * 16;
	struct ggml_tensor *which = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, 2);
	struct ggml_tensor *scaled = ggml_scale_inplace(ctx, t, 2.0f);
	struct ggml_tensor *rows = ggml_get_rows(ctx, ggml_view_2d(ctx, t, 4096, 100, t->nb[1], place), which);
	struct ggml_cgraph *graph = ggml_new_graph(ctx);
	ggml_backend_buffer_t b = memory_get();
	int32_t numbers[2] = { 0, 99 };
	float three = 3;

	ggml_build_forward_expand(graph, scaled);
	ggml_build_forward_expand(graph, rows);
	ggml_backend_tensor_memset(t, 0, 0, ggml_nbytes(t));
	ggml_backend_tensor_set(t, &three, place, sizeof three);
	ggml_backend_tensor_set(which, numbers, 0, sizeof numbers);
	EXPECT(ggml_backend_graph_compute(device, graph) == GGML_STATUS_SUCCESS);
	EXPECT(float_at(t, place) == 6 && float_at(rows, 0) == 6 && float_at(rows, 4096 * sizeof(float)) == 0);
	ggml_backend_buffer_free(b);
}

/* Two rows more than 4 GiB apart: the device can't be told of such a view, so the CPU multiplies by it. */
static void rows_apart(void)
{
	struct ggml_tensor *t = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, 1024, (1 << 20) + 64);
	struct ggml_context *graphs = context_new();
	size_t stride = (((size_t)1 << 20) + 8) * t->nb[1];
	struct ggml_tensor *rows = ggml_view_2d(graphs, t, 1024, 2, stride, 0);
	struct ggml_tensor *x = ggml_new_tensor_2d(graphs, GGML_TYPE_F32, 1024, 1);
	struct ggml_tensor *y = ggml_scale(graphs, ggml_mul_mat(graphs, rows, x), 2.0f);
	struct ggml_cgraph *graph = ggml_new_graph(graphs);
	ggml_backend_t both[2] = { device, cpu };
	ggml_backend_sched_t sched = ggml_backend_sched_new(both, NULL, 2, 128, false, true);
	ggml_backend_buffer_t b = memory_get();
	float v[1024];

	ggml_backend_buffer_set_usage(b, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
	ggml_set_input(x);
	ggml_set_output(y);
	ggml_build_forward_expand(graph, y);
	EXPECT(ggml_backend_sched_alloc_graph(sched, graph));
	for (int row = 0; row < 2; row++) {
		for (int i = 0; i < 1024; i++)
			v[i] = (float)(row + 1);
		ggml_backend_tensor_set(t, v, (size_t)row * stride, sizeof v);
	}
	for (int i = 0; i < 1024; i++)
		v[i] = 1;
	ggml_backend_tensor_set(x, v, 0, sizeof v);
	EXPECT(ggml_backend_sched_graph_compute(sched, graph) == GGML_STATUS_SUCCESS);
	EXPECT(float_at(y, 0) == 2048 && float_at(y, sizeof(float)) == 4096);
	ggml_backend_sched_free(sched);
	ggml_backend_buffer_free(b);
	ggml_free(graphs);
}

/* No memory for what a protocol of 32 bits can't carry. */
static void dimension(void)
{
	ggml_set_name(ggml_new_tensor_1d(ctx, GGML_TYPE_I8, 5 * (int64_t)GIB), "long");
	EXPECT(!ggml_backend_alloc_ctx_tensors(ctx, device));
}

static void stride(void)
{
	ggml_set_name(ggml_new_tensor_3d(ctx, GGML_TYPE_F16, 1024, 2200000, 2), "cache_k");
	EXPECT(!ggml_backend_alloc_ctx_tensors(ctx, device));
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "whole", whole },
	{ "product", product },
	{ "in-place", in_place },
	{ "rows-apart", rows_apart },
	{ "dimension", dimension },
	{ "stride", stride },
};

int main(int argc, char **argv)
{
	ggml_backend_dev_t dev;

	ggml_backend_load_all();
	dev = argc == 3 ? ggml_backend_dev_by_name(argv[1]) : NULL;
	if (!dev) {
		fprintf(stderr, "usage: big DEVICE CASE, with a device that is there\n");
		return 2;
	}
	device = ggml_backend_dev_init(dev, NULL);
	cpu = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, NULL);
	ctx = context_new();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		if (!strcmp(argv[2], cases[i].name)) {
			cases[i].run();
			ggml_free(ctx);
			ggml_backend_free(device);
			ggml_backend_free(cpu);
			printf("as expected\n");
			return 0;
		}
	}
	fprintf(stderr, "big: there is no case '%s'\n", argv[2]);
	return 2;
}
