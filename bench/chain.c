/* SPDX-License-Identifier: MIT */
/*
 * Times a device on a chain of the matrix products that a decoder's layers are made of, through ggml's public
 * API only: the same program measures a GPU natively and through VirtGPU, with no model file and no tokenizer
 * between.
 *
 * A layer is two square products after an RMS norm, added to the residual, and a gated feed-forward after
 * another; there is no attention, so every graph costs the same. As llama.cpp does for a token, each graph
 * has its input set, is queued, has its output queued for reading, and is waited for once.
 *
 * Weights are slices of one random pool, which is quantized once: making gigabytes of them costs a memory
 * copy. They are made a layer at a time, outside of the time taken for loading, and each layer ends with a
 * small read back, so that a device which takes writes in the background is timed until they have arrived.
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <ggml.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>

#define TOOL "chain"
#include "tool.h"

enum {
	W_NORM,
	W_Q,
	W_O,
	W_FF_NORM,
	W_GATE,
	W_UP,
	W_DOWN,
	W_COUNT,
	NODES_PER_LAYER = 12,
	POOL = 1 << 20, /* weights; more than one row of any matrix, so that rows differ */
	MAX_OPTION = 1 << 20,
	TAIL = 16, /* bytes read back after each layer's load */
	CHECK_LAYERS = 2,
	CHECK_GRAPHS = 4, /* with new inputs: a device may treat a graph's later runs otherwise */
};

/* What ggml's own tests grant one matrix product; backends quantise its input each in their own way, and the errors of
 * products that follow each other add up: four of a layer's five do. */
#define NMSE_MAX (5e-4 * 4 * CHECK_LAYERS)
#define RMS_EPS  1e-5f

struct shape {
	uint32_t layers, embd, ff, batch;
	uint64_t seed;
	enum ggml_type type;
};

struct chain {
	ggml_backend_t backend;
	struct ggml_context *weights_ctx, *graph_ctx;
	ggml_backend_buffer_t weights;
	ggml_gallocr_t alloc;
	struct ggml_cgraph *graph;
	struct ggml_tensor *(*w)[W_COUNT], *input, *output;
	size_t loaded;   /* bytes */
	double load_sec; /* that setting them took */
};

static const char usage_text[] =
	"usage: chain [OPTION...]\n"
	"  --device NAME   such as CUDA0, VirtGPU0 or CPU (CPU)\n"
	"  --layers N      (32)                  --embd N      width (4096)\n"
	"  --ff N          feed-forward (14336)  --batch N     columns: 1 is decoding, 512 a prompt (1)\n"
	"  --type T        of the weights: q4_0, f16, or another that quantizes without an importance matrix "
	"(q4_0)\n"
	"  --iters N       graphs to time (200)  --warmup N    graphs before (10)\n"
	"  --threads N     of a device that has threads (CPU: 1; others: theirs)\n"
	"  --seed N        of weights and inputs (1)\n"
	"  --sync          wait for each call, instead of once a graph\n"
	"  --check         compare with the CPU's results, with at most 2 layers, and time nothing\n";

static void random_fill(float *x, size_t n, float scale, uint64_t *state)
{
	for (size_t i = 0; i < n; i++)
		x[i] = random_unit(state) * scale;
}

static enum ggml_type type_named(const char *name)
{
	for (int i = 0; i < GGML_TYPE_COUNT; i++) {
		enum ggml_type type = (enum ggml_type)i;

		if (ggml_type_size(type) && !strcmp(ggml_type_name(type), name) &&
			(ggml_is_quantized(type) || type == GGML_TYPE_F16 || type == GGML_TYPE_F32) &&
			!ggml_quantize_requires_imatrix(type))
			return type;
	}
	die(2, "--type %s: this ggml can't make such weights here", name);
}

static ggml_backend_t backend_open(const char *device, unsigned threads)
{
	ggml_backend_dev_t dev = ggml_backend_dev_by_name(device);
	ggml_backend_set_n_threads_t set_threads;
	ggml_backend_t backend;

	if (!dev) {
		fprintf(stderr, "chain: this ggml has no device %s; it has:", device);
		for (size_t i = 0; i < ggml_backend_dev_count(); i++)
			fprintf(stderr, " %s", ggml_backend_dev_name(ggml_backend_dev_get(i)));
		fputc('\n', stderr);
		exit(1);
	}
	backend = ggml_backend_dev_init(dev, NULL);
	if (!backend)
		die(1, "device %s does not start", device);
	if (!threads && ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU)
		threads = 1;
	set_threads = (ggml_backend_set_n_threads_t)ggml_backend_reg_get_proc_address(
		ggml_backend_dev_backend_reg(dev), "ggml_backend_set_n_threads");
	if (threads && set_threads)
		set_threads(backend, (int)threads);
	return backend;
}

/* The pool in type's encoding, scaled so that a product keeps the size of what it multiplies. */
static uint8_t *pool_make(const struct shape *s, size_t *blocks)
{
	uint64_t state = s->seed;
	float *values = alloc(POOL, sizeof *values);
	uint8_t *pool = alloc(1, ggml_row_size(s->type, POOL));

	random_fill(values, POOL, sqrtf(3.0f / (float)s->embd), &state);
	ggml_quantize_chunk(s->type, values, pool, 0, 1, POOL, NULL);
	free(values);
	*blocks = POOL / (size_t)ggml_blck_size(s->type);
	return pool;
}

/* Norms stay near one; a matrix's rows begin anywhere in the pool. */
static void weight_make(const struct ggml_tensor *t, uint8_t *out, const uint8_t *pool, size_t blocks, uint64_t *state)
{
	const size_t block = ggml_type_size(t->type), row_size = ggml_row_size(t->type, t->ne[0]),
		     starts = blocks - row_size / block + 1;

	if (ggml_is_vector(t)) {
		float *norm = (float *)(void *)out;

		random_fill(norm, (size_t)t->ne[0], 0.1f, state);
		for (int64_t i = 0; i < t->ne[0]; i++)
			norm[i] += 1.0f;
		return;
	}
	for (int64_t row = 0; row < t->ne[1]; row++, out += row_size)
		memcpy(out, pool + random_next(state) % starts * block, row_size);
}

static void layer_define(struct ggml_context *ctx, const struct shape *s, struct ggml_tensor **w)
{
	const int64_t embd = s->embd, ff = s->ff;

	w[W_NORM] = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, embd);
	w[W_Q] = ggml_new_tensor_2d(ctx, s->type, embd, embd);
	w[W_O] = ggml_new_tensor_2d(ctx, s->type, embd, embd);
	w[W_FF_NORM] = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, embd);
	w[W_GATE] = ggml_new_tensor_2d(ctx, s->type, embd, ff);
	w[W_UP] = ggml_new_tensor_2d(ctx, s->type, embd, ff);
	w[W_DOWN] = ggml_new_tensor_2d(ctx, s->type, ff, embd);
}

static size_t layer_size(struct ggml_tensor *const *w)
{
	size_t size = 0;

	for (int i = 0; i < W_COUNT; i++)
		size += ggml_nbytes(w[i]);
	return size;
}

static void weights_load(struct chain *c, const struct shape *s)
{
	size_t blocks, size = layer_size(c->w[0]);
	uint8_t *pool = pool_make(s, &blocks), *layer = alloc(1, size);
	uint64_t state = ~s->seed;

	for (uint32_t l = 0; l < s->layers; l++) {
		struct ggml_tensor *const *w = c->w[l], *last = w[W_COUNT - 1];
		uint8_t *at = layer, tail[TAIL];
		double start;

		for (int i = 0; i < W_COUNT; at += ggml_nbytes(w[i++]))
			weight_make(w[i], at, pool, blocks, &state);
		at = layer;
		start = now();
		for (int i = 0; i < W_COUNT; at += ggml_nbytes(w[i++]))
			ggml_backend_tensor_set(w[i], at, 0, ggml_nbytes(w[i]));
		ggml_backend_tensor_get(last, tail, ggml_nbytes(last) - TAIL, TAIL);
		c->load_sec += now() - start;
		if (memcmp(tail, layer + size - TAIL, TAIL))
			die(1, "layer %u's weights read back are not those that were set", l);
		c->loaded += size;
	}
	free(layer);
	free(pool);
}

static struct ggml_tensor *layer_build(struct ggml_context *ctx, struct ggml_tensor *const *w, struct ggml_tensor *x)
{
	struct ggml_tensor *h = ggml_mul(ctx, ggml_rms_norm(ctx, x, RMS_EPS), w[W_NORM]);

	x = ggml_add(ctx, ggml_mul_mat(ctx, w[W_O], ggml_mul_mat(ctx, w[W_Q], h)), x);
	h = ggml_mul(ctx, ggml_rms_norm(ctx, x, RMS_EPS), w[W_FF_NORM]);
	h = ggml_swiglu_split(ctx, ggml_mul_mat(ctx, w[W_GATE], h), ggml_mul_mat(ctx, w[W_UP], h));
	return ggml_add(ctx, ggml_mul_mat(ctx, w[W_DOWN], h), x);
}

static void graph_build(struct chain *c, const struct shape *s)
{
	const size_t room = (size_t)NODES_PER_LAYER * s->layers + 8;
	const struct ggml_init_params params = {
		.mem_size = room * ggml_tensor_overhead() + ggml_graph_overhead_custom(room, false),
		.no_alloc = true,
	};
	struct ggml_tensor *x;

	c->graph_ctx = ggml_init(params);
	c->alloc = ggml_gallocr_new(ggml_backend_get_default_buffer_type(c->backend));
	if (!c->graph_ctx || !c->alloc)
		die(1, "out of memory for the graph");
	x = c->input = ggml_new_tensor_2d(c->graph_ctx, GGML_TYPE_F32, s->embd, s->batch);
	ggml_set_name(x, "input");
	ggml_set_input(x);
	for (uint32_t l = 0; l < s->layers; l++)
		x = layer_build(c->graph_ctx, c->w[l], x);
	c->output = x;
	ggml_set_name(x, "output");
	ggml_set_output(x);
	c->graph = ggml_new_graph_custom(c->graph_ctx, room, false);
	ggml_build_forward_expand(c->graph, x);
	for (int i = 0; i < ggml_graph_n_nodes(c->graph); i++) {
		struct ggml_tensor *node = ggml_graph_node(c->graph, i);

		if (!ggml_backend_supports_op(c->backend, node))
			die(1, "%s does not compute %s here", ggml_backend_name(c->backend), ggml_op_desc(node));
	}
	if (!ggml_gallocr_alloc_graph(c->alloc, c->graph))
		die(1, "%s has no memory for the graph", ggml_backend_name(c->backend));
}

static struct chain chain_make(ggml_backend_t backend, const struct shape *s)
{
	const struct ggml_init_params params = {
		.mem_size = (size_t)W_COUNT * s->layers * ggml_tensor_overhead(),
		.no_alloc = true,
	};
	struct chain c = { .backend = backend };

	c.weights_ctx = ggml_init(params);
	if (!c.weights_ctx)
		die(1, "out of memory for the weights' headers");
	c.w = alloc(s->layers, sizeof *c.w);
	for (uint32_t l = 0; l < s->layers; l++)
		layer_define(c.weights_ctx, s, c.w[l]);
	c.weights = ggml_backend_alloc_ctx_tensors(c.weights_ctx, backend);
	if (!c.weights)
		die(1, "%s has no memory for %.2f GB of weights", ggml_backend_name(backend),
			(double)layer_size(c.w[0]) * s->layers * 1e-9);
	ggml_backend_buffer_set_usage(c.weights, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
	weights_load(&c, s);
	graph_build(&c, s);
	return c;
}

static void chain_free(struct chain *c)
{
	ggml_gallocr_free(c->alloc);
	ggml_backend_buffer_free(c->weights);
	ggml_free(c->graph_ctx);
	ggml_free(c->weights_ctx);
	free(c->w);
	ggml_backend_free(c->backend);
}

static void chain_run(struct chain *c, const float *in, float *out, bool sync)
{
	enum ggml_status status;

	ggml_backend_tensor_set(c->input, in, 0, ggml_nbytes(c->input));
	if (sync) {
		status = ggml_backend_graph_compute(c->backend, c->graph);
		ggml_backend_tensor_get(c->output, out, 0, ggml_nbytes(c->output));
	} else {
		status = ggml_backend_graph_compute_async(c->backend, c->graph);
		ggml_backend_tensor_get_async(c->backend, c->output, out, 0, ggml_nbytes(c->output));
		ggml_backend_synchronize(c->backend);
	}
	if (status != GGML_STATUS_SUCCESS)
		die(1, "%s: the graph failed: %s", ggml_backend_name(c->backend), ggml_status_to_string(status));
}

static double nmse(const float *x, const float *want, size_t n)
{
	double error = 0, power = 0;

	for (size_t i = 0; i < n; i++) {
		error += ((double)x[i] - want[i]) * ((double)x[i] - want[i]);
		power += (double)want[i] * want[i];
	}
	return power > 0 ? error / power : INFINITY;
}

/* Every graph's output must be right, not only the last one's. */
static int check(const char *device, unsigned threads, struct shape s, bool sync)
{
	const size_t n = (size_t)s.embd * s.batch;
	float *in = alloc(n, sizeof *in), *out = alloc(n, sizeof *out), *want = alloc(n, sizeof *want);
	uint64_t state = s.seed * 2 + 1;
	struct chain c, cpu;
	double worst = 0;

	if (s.layers > CHECK_LAYERS)
		s.layers = CHECK_LAYERS;
	cpu = chain_make(backend_open("CPU", threads), &s);
	c = chain_make(backend_open(device, threads), &s);
	for (int i = 0; i < CHECK_GRAPHS; i++) {
		double e;

		random_fill(in, n, 1.0f, &state);
		chain_run(&cpu, in, want, sync);
		chain_run(&c, in, out, sync);
		e = nmse(out, want, n);
		worst = isnan(e) ? INFINITY : fmax(worst, e);
	}
	chain_free(&c);
	chain_free(&cpu);
	free(want);
	free(out);
	free(in);
	if (!(worst < NMSE_MAX)) {
		printf("check: FAILED nmse %.2e, want less than %.0e\n", worst, NMSE_MAX);
		return 1;
	}
	printf("check: ok nmse %.2e\n", worst);
	return 0;
}

/* A device's texts come from drivers, or from a host: nothing may end the string early. */
static void print_string(const char *name, const char *text)
{
	printf("\"%s\": \"", name);
	for (; *text; text++)
		putchar(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '?' : *text);
	printf("\", ");
}

static int measure(
	const char *device, unsigned threads, const struct shape *s, unsigned warmup, unsigned iters, bool sync)
{
	const size_t n = (size_t)s->embd * s->batch;
	float *in = alloc(n, sizeof *in), *out = alloc(n, sizeof *out);
	double *ms = alloc(iters, sizeof *ms), sum = 0;
	uint64_t state = s->seed * 2 + 1;
	struct chain c = chain_make(backend_open(device, threads), s);
	ggml_backend_dev_t dev = ggml_backend_get_device(c.backend);

	random_fill(in, n, 1.0f, &state);
	for (unsigned i = 0; i < warmup; i++)
		chain_run(&c, in, out, sync);
	for (unsigned i = 0; i < iters; i++) {
		double start;

		in[i % n] = -in[i % n]; /* no two inputs alike */
		start = now();
		chain_run(&c, in, out, sync);
		ms[i] = (now() - start) * 1e3;
		sum += ms[i];
	}
	qsort(ms, iters, sizeof *ms, by_value);
	putchar('{');
	print_string("device", ggml_backend_dev_name(dev));
	print_string("description", ggml_backend_dev_description(dev));
	print_string("ggml", ggml_version());
	print_string("type", ggml_type_name(s->type));
	printf("\"layers\": %u, \"embd\": %u, \"ff\": %u, \"batch\": %u, \"nodes\": %d, \"iters\": %u, "
	       "\"sync\": %s, ",
		s->layers, s->embd, s->ff, s->batch, ggml_graph_n_nodes(c.graph), iters, sync ? "true" : "false");
	printf("\"median_ms\": %.4f, \"min_ms\": %.4f, \"p90_ms\": %.4f, \"mean_ms\": %.4f, ", ms[iters / 2], ms[0],
		ms[iters * 9ull / 10], sum / iters);
	printf("\"columns_per_s\": %.1f, \"weights_gb\": %.4f, \"load_gb_per_s\": %.3f}\n",
		s->batch / ms[iters / 2] * 1e3, (double)c.loaded * 1e-9, (double)c.loaded / c.load_sec * 1e-9);
	chain_free(&c);
	free(ms);
	free(out);
	free(in);
	return 0;
}

int main(int argc, char **argv)
{
	struct shape s = { .layers = 32, .embd = 4096, .ff = 14336, .batch = 1, .seed = 1, .type = GGML_TYPE_Q4_0 };
	uint32_t iters = 200, warmup = 10, threads = 0;
	const struct {
		const char *name;
		uint32_t *value, min;
	} numbers[] = {
		{ "layers", &s.layers, 1 },
		{ "embd", &s.embd, 1 },
		{ "ff", &s.ff, 1 },
		{ "batch", &s.batch, 1 },
		{ "iters", &iters, 1 },
		{ "warmup", &warmup, 0 },
		{ "threads", &threads, 1 },
	};
	enum {
		N_NUMBERS = sizeof numbers / sizeof *numbers,
		OPT_DEVICE = N_NUMBERS,
		OPT_TYPE,
		OPT_SEED,
		OPT_SYNC,
		OPT_CHECK,
		OPT_HELP,
		N_OPTIONS
	};
	struct option options[N_OPTIONS + 1] = {
		[OPT_DEVICE] = { "device", required_argument, NULL, OPT_DEVICE },
		[OPT_TYPE] = { "type", required_argument, NULL, OPT_TYPE },
		[OPT_SEED] = { "seed", required_argument, NULL, OPT_SEED },
		[OPT_SYNC] = { "sync", no_argument, NULL, OPT_SYNC },
		[OPT_CHECK] = { "check", no_argument, NULL, OPT_CHECK },
		[OPT_HELP] = { "help", no_argument, NULL, OPT_HELP },
	};
	const char *device = "CPU";
	bool sync = false, checking = false;
	uint32_t block;
	int o;

	for (int i = 0; i < N_NUMBERS; i++)
		options[i] = (struct option){ numbers[i].name, required_argument, NULL, i };
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o >= 0 && o < N_NUMBERS) {
			*numbers[o].value = (uint32_t)number(numbers[o].name, optarg, numbers[o].min, MAX_OPTION);
		} else if (o == OPT_DEVICE) {
			device = optarg;
		} else if (o == OPT_TYPE) {
			s.type = type_named(optarg);
		} else if (o == OPT_SEED) {
			s.seed = number("seed", optarg, 0, UINT64_MAX);
		} else if (o == OPT_SYNC) {
			sync = true;
		} else if (o == OPT_CHECK) {
			checking = true;
		} else if (o == OPT_HELP) {
			fputs(usage_text, stdout);
			return 0;
		} else {
			fputs(usage_text, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		fputs(usage_text, stderr);
		return 2;
	}
	block = (uint32_t)ggml_blck_size(s.type);
	if (s.embd % block || s.ff % block)
		die(2, "--embd %u and --ff %u must be divisible by %u, the block of %s", s.embd, s.ff, block,
			ggml_type_name(s.type));
	ggml_backend_load_all();
	return checking ? check(device, threads, s, sync) : measure(device, threads, &s, warmup, iters, sync);
}
