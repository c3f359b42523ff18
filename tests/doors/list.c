/* SPDX-License-Identifier: MIT */
/*
 * The test list: what a program may expect of VirtGPU0, whatever door, protocol and host are behind it. It is an
 * ordinary program of ggml's public interface: it loads all backends as llama.cpp does, and takes the device by name.
 *
 * Output is TAP, a case per promise; status 1 when one doesn't hold. A case compares numbers: bytes with what was
 * written, computed values with those of ggml's own CPU device here, within MOST_NMSE. What the plugin itself says
 * goes to stderr.
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>

#include "guest/counters.h"

#define DEVICE     "VirtGPU0"
#define MOST_NMSE  1e-6
#define KIB        ((size_t)1 << 10)
#define MIB        ((size_t)1 << 20)
#define WIRE_BYTES ((size_t)304) /* of one tensor in a graph, in APIR 0.2 */

#define MUST(what)                                                                                                     \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                    \
			return false;                                                                                  \
		}                                                                                                      \
	} while (0)

static ggml_backend_dev_t device;
static ggml_backend_t gpu, cpu;

/* One thread: more than there are cores wait for each other by spinning. */
static ggml_backend_t cpu_new(void)
{
	ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	ggml_backend_t b = dev ? ggml_backend_dev_init(dev, NULL) : NULL;
	ggml_backend_set_n_threads_t set_threads;
	void *f =
		dev ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(dev), "ggml_backend_set_n_threads")
		    : NULL;

	if (!b || !f)
		return NULL;
	memcpy(&set_threads, &f, sizeof f);
	set_threads(b, 1);
	return b;
}

static void *room(size_t n)
{
	void *p = malloc(n);

	if (!p) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	return p;
}

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void bytes_fill(uint8_t *p, size_t n, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < n; i += sizeof x) {
		random_next(&x);
		memcpy(p + i, &x, n - i < sizeof x ? n - i : sizeof x);
	}
}

/* In [-1, 1) */
static void floats_fill(float *p, size_t n, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < n; i++)
		p[i] = (float)(random_next(&x) >> 40) / (float)(1 << 23) - 1.0f;
}

/* Tensors on one backend, without data until work_alloc(). */
struct work {
	struct ggml_context *ctx;
	struct ggml_cgraph *graph;
	ggml_backend_buffer_t buffer;
	ggml_backend_t on;
};

static struct work work_new(ggml_backend_t on, size_t nodes)
{
	struct ggml_init_params params = { .mem_size = ggml_tensor_overhead() * (nodes + 64) +
		                                       ggml_graph_overhead_custom(nodes, false),
		.no_alloc = true };
	struct work w = { .ctx = ggml_init(params), .on = on };

	w.graph = ggml_new_graph_custom(w.ctx, nodes, false);
	return w;
}

static bool work_alloc(struct work *w)
{
	w->buffer = ggml_backend_alloc_ctx_tensors(w->ctx, w->on);
	return w->buffer;
}

static void work_free(struct work *w)
{
	ggml_backend_buffer_free(w->buffer);
	ggml_free(w->ctx);
}

static bool work_run(struct work *w)
{
	return ggml_backend_graph_compute(w->on, w->graph) == GGML_STATUS_SUCCESS;
}

/* A row of n bytes on the device; NULL: there is no memory. */
static struct ggml_tensor *bytes_new(struct work *w, size_t n)
{
	struct ggml_tensor *t;

	*w = work_new(gpu, 1);
	t = ggml_new_tensor_1d(w->ctx, GGML_TYPE_I8, (int64_t)n);
	return work_alloc(w) ? t : NULL;
}

static bool holds(const struct ggml_tensor *t, const uint8_t *wanted, size_t offset, size_t n)
{
	uint8_t *got = room(n);
	bool same;

	memset(got, ~wanted[0], n);
	ggml_backend_tensor_get(t, got, offset, n);
	same = memcmp(got, wanted, n) == 0;
	free(got);
	return same;
}

/* Tensor, computed by `on`, against the reference's. */
static bool agrees(const struct ggml_tensor *t, const struct ggml_tensor *reference)
{
	size_t n = (size_t)ggml_nelements(t);
	float *a = room(n * sizeof *a), *b = room(n * sizeof *b);
	double wrong = 0, all = 0;

	ggml_backend_tensor_get(t, a, 0, n * sizeof *a);
	ggml_backend_tensor_get(reference, b, 0, n * sizeof *b);
	for (size_t i = 0; i < n; i++) {
		wrong += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		all += (double)b[i] * b[i];
	}
	free(a);
	free(b);
	/* so written that NaN fails */
	if (!(all > 0 && isfinite(all) && wrong / all <= MOST_NMSE)) {
		printf("# nmse %g of %zu numbers whose squares are %g\n", wrong / all, n, all);
		return false;
	}
	return true;
}

static void tensor_fill(struct ggml_tensor *t, uint64_t seed, float scale)
{
	size_t n = (size_t)ggml_nelements(t);
	float *v = room(n * sizeof *v);

	floats_fill(v, n, seed);
	for (size_t i = 0; i < n; i++)
		v[i] *= scale;
	if (t->type == GGML_TYPE_F16) {
		ggml_fp16_t *h = room(n * sizeof *h);

		ggml_fp32_to_fp16_row(v, h, (int64_t)n);
		ggml_backend_tensor_set(t, h, 0, n * sizeof *h);
		free(h);
	} else {
		ggml_backend_tensor_set(t, v, 0, n * sizeof *v);
	}
	free(v);
}

static bool device_describes_itself(void)
{
	const char *prefix = "ggml-virtgpu: ", *description = ggml_backend_dev_description(device);
	ggml_backend_buffer_type_t buft = ggml_backend_dev_buffer_type(device);
	struct ggml_backend_dev_props props;
	size_t free_bytes = 0, total = 0, alignment = ggml_backend_buft_get_alignment(buft);

	MUST(!strcmp(ggml_backend_dev_name(device), DEVICE));
	MUST(!strncmp(description, prefix, strlen(prefix)) && strlen(description) > strlen(prefix));
	MUST(ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU);
	ggml_backend_dev_memory(device, &free_bytes, &total);
	MUST(total >= 64 * MIB && free_bytes > 0 && free_bytes <= total);
	ggml_backend_dev_get_props(device, &props);
	MUST(!strcmp(props.name, DEVICE) && !strcmp(props.description, description));
	MUST(props.type == GGML_BACKEND_DEVICE_TYPE_GPU && props.memory_total == total);
	MUST(!ggml_backend_buft_is_host(buft));
	MUST(alignment > 0 && (alignment & (alignment - 1)) == 0);
	MUST(ggml_backend_buft_get_max_size(buft) >= 64 * MIB);
	return true;
}

static void custom(struct ggml_tensor *dst, const struct ggml_tensor *a, int ith, int nth, void *user)
{
	(void)dst, (void)a, (void)ith, (void)nth, (void)user;
}

static bool supports_op_tells_the_truth(void)
{
	struct work w = work_new(gpu, 8);
	struct ggml_tensor *a = ggml_new_tensor_2d(w.ctx, GGML_TYPE_F32, 64, 4);
	struct ggml_tensor *f16 = ggml_new_tensor_2d(w.ctx, GGML_TYPE_F16, 64, 8);
	struct ggml_tensor *q4 = ggml_new_tensor_2d(w.ctx, GGML_TYPE_Q4_0, 64, 8);
	struct ggml_tensor *yes[] = { ggml_mul_mat(w.ctx, f16, a), ggml_mul_mat(w.ctx, q4, a), ggml_add(w.ctx, a, a),
		ggml_rms_norm(w.ctx, a, 1e-5f), ggml_soft_max(w.ctx, a) };
	struct ggml_tensor *no = ggml_map_custom1(w.ctx, a, custom, 1, NULL);

	for (int round = 0; round < 2; round++) { /* the second time from memory */
		for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
			MUST(ggml_backend_dev_supports_op(device, yes[i]));
		MUST(!ggml_backend_dev_supports_op(device, no));
	}
	work_free(&w);
	return true;
}

/* Writes of these many bytes at many places, and what lies between them stays. */
static bool small_writes(size_t unit, size_t most)
{
	const size_t n = 64 * KIB;
	uint8_t *wanted = room(n);
	struct work w;
	struct ggml_tensor *t = bytes_new(&w, n);
	uint64_t x = 7;

	MUST(t);
	bytes_fill(wanted, n, unit);
	ggml_backend_tensor_set(t, wanted, 0, n);
	for (unsigned i = 0; i < 300; i++) {
		size_t size = unit + random_next(&x) % (most - unit + 1);
		size_t at = random_next(&x) % (n - size + 1) / (unit == 4 ? 4 : 1) * (unit == 4 ? 4 : 1);

		bytes_fill(wanted + at, size, x);
		ggml_backend_tensor_set(t, wanted + at, at, size);
		if (i % 3 == 0)
			MUST(holds(t, wanted + at, at, size));
		if (i % 50 == 0)
			MUST(holds(t, wanted, 0, n));
	}
	MUST(holds(t, wanted, 0, n));
	free(wanted);
	work_free(&w);
	return true;
}

static bool four_bytes(void)
{
	return small_writes(4, 4);
}

static bool odd_offsets(void)
{
	return small_writes(1, 4097);
}

/* n bytes at once, and then a good part of them, written and read at odd places. */
static bool large_write(size_t n)
{
	uint8_t *wanted = room(n);
	struct work w;
	struct ggml_tensor *t = bytes_new(&w, n);

	MUST(t);
	bytes_fill(wanted, n, n);
	ggml_backend_tensor_set(t, wanted, 0, n);
	MUST(holds(t, wanted, 0, n));
	bytes_fill(wanted + 12345, n / 2 + 1, 99);
	ggml_backend_tensor_set(t, wanted + 12345, 12345, n / 2 + 1);
	MUST(holds(t, wanted, 0, n));
	MUST(holds(t, wanted + 4321, 4321, n / 2 + 77777));
	free(wanted);
	work_free(&w);
	return true;
}

static bool one_mib(void)
{
	return large_write(MIB);
}

static bool nine_mib(void)
{
	return large_write(9 * MIB);
}

static bool sixty_four_mib(void)
{
	return large_write(64 * MIB);
}

static bool memset_fills(void)
{
	static const struct {
		size_t at, n;
		uint8_t value;
	} ranges[] = { { 0, 1, 0x11 }, { 17, 3, 0x22 }, { 4096, 40000, 0x33 }, { 100003, 2 * MIB + 5, 0x44 },
		{ 3 * MIB - 1, 1, 0x55 } };
	const size_t n = 3 * MIB;
	uint8_t *wanted = room(n);
	struct work w;
	struct ggml_tensor *t = bytes_new(&w, n);

	MUST(t);
	bytes_fill(wanted, n, 5);
	ggml_backend_tensor_set(t, wanted, 0, n);
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		memset(wanted + ranges[i].at, ranges[i].value, ranges[i].n);
		ggml_backend_tensor_memset(t, ranges[i].value, ranges[i].at, ranges[i].n);
		MUST(holds(t, wanted, 0, n));
	}
	free(wanted);
	work_free(&w);
	return true;
}

/* Columns of a matrix: rows that are apart by different strides here and there. */
static bool two_dimensions(void)
{
	enum { ROWS = 37, WIDTH = 1001, HERE = 63, PART = 59, AT = 5 };
	static uint8_t wanted[ROWS * WIDTH], part[ROWS * HERE], got[ROWS * HERE], before[ROWS * HERE];
	struct work w;
	struct ggml_tensor *t = bytes_new(&w, sizeof wanted);

	MUST(t);
	bytes_fill(wanted, sizeof wanted, 1);
	bytes_fill(part, sizeof part, 2);
	ggml_backend_tensor_set(t, wanted, 0, sizeof wanted);
	ggml_backend_tensor_set_2d(t, part, AT, PART, ROWS, WIDTH, HERE);
	for (size_t i = 0; i < ROWS; i++)
		memcpy(wanted + AT + i * WIDTH, part + i * HERE, PART);
	MUST(holds(t, wanted, 0, sizeof wanted));
	bytes_fill(got, sizeof got, 3);
	memcpy(before, got, sizeof got);
	ggml_backend_tensor_get_2d(t, got, AT, PART, ROWS, WIDTH, HERE);
	for (size_t i = 0; i < ROWS; i++) {
		MUST(!memcmp(got + i * HERE, part + i * HERE, PART));
		MUST(!memcmp(got + i * HERE + PART, before + i * HERE + PART, HERE - PART));
	}
	work_free(&w);
	return true;
}

static bool tensors_are_copied(void)
{
	const size_t n = 5 * MIB + 3;
	uint8_t *first = room(n), *second = room(n);
	struct work a, b;
	struct ggml_tensor *from = bytes_new(&a, n), *to = bytes_new(&b, n);

	MUST(from && to);
	bytes_fill(first, n, 1);
	bytes_fill(second, n, 2);
	ggml_backend_tensor_set(from, first, 0, n);
	ggml_backend_tensor_set(to, second, 0, n);
	ggml_backend_tensor_copy(from, to);
	MUST(holds(to, first, 0, n));
	ggml_backend_tensor_set(from, second, 0, n); /* it is a copy */
	MUST(holds(from, second, 0, n) && holds(to, first, 0, n));
	free(first);
	free(second);
	work_free(&a);
	work_free(&b);
	return true;
}

static bool clear_fills_the_buffer(void)
{
	const size_t n = 3 * MIB + 7;
	uint8_t *wanted = room(n);
	struct work a, b;
	struct ggml_tensor *t = bytes_new(&a, n), *other = bytes_new(&b, 100);

	MUST(t && other);
	bytes_fill(wanted, n, 1);
	ggml_backend_tensor_set(t, wanted, 0, n);
	ggml_backend_tensor_set(other, wanted, 0, 100);
	MUST(holds(other, wanted, 0, 100));
	ggml_backend_buffer_clear(a.buffer, 0xa5);
	MUST(holds(other, wanted, 0, 100)); /* of another buffer */
	memset(wanted, 0xa5, n);
	MUST(holds(t, wanted, 0, n));
	ggml_backend_buffer_clear(a.buffer, 0);
	memset(wanted, 0, n);
	MUST(holds(t, wanted, 0, n));
	free(wanted);
	work_free(&a);
	work_free(&b);
	return true;
}

/* A small llama: what a decoder of llama.cpp consists of. */
enum { EMBD = 64, HEADS = 4, HEAD = EMBD / HEADS, TOKENS = 8, VOCAB = 96, FF = 128, LAYERS = 2, MAX_WEIGHTS = 32 };

struct llama {
	struct work w;
	struct ggml_tensor *tokens, *positions, *mask, *logits;
	struct ggml_tensor *weights[MAX_WEIGHTS];
	size_t n_weights;
};

static struct ggml_tensor *weight(struct llama *l, enum ggml_type type, int64_t in, int64_t out)
{
	return l->weights[l->n_weights++] = ggml_new_tensor_2d(l->w.ctx, type, in, out);
}

static struct ggml_tensor *linear(struct llama *l, struct ggml_tensor *x, int64_t out)
{
	return ggml_mul_mat(l->w.ctx, weight(l, GGML_TYPE_F16, x->ne[0], out), x);
}

static struct ggml_tensor *norm(struct llama *l, struct ggml_tensor *x)
{
	return ggml_mul(l->w.ctx, ggml_rms_norm(l->w.ctx, x, 1e-5f), weight(l, GGML_TYPE_F32, EMBD, 1));
}

/* Heads of queries or keys, at their positions: HEAD x TOKENS x HEADS. */
static struct ggml_tensor *heads(struct llama *l, struct ggml_tensor *x)
{
	struct ggml_context *ctx = l->w.ctx;
	struct ggml_tensor *h = ggml_reshape_3d(ctx, linear(l, x, EMBD), HEAD, HEADS, TOKENS);

	return ggml_permute(ctx, ggml_rope(ctx, h, l->positions, HEAD, 0), 0, 2, 1, 3);
}

static struct ggml_tensor *attention(struct llama *l, struct ggml_tensor *x)
{
	struct ggml_context *ctx = l->w.ctx;
	struct ggml_tensor *q = heads(l, x), *k = heads(l, x), *v, *kq;

	v = ggml_cont(ctx, ggml_transpose(ctx, linear(l, x, EMBD)));
	v = ggml_reshape_3d(ctx, v, TOKENS, HEAD, HEADS);
	kq = ggml_soft_max_ext(ctx, ggml_mul_mat(ctx, k, q), l->mask, 1 / sqrtf(HEAD), 0);
	x = ggml_permute(ctx, ggml_mul_mat(ctx, v, kq), 0, 2, 1, 3);
	return linear(l, ggml_cont_2d(ctx, x, EMBD, TOKENS), EMBD);
}

static struct ggml_tensor *feed_forward(struct llama *l, struct ggml_tensor *x)
{
	struct ggml_context *ctx = l->w.ctx;
	struct ggml_tensor *up = linear(l, x, FF);

	return linear(l, ggml_mul(ctx, ggml_silu(ctx, linear(l, x, FF)), up), EMBD);
}

static bool llama_new(struct llama *l, ggml_backend_t on, uint64_t seed)
{
	struct ggml_context *ctx;
	struct ggml_tensor *x;

	*l = (struct llama){ .w = work_new(on, 128) };
	ctx = l->w.ctx;
	l->tokens = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, TOKENS);
	l->positions = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, TOKENS);
	l->mask = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, TOKENS, TOKENS);
	x = ggml_get_rows(ctx, weight(l, GGML_TYPE_F16, EMBD, VOCAB), l->tokens);
	for (int i = 0; i < LAYERS; i++) {
		x = ggml_add(ctx, x, attention(l, norm(l, x)));
		x = ggml_add(ctx, x, feed_forward(l, norm(l, x)));
	}
	l->logits = linear(l, norm(l, x), VOCAB);
	ggml_build_forward_expand(l->w.graph, l->logits);
	MUST(work_alloc(&l->w));
	for (size_t i = 0; i < l->n_weights; i++)
		tensor_fill(l->weights[i], seed * 100 + i, l->weights[i]->ne[1] == 1 ? 1.0f : 0.2f);
	return true;
}

static void llama_input(struct llama *l, uint64_t seed)
{
	int32_t tokens[TOKENS], positions[TOKENS];
	float mask[TOKENS * TOKENS];
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (int i = 0; i < TOKENS; i++) {
		tokens[i] = (int32_t)(random_next(&x) % VOCAB);
		positions[i] = (int32_t)seed % 50 + i;
		for (int j = 0; j < TOKENS; j++)
			mask[i * TOKENS + j] = j > i ? -INFINITY : 0;
	}
	ggml_backend_tensor_set(l->tokens, tokens, 0, sizeof tokens);
	ggml_backend_tensor_set(l->positions, positions, 0, sizeof positions);
	ggml_backend_tensor_set(l->mask, mask, 0, sizeof mask);
}

/* The same model on both, and every input gives the same logits on both, which aren't those of the input before. */
static bool llama_rounds(ggml_backend_t a, ggml_backend_t b, uint64_t seed, int rounds)
{
	float first[VOCAB], previous[VOCAB] = { 0 };
	struct llama there, here;

	MUST(llama_new(&there, a, seed) && llama_new(&here, b, seed));
	for (int i = 0; i < rounds; i++) {
		llama_input(&there, seed + (uint64_t)i);
		llama_input(&here, seed + (uint64_t)i);
		MUST(work_run(&there.w) && work_run(&here.w));
		MUST(agrees(there.logits, here.logits));
		ggml_backend_tensor_get(there.logits, first, 0, sizeof first);
		MUST(memcmp(first, previous, sizeof first) != 0);
		memcpy(previous, first, sizeof first);
	}
	work_free(&there.w);
	work_free(&here.w);
	return true;
}

static bool a_llama_computes(void)
{
	return llama_rounds(gpu, cpu, 1, 30);
}

static bool counters_read(struct ggml_backend_virtgpu_counters *c)
{
	void *f =
		ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), GGML_BACKEND_VIRTGPU_COUNTERS);
	ggml_backend_virtgpu_counters_t read;

	MUST(f);
	memcpy(&read, &f, sizeof read);
	*c = (struct ggml_backend_virtgpu_counters){ .size = sizeof *c };
	return read(device, c);
}

/* How many tokens, and what they took; whether they went past the door depends on the host. */
static bool a_tokens_cost(void)
{
	enum { WARM = 5, MEASURED = 20 };
	struct ggml_backend_virtgpu_counters from, to;
	float logits[VOCAB];
	struct llama l;

	MUST(llama_new(&l, gpu, 1));
	for (int i = 0; i < WARM + MEASURED; i++) {
		if (i == WARM)
			MUST(counters_read(&from));
		llama_input(&l, 1 + (uint64_t)i);
		MUST(ggml_backend_graph_compute_async(gpu, l.w.graph) == GGML_STATUS_SUCCESS);
		ggml_backend_tensor_get(l.logits, logits, 0, sizeof logits);
	}
	MUST(counters_read(&to));
	printf("# %d tokens: %d commands by the door, %d of them doorbells, %d by the ring\n", MEASURED,
		(int)(to.by_door - from.by_door), (int)(to.doorbells - from.doorbells),
		(int)(to.by_ring - from.by_ring));
	MUST(to.graphs - from.graphs == MEASURED && to.graphs_written == from.graphs_written);
	MUST(to.waits - from.waits == MEASURED);
	MUST(to.command_bytes - from.command_bytes < MEASURED * KIB);
	work_free(&l.w);
	return true;
}

/* The graph and its nodes stay where they are, and parameters, sources and views change between computations. */
static bool a_graph_changes_in_place(void)
{
	enum { N = 300, STEP = 100 };
	float a[N], b[2 * N], got[N];
	struct work w = work_new(gpu, 8);
	struct ggml_tensor *ta = ggml_new_tensor_1d(w.ctx, GGML_TYPE_F32, N);
	struct ggml_tensor *tb = ggml_new_tensor_1d(w.ctx, GGML_TYPE_F32, 2 * N);
	struct ggml_tensor *view = ggml_view_1d(w.ctx, tb, N, 0), *y = ggml_scale(w.ctx, ta, 1);

	ggml_build_forward_expand(w.graph, view);
	ggml_build_forward_expand(w.graph, y);
	MUST(work_alloc(&w));
	floats_fill(a, N, 1);
	floats_fill(b, 2 * N, 2);
	ggml_backend_tensor_set(ta, a, 0, sizeof a);
	ggml_backend_tensor_set(tb, b, 0, sizeof b);
	for (int i = 0; i < 12; i++) {
		float factor = (float)(i / 2 - 3);
		size_t shift = (size_t)(i % 4) * STEP % (N + 1);
		const float *source = i % 3 ? b + shift : a;

		memcpy(y->op_params, &factor, sizeof factor);
		view->view_offs = shift * sizeof(float);
		view->data = (char *)tb->data + view->view_offs;
		y->src[0] = i % 3 ? view : ta;
		for (int twice = 0; twice < 2; twice++) { /* and once more as it is */
			ggml_backend_tensor_memset(y, 0xff, 0, sizeof got);
			MUST(work_run(&w));
			ggml_backend_tensor_get(y, got, 0, sizeof got);
			for (int j = 0; j < N; j++)
				MUST(got[j] == source[j] * factor);
		}
	}
	work_free(&w);
	return true;
}

/* A chain in which every node counts: to leave one out changes the result by more than is allowed. */
static bool chain_new(struct work *w, ggml_backend_t on, size_t nodes, struct ggml_tensor **inputs, size_t n_inputs)
{
	uint64_t x = nodes;
	struct ggml_tensor *y;

	*w = work_new(on, nodes);
	for (size_t i = 0; i < n_inputs; i++)
		inputs[i] = ggml_new_tensor_1d(w->ctx, GGML_TYPE_F32, 48);
	y = inputs[0];
	for (size_t i = 0; i < nodes; i++) {
		struct ggml_tensor *in = inputs[random_next(&x) % n_inputs];

		y = random_next(&x) & 1 ? ggml_add(w->ctx, y, in) : ggml_sub(w->ctx, y, in);
	}
	ggml_build_forward_expand(w->graph, y);
	MUST((size_t)ggml_graph_n_nodes(w->graph) == nodes);
	MUST(work_alloc(w));
	return true;
}

static bool chain_computes(size_t nodes)
{
	enum { INPUTS = 9 };
	struct ggml_tensor *in_there[INPUTS], *in_here[INPUTS];
	struct work there, here;

	MUST(chain_new(&there, gpu, nodes, in_there, INPUTS) && chain_new(&here, cpu, nodes, in_here, INPUTS));
	for (uint64_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < INPUTS; i++) {
			tensor_fill(in_there[i], round * INPUTS + i, 1);
			tensor_fill(in_here[i], round * INPUTS + i, 1);
		}
		MUST(work_run(&there) && work_run(&here));
		MUST(agrees(ggml_graph_node(there.graph, -1), ggml_graph_node(here.graph, -1)));
	}
	work_free(&there);
	work_free(&here);
	return true;
}

/* More than 64 KiB on the wire, and more than the MiB that the plugin begins with. */
static bool large_graphs(void)
{
	enum { LARGE = 500, LARGER = 4000 };

	_Static_assert(LARGE * WIRE_BYTES > 64 * KIB && LARGER * WIRE_BYTES > MIB, "they are not that large");
	return chain_computes(LARGE) && chain_computes(LARGER);
}

struct lane {
	pthread_barrier_t *start;
	uint64_t seed;
	bool ok;
};

static bool lane_computes(const struct lane *l)
{
	ggml_backend_t there = ggml_backend_dev_init(device, NULL), here = cpu_new();
	bool ok;

	pthread_barrier_wait(l->start);
	MUST(there && here);
	ok = llama_rounds(there, here, l->seed, 30);
	ggml_backend_free(there);
	ggml_backend_free(here);
	return ok;
}

static void *lane_run(void *arg)
{
	struct lane *l = arg;

	l->ok = lane_computes(l);
	return NULL;
}

static bool two_streams_at_once(void)
{
	pthread_barrier_t start;
	struct lane lanes[2] = { { &start, 1000, false }, { &start, 2000, false } };
	pthread_t threads[2];

	pthread_barrier_init(&start, NULL, 2);
	for (size_t i = 0; i < 2; i++)
		MUST(pthread_create(&threads[i], NULL, lane_run, &lanes[i]) == 0);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	return lanes[0].ok && lanes[1].ok;
}

/* A few live at a time, and each still holds its own bytes when it goes. */
static bool buffers_come_and_go(void)
{
	enum { TIMES = 200, ALIVE = 8 };
	static uint8_t bytes[8 * MIB];
	struct work w[ALIVE];
	struct ggml_tensor *t[ALIVE];

	for (size_t i = 0; i < TIMES + ALIVE; i++) {
		size_t at = i % ALIVE;

		if (i >= ALIVE) {
			size_t n = (size_t)ggml_nelements(t[at]);

			bytes_fill(bytes, n, i - ALIVE);
			MUST(holds(t[at], bytes, 0, n));
			work_free(&w[at]);
		}
		if (i < TIMES) {
			size_t n = i % 25 == 0 ? sizeof bytes : 1 + i * 7919 % 50000;

			t[at] = bytes_new(&w[at], n);
			MUST(t[at]);
			bytes_fill(bytes, n, i);
			ggml_backend_tensor_set(t[at], bytes, 0, n);
		}
	}
	return true;
}

/* The host's device must not be asked to call a function of the guest. */
static bool an_unsupported_graph_fails_alone(void)
{
	float values[64], got[64];
	struct work bad = work_new(gpu, 8), good = work_new(gpu, 8);
	struct ggml_tensor *a = ggml_new_tensor_1d(bad.ctx, GGML_TYPE_F32, 64);
	struct ggml_tensor *b = ggml_new_tensor_1d(good.ctx, GGML_TYPE_F32, 64);
	struct ggml_tensor *y = ggml_scale(good.ctx, b, 3);

	ggml_build_forward_expand(bad.graph, ggml_map_custom1(bad.ctx, a, custom, 1, NULL));
	ggml_build_forward_expand(good.graph, y);
	MUST(work_alloc(&bad) && work_alloc(&good));
	for (int round = 0; round < 3; round++) {
		floats_fill(values, 64, (uint64_t)round);
		ggml_backend_tensor_set(a, values, 0, sizeof values);
		MUST(ggml_backend_graph_compute(gpu, bad.graph) == GGML_STATUS_FAILED);
		ggml_backend_tensor_set(b, values, 0, sizeof values);
		MUST(work_run(&good));
		ggml_backend_tensor_get(y, got, 0, sizeof got);
		for (int i = 0; i < 64; i++)
			MUST(got[i] == values[i] * 3);
		MUST(holds(a, (const uint8_t *)values, 0, sizeof values));
	}
	work_free(&bad);
	work_free(&good);
	return true;
}

static const struct {
	const char *promise;
	bool (*holds)(void);
} cases[] = {
	{ "the device says its name, description, type and memory", device_describes_itself },
	{ "supports_op tells the truth", supports_op_tells_the_truth },
	{ "4 bytes are written and read anywhere", four_bytes },
	{ "any number of bytes is written and read at odd offsets", odd_offsets },
	{ "1 MiB is written and read", one_mib },
	{ "9 MiB are written and read", nine_mib },
	{ "memset fills its range and nothing else", memset_fills },
	{ "parts of rows are written and read", two_dimensions },
	{ "a tensor is copied on the device", tensors_are_copied },
	{ "clear fills its buffer and no other", clear_fills_the_buffer },
	{ "30 inputs of a small llama as on ggml's CPU", a_llama_computes },
	{ "another token of it is one wait and less than a KiB of commands", a_tokens_cost },
	{ "a graph that changes in place is computed as it is", a_graph_changes_in_place },
	{ "graphs of 500 and of 4000 nodes as on ggml's CPU", large_graphs },
	{ "two streams in two threads at once", two_streams_at_once },
	{ "200 buffers come and go and keep their bytes", buffers_come_and_go },
	{ "a graph with an unsupported operation fails, and the next one works", an_unsupported_graph_fails_alone },
	{ "64 MiB are written and read", sixty_four_mib },
};
#define N_CASES (sizeof cases / sizeof *cases)

int main(void)
{
	unsigned failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n", N_CASES);
	ggml_backend_load_all();
	device = ggml_backend_dev_by_name(DEVICE);
	gpu = device ? ggml_backend_dev_init(device, NULL) : NULL;
	cpu = cpu_new();
	if (!gpu || !cpu) {
		printf("Bail out! there is no %s\n", gpu ? "CPU" : DEVICE);
		return 1;
	}
	for (size_t i = 0; i < N_CASES; i++) {
		bool ok = cases[i].holds();

		failed += !ok;
		printf("%sok %zu - %s\n", ok ? "" : "not ", i + 1, cases[i].promise);
	}
	ggml_backend_free(gpu);
	ggml_backend_free(cpu);
	return failed ? 1 : 0;
}
