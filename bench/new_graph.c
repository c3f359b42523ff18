/* SPDX-License-Identifier: MIT */
/*
 * What a graph costs the host that is new to it: a decoder's graphs, each of another number of tokens than those before, through
 * the backend's own code in this process, all but computing them.
 *   build/bench/new-graph LIBGGML [LAYERS [GRAPHS [cold]]]   cold: nothing is made ready while a device computes
 *   perf record build/bench/new-graph …; perf report     by function
 */
#include <stdio.h>
#include <string.h>

#include "backend/context.h"
#include "backend/graph_run.h"

#define TOOL "new-graph"
#include "bench/tool.h"

enum { EMBD = 4096, HEAD = 128, HEADS = 32, KV_HEADS = 8, FF = 14336, KV = EMBD * KV_HEADS / HEADS };
enum { F32 = 0, F16 = 1, Q4_0 = 2, I64 = 27 };

static const char *library;

static const char *config(uint32_t ctx_id, const char *key)
{
	(void)ctx_id;
	return strcmp(key, "ggml.library.path") ? NULL : library;
}

static void *shmem(uint32_t ctx_id, uint32_t res_id)
{
	(void)ctx_id, (void)res_id;
	return NULL;
}

/* A graph that is being written, as the plugin writes one. */
struct writer {
	struct backend_context *ctx;
	uint64_t weights, cache, compute; /* buffers */
	uint64_t at;                      /* where the next result goes, of a few places that are used in turn */
	uint32_t n_nodes, n_tensors;
	uint64_t nodes[1 << 16];
	struct apir_tensor tensors[1 << 16];
};

#define ID_FIRST UINT64_C(0x7f1200000000) /* as if they were addresses in a ggml_context */
#define ID_STEP  UINT64_C(368)

/* The names are literals: each is looked up once. */
static uint32_t op_number(const struct backend_context *ctx, const char *name)
{
	static struct {
		const char *name;
		uint32_t number;
	} known[ABI_N_OPS];
	size_t i = 0;

	while (known[i].name && known[i].name != name)
		i++;
	if (known[i].name)
		return known[i].number;
	known[i].name = name;
	for (int32_t op = 0; op < ABI_N_OPS; op++) {
		if (!strcmp(ctx->lib.fn.op_name(op), name))
			return known[i].number = (uint32_t)op;
	}
	die(1, "this ggml has no %s", name);
}

static uint32_t row_bytes(const struct backend_context *ctx, uint32_t type, uint32_t n)
{
	return (uint32_t)(n / (uint32_t)ctx->lib.ops.blck_size[type] * ctx->lib.ops.type_size[type]);
}

static uint64_t put(struct writer *w, const char *op, uint32_t type, uint64_t buffer, uint64_t data, const uint32_t *ne,
	uint64_t a, uint64_t b, uint64_t c)
{
	struct apir_tensor *t = &w->tensors[w->n_tensors];
	uint32_t row = row_bytes(w->ctx, type, ne[0]);

	*t = (struct apir_tensor){
		.id = ID_FIRST + w->n_tensors++ * ID_STEP,
		.type = type,
		.memory = 1 + (buffer == w->weights ? ABI_USAGE_WEIGHTS : ABI_USAGE_COMPUTE),
		.buffer = buffer,
		.ne = { ne[0], ne[1], ne[2], 1 },
		.nb = { (uint32_t)w->ctx->lib.ops.type_size[type], row, row * ne[1], row * ne[1] * ne[2] },
		.op = op_number(w->ctx, op),
		.flags = 16,
		.src = { a, b, c },
		.data = data,
		.use_count = 1,
	};
	strcpy(t->name, op);
	if (strcmp(op, "NONE") != 0)
		w->nodes[w->n_nodes++] = t->id;
	return t->id;
}

/* A result in memory of its own. */
static uint64_t node(
	struct writer *w, const char *op, uint32_t n0, uint32_t n1, uint32_t n2, uint64_t a, uint64_t b, uint64_t c)
{
	w->at = (w->at + (UINT64_C(4) << 20)) % (UINT64_C(32) << 20);
	return put(w, op, F32, w->compute, w->at, (uint32_t[]){ n0, n1, n2 }, a, b, c);
}

static uint64_t leaf(struct writer *w, uint32_t type, uint64_t buffer, uint64_t data, uint32_t n0, uint32_t n1)
{
	return put(w, "NONE", type, buffer, data, (uint32_t[]){ n0, n1, 1 }, 0, 0, 0);
}

/* The same memory in another shape. */
static uint64_t view(struct writer *w, const char *op, uint64_t of, uint32_t n0, uint32_t n1, uint32_t n2)
{
	uint64_t i = (of - ID_FIRST) / ID_STEP, id;

	id = put(w, op, w->tensors[i].type, w->tensors[i].buffer, w->tensors[i].data, (uint32_t[]){ n0, n1, n2 }, of, 0,
		0);
	w->tensors[w->n_tensors - 1].view_src = w->tensors[i].view_src ? w->tensors[i].view_src : of;
	return id;
}

/* All lie in the same place, as the layers' caches do: nothing is computed. */
static uint64_t weight(struct writer *w, uint32_t n0, uint32_t n1)
{
	return leaf(w, n1 == 1 ? F32 : Q4_0, w->weights, 0, n0, n1);
}

static uint64_t rope(struct writer *w, uint64_t x, uint32_t heads, uint32_t tokens, uint64_t positions)
{
	uint64_t id = node(w, "ROPE", HEAD, heads, tokens, view(w, "RESHAPE", x, HEAD, heads, tokens), positions, 0);

	w->tensors[w->n_tensors - 1].op_params[1] = HEAD;
	return id;
}

static uint64_t to_cache(struct writer *w, uint64_t x, uint64_t cache, uint32_t n_cache, uint64_t rows)
{
	uint64_t id = view(w, "SET_ROWS", cache, KV, n_cache, 1);

	w->tensors[w->n_tensors - 1].src[0] = x;
	w->tensors[w->n_tensors - 1].src[1] = rows;
	return id;
}

static uint64_t layer_put(
	struct writer *w, uint64_t x, uint32_t tokens, uint32_t n_kv, uint64_t positions, uint64_t rows, uint64_t mask)
{
	const uint64_t cache_k = leaf(w, F16, w->cache, 0, KV, 8192);
	const uint64_t cache_v = leaf(w, F16, w->cache, UINT64_C(16) << 20, KV, 8192);
	uint64_t norm, q, k, v, attn;

	norm = node(w, "MUL", EMBD, tokens, 1, node(w, "RMS_NORM", EMBD, tokens, 1, x, 0, 0), weight(w, EMBD, 1), 0);
	q = rope(w, node(w, "MUL_MAT", EMBD, tokens, 1, weight(w, EMBD, EMBD), norm, 0), HEADS, tokens, positions);
	k = rope(w, node(w, "MUL_MAT", KV, tokens, 1, weight(w, EMBD, KV), norm, 0), KV_HEADS, tokens, positions);
	v = view(w, "RESHAPE", node(w, "MUL_MAT", KV, tokens, 1, weight(w, EMBD, KV), norm, 0), KV, tokens, 1);
	to_cache(w, view(w, "RESHAPE", k, KV, tokens, 1), cache_k, 8192, rows);
	to_cache(w, v, cache_v, 8192, rows);
	q = view(w, "PERMUTE", q, HEAD, tokens, HEADS);
	k = view(w, "PERMUTE", view(w, "VIEW", cache_k, HEAD, KV_HEADS, n_kv), HEAD, n_kv, KV_HEADS);
	v = view(w, "PERMUTE", view(w, "VIEW", cache_v, HEAD, KV_HEADS, n_kv), HEAD, n_kv, KV_HEADS);
	attn = node(w, "FLASH_ATTN_EXT", HEAD, HEADS, tokens, q, k, v);
	w->tensors[w->n_tensors - 1].src[3] = mask;
	attn = view(w, "RESHAPE", attn, EMBD, tokens, 1);
	x = node(w, "ADD", EMBD, tokens, 1, node(w, "MUL_MAT", EMBD, tokens, 1, weight(w, EMBD, EMBD), attn, 0), x, 0);
	norm = node(w, "MUL", EMBD, tokens, 1, node(w, "RMS_NORM", EMBD, tokens, 1, x, 0, 0), weight(w, EMBD, 1), 0);
	q = node(w, "MUL_MAT", FF, tokens, 1, weight(w, EMBD, FF), norm, 0);
	k = node(w, "MUL_MAT", FF, tokens, 1, weight(w, EMBD, FF), norm, 0);
	v = node(w, "GLU", FF, tokens, 1, q, k, 0);
	w->tensors[w->n_tensors - 1].op_params[0] = 2; /* SWIGLU */
	return node(w, "ADD", EMBD, tokens, 1, node(w, "MUL_MAT", EMBD, tokens, 1, weight(w, FF, EMBD), v, 0), x, 0);
}

/* The i-th of 1,536 that differ, into the bytes; how many these are. */
static size_t graph_put(struct writer *w, uint32_t layers, uint32_t i, uint8_t *bytes)
{
	const uint32_t tokens = 1 + i % 48, n_kv = 256 * (1 + i / 48 % 32);
	uint64_t x, positions, rows, mask;
	size_t ids;

	w->n_nodes = w->n_tensors = 0;
	w->at = 0;
	x = leaf(w, F32, w->compute, UINT64_C(32) << 20, EMBD, tokens);
	positions = put(w, "NONE", 26, w->compute, UINT64_C(36) << 20, (uint32_t[]){ tokens, 1, 1 }, 0, 0, 0);
	rows = leaf(w, I64, w->compute, UINT64_C(37) << 20, tokens, 1);
	mask = leaf(w, F16, w->compute, UINT64_C(38) << 20, n_kv, tokens);
	for (uint32_t l = 0; l < layers; l++)
		x = layer_put(w, x, tokens, n_kv, positions, rows, mask);
	ids = w->n_nodes * sizeof w->nodes[0];
	memcpy(bytes, &w->n_nodes, 4);
	memcpy(bytes + 4, w->nodes, ids);
	memcpy(bytes + 4 + ids, &w->n_tensors, 4);
	memcpy(bytes + 8 + ids, w->tensors, w->n_tensors * sizeof w->tensors[0]);
	return 8 + ids + w->n_tensors * sizeof w->tensors[0];
}

static uint64_t buffer(struct backend_context *ctx, uint64_t size)
{
	struct abi_buffer *b = ctx->lib.fn.buft_alloc_buffer(ctx->lib.buft, size);
	uint64_t handle = b ? context_add_buffer(ctx, b, NULL, 0) : 0;

	if (!handle)
		die(1, "no buffer of %llu bytes", (unsigned long long)size);
	return handle;
}

/* Seconds of this thread: others of the machine don't count. */
static double now_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void figure_print(const char *what, double *ns, uint32_t n)
{
	qsort(ns, n, sizeof *ns, by_value);
	printf("%s: median %.0f ns a node, 5 %% %.0f, 95 %% %.0f\n", what, ns[n / 2], ns[n / 20], ns[n - 1 - n / 20]);
}

int main(int argc, char **argv)
{
	struct apir_callbacks callbacks = { .get_config = config, .get_shmem_ptr = shmem };
	uint32_t layers = argc > 2 ? (uint32_t)atoi(argv[2]) : 32, n = argc > 3 ? (uint32_t)atoi(argv[3]) : 1500, code;
	struct writer *w = alloc(1, sizeof *w);
	uint8_t *bytes = alloc(1, 32 << 20);
	bool cold = argc > 4, reused;
	double *ns;

	if (argc < 2 || !layers || layers > 64 || !n)
		die(2, "usage: new-graph LIBGGML [LAYERS [GRAPHS [cold]]]");
	library = argv[1];
	w->ctx = context_open(1, &callbacks, &code);
	if (!w->ctx)
		die(1, "code %u", code);
	w->ctx->features = APIR_FEATURE_USE_COUNTS | APIR_FEATURE_MEMORY;
	w->weights = buffer(w->ctx, UINT64_C(64) << 20);
	w->cache = buffer(w->ctx, UINT64_C(32) << 20);
	w->compute = buffer(w->ctx, UINT64_C(64) << 20);
	ns = alloc(n, sizeof *ns);
	for (uint32_t i = 0; i < n; i++) {
		struct graph_request at = { .res = 1, .bytes = bytes };
		struct graph *g;
		int32_t status;
		double start;

		at.size = graph_put(w, layers, i, bytes);
		start = now_cpu();
		g = graph_request_find(w->ctx, &at, &status);
		if (!g)
			die(1, "graph %u was refused", i);
		ns[i] = (now_cpu() - start) * 1e9 / w->n_nodes;
		if (!cold)
			graph_spare_prepare(&w->ctx->spare, g); /* as while it is computed */
	}
	printf("%u graphs of %u nodes, %u tensors\n", n, w->n_nodes, w->n_tensors);
	figure_print("while memory fills up", ns, n / 8);
	figure_print("once it is full", ns + n / 2, n - n / 2);
	for (uint32_t i = 0; i < n; i++) {
		struct graph_request at = { .res = 1, .bytes = bytes };
		int32_t status;
		double start;

		at.size = graph_put(w, layers, n - 1, bytes);
		start = now_cpu();
		graph_request_find(w->ctx, &at, &status);
		ns[i] = (now_cpu() - start) * 1e9 / w->n_nodes;
	}
	figure_print("the last again", ns, n);
	reused = w->ctx->counters.graphs_reused == n;
	context_close(w->ctx);
	return reused ? 0 : 1;
}
