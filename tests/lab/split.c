/* SPDX-License-Identifier: MIT */
/*
 * What image and speech models use (convolutions, pooling, upscaling, group norm, attention over pixels), computed by the
 * CPU, by a device, and split node by node over both by ggml's scheduler.
 *   split DEVICE
 * Ends with 0 where all give the same numbers, and says which don't.
 */
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES   8
#define OUTPUTS  3
#define MAX_NMSE 1e-6

struct net {
	struct ggml_context *ctx;
	struct ggml_cgraph *graph;
	struct ggml_tensor *leaves[LEAVES], *time, *outputs[OUTPUTS];
	int n_leaves;
};

static void fail(const char *what)
{
	printf("not so: %s\n", what);
	exit(1);
}

static struct ggml_tensor *leaf(struct net *n, enum ggml_type type, int64_t a, int64_t b, int64_t c, int64_t d)
{
	struct ggml_tensor *t = ggml_new_tensor_4d(n->ctx, type, a, b, c, d);

	ggml_set_input(t);
	n->leaves[n->n_leaves++] = t;
	return t;
}

/* A block of an image model: down, up, joined with what was before, then attention over the pixels. */
static struct ggml_tensor *image(struct net *n)
{
	struct ggml_context *c = n->ctx;
	struct ggml_tensor *h, *embedded, *before, *q, *some, *kq, *v;

	h = ggml_conv_2d(
		c, leaf(n, GGML_TYPE_F16, 3, 3, 4, 32), leaf(n, GGML_TYPE_F32, 32, 32, 4, 1), 1, 1, 1, 1, 1, 1);
	h = ggml_silu(c, ggml_group_norm(c, h, 8, 1e-5f));
	n->time = ggml_new_tensor_1d(c, GGML_TYPE_F32, 1);
	ggml_set_input(n->time);
	embedded = ggml_timestep_embedding(c, n->time, 32, 10000);
	before = h = ggml_add(c, h, ggml_reshape_4d(c, embedded, 1, 1, 32, 1));
	h = ggml_pool_2d(c, h, GGML_OP_POOL_AVG, 2, 2, 2, 2, 0, 0);
	h = ggml_conv_2d_direct(c, leaf(n, GGML_TYPE_F16, 3, 3, 32, 32), h, 1, 1, 1, 1, 1, 1);
	h = ggml_concat(c, ggml_upscale(c, h, 2, GGML_SCALE_MODE_NEAREST), before, 2);
	h = ggml_conv_2d(c, leaf(n, GGML_TYPE_F16, 1, 1, 64, 16), h, 1, 1, 0, 0, 1, 1);
	h = ggml_gelu(c, ggml_pad(c, ggml_upscale(c, h, 2, GGML_SCALE_MODE_BILINEAR), 1, 1, 0, 0));
	h = ggml_cont(c, ggml_view_4d(c, h, 64, 64, 16, 1, h->nb[1], h->nb[2], h->nb[3], 0));
	q = ggml_cont(c, ggml_permute(c, ggml_reshape_3d(c, h, 4096, 16, 1), 1, 0, 2, 3));
	some = ggml_view_2d(c, q, 16, 256, q->nb[1], 0);
	kq = ggml_soft_max_ext(c, ggml_mul_mat(c, some, q), NULL, 0.25f, 0);
	v = ggml_cont(c, ggml_transpose(c, some));
	return ggml_add(c, ggml_mul_mat(c, v, kq), q);
}

static void net_make(struct net *n)
{
	struct ggml_init_params p = { .mem_size = (size_t)8 << 20, .no_alloc = true };
	struct ggml_context *c;
	struct ggml_tensor *h, *turned, *speech, *up;

	*n = (struct net){ .ctx = ggml_init(p) };
	c = n->ctx;
	n->graph = ggml_new_graph_custom(c, 1024, false);
	h = image(n);
	turned = ggml_cont(c, ggml_transpose(c, h));
	speech = ggml_conv_1d_ph(c, leaf(n, GGML_TYPE_F16, 3, 16, 24, 1), turned, 2, 1);
	speech = ggml_leaky_relu(c, ggml_norm(c, speech, 1e-5f), 0.1f, false);
	up = ggml_conv_transpose_2d_p0(
		c, leaf(n, GGML_TYPE_F16, 2, 2, 3, 16), ggml_reshape_4d(c, turned, 64, 64, 16, 1), 2);
	n->outputs[0] = up;
	n->outputs[1] = speech;
	n->outputs[2] = ggml_add(c, ggml_sum(c, speech), ggml_mean(c, ggml_reshape_1d(c, up, ggml_nelements(up))));
	for (int i = 0; i < OUTPUTS; i++) {
		ggml_set_output(n->outputs[i]);
		ggml_build_forward_expand(n->graph, n->outputs[i]);
	}
}

static void net_fill(const struct net *n)
{
	float moment = 500;

	for (int l = 0; l < n->n_leaves; l++) {
		struct ggml_tensor *t = n->leaves[l];
		int64_t count = ggml_nelements(t);
		float *v = malloc((size_t)count * sizeof *v);
		ggml_fp16_t *half = malloc((size_t)count * sizeof *half);
		uint32_t seed = 77 + (uint32_t)l;

		for (int64_t i = 0; i < count; i++) {
			seed = seed * 1664525u + 1013904223u;
			v[i] = (float)((int)(seed >> 8) % 2001 - 1000) / 1000;
			half[i] = ggml_fp32_to_fp16(v[i]);
		}
		ggml_backend_tensor_set(t, t->type == GGML_TYPE_F32 ? (void *)v : (void *)half, 0, ggml_nbytes(t));
		free(v);
		free(half);
	}
	ggml_backend_tensor_set(n->time, &moment, 0, sizeof moment);
}

/* The outputs one behind the other; *count numbers. */
static float *net_read(const struct net *n, size_t *count)
{
	size_t bytes = 0, at = 0;
	float *v;

	for (int i = 0; i < OUTPUTS; i++)
		bytes += ggml_nbytes(n->outputs[i]);
	v = malloc(bytes);
	for (int i = 0; i < OUTPUTS; i++) {
		ggml_backend_tensor_get(n->outputs[i], (char *)v + at, 0, ggml_nbytes(n->outputs[i]));
		at += ggml_nbytes(n->outputs[i]);
	}
	*count = bytes / sizeof *v;
	return v;
}

/* Every `each`th node on the second backend, the others on the first; the last copies of the inputs count. */
static float *net_compute(ggml_backend_t first, ggml_backend_t second, int each, bool parallel, size_t *count)
{
	ggml_backend_t both[2] = { first, second };
	ggml_backend_sched_t sched = ggml_backend_sched_new(both, NULL, 2, 1024, parallel, true);
	struct net n;
	float *v;

	net_make(&n);
	for (int i = 0; i < ggml_graph_n_nodes(n.graph); i++) {
		struct ggml_tensor *t = ggml_graph_node(n.graph, i);

		if (!t->view_src) /* a view is where what it views is */
			ggml_backend_sched_set_tensor_backend(sched, t, i % each ? first : second);
	}
	if (!ggml_backend_sched_alloc_graph(sched, n.graph))
		fail("the graph gets memory");
	for (int round = 0; round < 4; round++) {
		net_fill(&n);
		if (ggml_backend_sched_graph_compute(sched, n.graph) != GGML_STATUS_SUCCESS)
			fail("the graph is computed");
	}
	v = net_read(&n, count);
	ggml_backend_sched_free(sched);
	ggml_free(n.ctx);
	return v;
}

static void same(const float *want, size_t n, float *got, size_t m, const char *where)
{
	double wrong = 0, all = 0;

	if (n != m)
		fail("as many numbers");
	for (size_t i = 0; i < n; i++) {
		double d = (double)want[i] - (double)got[i];

		wrong += d * d;
		all += (double)want[i] * (double)want[i];
	}
	printf("%s: %zu numbers, NMSE %.2e\n", where, n, wrong / all);
	if (!(all > 0 && wrong / all <= MAX_NMSE))
		fail(where);
	free(got);
}

int main(int argc, char **argv)
{
	ggml_backend_t device, cpu;
	ggml_backend_dev_t dev;
	size_t n, m;
	float *want, *got;

	ggml_backend_load_all();
	dev = argc == 2 ? ggml_backend_dev_by_name(argv[1]) : NULL;
	if (!dev) {
		fprintf(stderr, "usage: split DEVICE, one that is there\n");
		return 2;
	}
	device = ggml_backend_dev_init(dev, NULL);
	cpu = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, NULL);
	want = net_compute(device, cpu, 1, false, &n);
	got = net_compute(device, cpu, 1 << 20, false, &m);
	same(want, n, got, m, "all on the device");
	for (int each = 2; each < 5; each++) {
		char where[64];

		for (int parallel = 0; parallel < 2; parallel++) {
			snprintf(where, sizeof where, "every %d. node on the CPU%s", each,
				parallel ? ", with copies of inputs" : "");
			got = net_compute(device, cpu, each, parallel, &m);
			same(want, n, got, m, where);
		}
	}
	free(want);
	ggml_backend_free(device);
	ggml_backend_free(cpu);
	return 0;
}
