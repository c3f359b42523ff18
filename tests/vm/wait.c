/* SPDX-License-Identifier: MIT */
/*
 * What waiting costs: wait DEVICE MS computes a graph that takes at least so many ms several times, and prints
 * "graph_ms N cpu_percent P", the CPU time of this process while it waited for them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <ggml-backend.h>
#include <ggml.h>

#define WIDTH	  512
#define MAX_NODES 16384
#define ROUNDS	  8

static double wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double timeval_ms(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return timeval_ms(u.ru_utime) + timeval_ms(u.ru_stime);
}

/* A chain of n products. */
static void chain_compute(ggml_backend_t backend, int n, int rounds, double *wall, double *cpu)
{
	struct ggml_init_params params = { ggml_tensor_overhead() * (MAX_NODES + 8) + ggml_graph_overhead_custom(MAX_NODES, false),
		NULL, true };
	struct ggml_context *ctx = ggml_init(params);
	struct ggml_tensor *m = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, WIDTH, WIDTH);
	struct ggml_tensor *x = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, WIDTH, WIDTH), *y = x;
	struct ggml_cgraph *graph = ggml_new_graph_custom(ctx, MAX_NODES, false);
	ggml_backend_buffer_t buffer;
	double at;

	for (int i = 0; i < n; i++)
		y = ggml_mul_mat(ctx, m, y);
	ggml_build_forward_expand(graph, y);
	buffer = ggml_backend_alloc_ctx_tensors(ctx, backend);
	if (!buffer) {
		fprintf(stderr, "wait: no memory on the device\n");
		exit(1);
	}
	ggml_backend_buffer_clear(buffer, 0);
	ggml_backend_graph_compute(backend, graph);
	at = wall_ms();
	*cpu = cpu_ms();
	for (int i = 0; i < rounds; i++) {
		if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS) {
			fprintf(stderr, "wait: the graph failed\n");
			exit(1);
		}
	}
	*wall = (wall_ms() - at) / rounds;
	*cpu = (cpu_ms() - *cpu) / rounds;
	ggml_backend_buffer_free(buffer);
	ggml_free(ctx);
}

int main(int argc, char **argv)
{
	ggml_backend_t backend;
	double wall = 0, cpu = 0, least = argc > 2 ? atof(argv[2]) : 250;
	int n = 4;

	if (getenv("GGML_BACKEND_PATH"))
		ggml_backend_load(getenv("GGML_BACKEND_PATH")); /* the others take long to load */
	backend = argc > 1 ? ggml_backend_init_by_name(argv[1], NULL) : NULL;
	if (!backend) {
		fprintf(stderr, "wait: no device '%s'\n", argc > 1 ? argv[1] : "");
		return 1;
	}
	/* The host's speed drifts: measure until the graph is long enough. */
	chain_compute(backend, n, 1, &wall, &cpu);
	for (int tries = 0; tries < 8 && wall < least; tries++) {
		n = (int)((double)n * least / wall * 1.25) + 1;
		if (n > MAX_NODES / 2)
			n = MAX_NODES / 2;
		chain_compute(backend, n, wall < least / 4 ? 1 : ROUNDS, &wall, &cpu);
	}
	printf("graph_ms %.1f cpu_percent %.2f\n", wall, 100 * cpu / wall);
	return 0;
}
