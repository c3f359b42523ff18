/* SPDX-License-Identifier: MIT */
/*
 * Times a device's smallest and largest steps through ggml's public API: reading 4 bytes, a graph of one node and the
 * reading of its result, and moving a tensor there and back. Small ones are timed with the peer awake, one directly behind
 * another, and parked, each behind a pause. A line of JSON: medians in us, and GB/s; and, where the device counts, what each
 * of the small ones took.
 */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include <ggml.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>

#define TOOL "latency"
#include "counted.h"
#include "tool.h"

enum { TIMES_MAX = 1 << 16, MOVES = 5, PARK_US = 20000 };

struct subject {
	ggml_backend_t backend;
	struct ggml_context *small_ctx, *big_ctx;
	struct ggml_tensor *input, *output, *big;
	struct ggml_cgraph *graph;
	ggml_backend_buffer_t small_buffer, big_buffer;
	char *bytes; /* as many as `big` holds */
	struct counted counted;
};

static const char usage_text[] = "usage: latency [OPTION...]\n"
				 "  --device NAME  (CPU)           --times N  of a small step (2000)\n"
				 "  --mib N        of a large one (256)\n";

static struct ggml_context *context_make(void)
{
	struct ggml_context *ctx =
		ggml_init((struct ggml_init_params){ 8 * ggml_tensor_overhead() + ggml_graph_overhead(), NULL, true });

	if (!ctx)
		die(1, "out of memory");
	return ctx;
}

static ggml_backend_buffer_t buffer_make(struct ggml_context *ctx, ggml_backend_t backend)
{
	ggml_backend_buffer_t b = ggml_backend_alloc_ctx_tensors(ctx, backend);

	if (!b)
		die(1, "the device has no memory for the tensors");
	return b;
}

static struct subject subject_make(const char *device, size_t mib)
{
	ggml_backend_dev_t dev = ggml_backend_dev_by_name(device);
	struct subject s = { 0 };
	float one = 1.0f;

	s.backend = dev ? ggml_backend_dev_init(dev, NULL) : NULL;
	if (!s.backend)
		die(1, "this ggml has no device %s, or it doesn't start", device);
	s.counted = counted_of(dev);
	s.small_ctx = context_make();
	s.input = ggml_new_tensor_1d(s.small_ctx, GGML_TYPE_F32, 1);
	s.output = ggml_add(s.small_ctx, s.input, s.input);
	s.graph = ggml_new_graph(s.small_ctx);
	ggml_build_forward_expand(s.graph, s.output);
	s.small_buffer = buffer_make(s.small_ctx, s.backend);
	ggml_backend_tensor_set(s.input, &one, 0, sizeof one);
	s.big_ctx = context_make();
	s.big = ggml_new_tensor_1d(s.big_ctx, GGML_TYPE_F32, (int64_t)(mib << 20) / (int64_t)sizeof(float));
	s.big_buffer = buffer_make(s.big_ctx, s.backend);
	s.bytes = alloc(1, ggml_nbytes(s.big));
	memset(s.bytes, 1, ggml_nbytes(s.big));
	return s;
}

static void subject_free(struct subject *s)
{
	free(s->bytes);
	ggml_backend_buffer_free(s->big_buffer);
	ggml_backend_buffer_free(s->small_buffer);
	ggml_free(s->big_ctx);
	ggml_free(s->small_ctx);
	ggml_backend_free(s->backend);
}

static void read_small(struct subject *s)
{
	float value;

	ggml_backend_tensor_get(s->input, &value, 0, sizeof value);
	if (value != 1.0f)
		die(1, "read %g, want 1", (double)value);
}

static void graph_small(struct subject *s)
{
	float value;

	if (ggml_backend_graph_compute(s->backend, s->graph) != GGML_STATUS_SUCCESS)
		die(1, "the graph failed");
	ggml_backend_tensor_get(s->output, &value, 0, sizeof value);
	if (value != 2.0f)
		die(1, "computed %g, want 2", (double)value);
}

/* Medians, us, of so many times behind such a pause each. */
static double small_time(struct subject *s, void (*step)(struct subject *), int times, useconds_t pause)
{
	static double took[TIMES_MAX];

	step(s);
	counted_begin(&s->counted);
	for (int i = 0; i < times; i++) {
		double start;

		if (pause)
			usleep(pause);
		start = now();
		step(s);
		took[i] = (now() - start) * 1e6;
	}
	counted_end(&s->counted);
	qsort(took, (size_t)times, sizeof *took, by_value);
	return took[times / 2];
}

/* As members of the line's object. */
static void small_tell(struct subject *s, const char *name, void (*step)(struct subject *), int times, useconds_t pause)
{
	printf(", \"%s_us\": %.2f", name, small_time(s, step, times, pause));
	counted_print(&s->counted, name, times);
}

static void upload(struct subject *s)
{
	ggml_backend_tensor_set(s->big, s->bytes, 0, ggml_nbytes(s->big));
	read_small(s); /* a device may take writes in the background */
}

static void download(struct subject *s)
{
	ggml_backend_tensor_get(s->big, s->bytes, 0, ggml_nbytes(s->big));
}

/* GB/s */
static double big_rate(struct subject *s, void (*move)(struct subject *))
{
	return (double)ggml_nbytes(s->big) / small_time(s, move, MOVES, 0) * 1e-3;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "device", required_argument, NULL, 'd' },
		{ "times", required_argument, NULL, 't' }, { "mib", required_argument, NULL, 'm' }, { 0 } };
	const char *device = "CPU";
	int times = 2000, parked, o;
	size_t mib = 256;
	struct subject s;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd')
			device = optarg;
		else if (o == 't')
			times = (int)number("times", optarg, 1, TIMES_MAX);
		else if (o == 'm')
			mib = (size_t)number("mib", optarg, 1, 1 << 14);
		else
			die(2, "%s", usage_text);
	}
	if (optind != argc)
		die(2, "%s", usage_text);
	ggml_backend_load_all();
	s = subject_make(device, mib);
	parked = times < 50 ? times : 50;
	printf("{\"device\": \"%s\"", device);
	small_tell(&s, "read", read_small, times, 0);
	small_tell(&s, "graph", graph_small, times, 0);
	printf(", \"upload_gbs\": %.3f", big_rate(&s, upload));
	printf(", \"download_gbs\": %.3f", big_rate(&s, download));
	small_tell(&s, "read_parked", read_small, parked, PARK_US);
	small_tell(&s, "graph_parked", graph_small, parked, PARK_US);
	puts("}");
	subject_free(&s);
	return 0;
}
