/* SPDX-License-Identifier: MIT */
/* Which graphs are recognised, on both sides, and how many are kept. With every protocol. */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/ggml.h"

#define N      16
#define SPLITS 100

/* y = s x, a graph of its own for each s. */
struct splits {
	struct program p;
	struct abi_context *data, *ctx[SPLITS];
	struct abi_buffer *buffer, *results[SPLITS];
	struct abi_tensor *x, *y[SPLITS];
	struct abi_graph *graph[SPLITS];
	float v[N];
};

static void splits_make(struct splits *s)
{
	program_start(&s->p, server.socket);
	s->data = program_context(&s->p);
	s->x = s->p.g.new_tensor_4d(s->data, 0, N, 1, 1, 1);
	s->buffer = s->p.f.backend_alloc_ctx_tensors(s->data, s->p.gpu);
	CHECK(s->buffer);
	numbers_fill(s->v, N, 1);
	for (int i = 0; i < SPLITS; i++) {
		s->ctx[i] = program_context(&s->p);
		s->y[i] = s->p.f.scale(s->ctx[i], s->x, (float)(i + 1));
		s->graph[i] = s->p.f.new_graph(s->ctx[i]);
		s->p.f.build_forward_expand(s->graph[i], s->y[i]);
		s->results[i] = s->p.f.backend_alloc_ctx_tensors(s->ctx[i], s->p.gpu);
		CHECK(s->results[i]);
	}
	s->p.g.tensor_set(s->x, s->v, 0, sizeof s->v);
}

static void split_computes(struct splits *s, int i)
{
	float got[N];

	CHECK(s->p.g.graph_compute(s->p.gpu, s->graph[i]) == ABI_STATUS_SUCCESS);
	s->p.g.tensor_get(s->y[i], got, 0, sizeof got);
	for (int n = 0; n < N; n++)
		CHECK(got[n] == s->v[n] * (float)(i + 1));
}

static void splits_free(struct splits *s)
{
	for (int i = 0; i < SPLITS; i++) {
		s->p.g.buffer_free(s->results[i]);
		s->p.g.free(s->ctx[i]);
	}
	s->p.g.buffer_free(s->buffer);
	s->p.g.free(s->data);
	program_end(&s->p);
}

/* As of a model with its experts on the guest's CPU. The host counts at the context's end: what was written anew it recognises
 * by its bytes, what the plugin has recognised is only named. */
SCENARIO(a_token_of_a_hundred_splits_is_recognised)
{
	struct splits s;

	(void)unused;
	splits_make(&s);
	for (int token = 0; token < 3; token++) {
		for (int i = 0; i < SPLITS; i++)
			split_computes(&s, i);
	}
	splits_free(&s);
}

static void the_host_has_counted_them(void **state)
{
	const char *line = getenv("GGML_VIRTGPU_PROTOCOL")
	                           ? " 300 graphs computed (200 reused, 0 of them named again)"
	                           : " 300 graphs computed (200 reused, 200 of them named again)";

	(void)state;
	assert_true(server_said(&server, line));
}

static size_t maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	size_t n = 0;

	CHECK(f);
	while (fgets(line, sizeof line, f))
		n += strstr(line, "/memfd:") != NULL;
	fclose(f);
	return n;
}

/* A graph that is built anew in the same memory for every step, as a server's are, would otherwise take a blob each. */
SCENARIO(ever_new_graphs_in_one_memory_take_no_more_and_more)
{
	struct splits s;
	size_t before = 0;

	(void)unused;
	splits_make(&s);
	for (int step = 0; step < 200; step++) {
		float factor = (float)(step + 1), got[N];

		memcpy(s.y[0]->op_params, &factor, sizeof factor);
		CHECK(s.p.g.graph_compute(s.p.gpu, s.graph[0]) == ABI_STATUS_SUCCESS);
		s.p.g.tensor_get(s.y[0], got, 0, sizeof got);
		for (int n = 0; n < N; n++)
			CHECK(got[n] == s.v[n] * factor);
		if (step == 40) /* more than are kept */
			before = maps();
	}
	CHECK(maps() == before);
	splits_free(&s);
}

/* The same tensors at the same addresses may lie elsewhere then. */
SCENARIO(what_was_kept_is_sent_anew_when_a_buffer_has_gone)
{
	struct splits s;

	(void)unused;
	splits_make(&s);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 10; i++)
			split_computes(&s, i);
		s.p.g.buffer_free(s.results[SPLITS - 1 - round]);
		s.y[SPLITS - 1 - round]->buffer = NULL;
		s.y[SPLITS - 1 - round]->data = NULL;
		s.results[SPLITS - 1 - round] = s.p.f.backend_alloc_ctx_tensors(s.ctx[SPLITS - 1 - round], s.p.gpu);
		CHECK(s.results[SPLITS - 1 - round]);
		split_computes(&s, SPLITS - 1 - round);
	}
	splits_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_of_a_hundred_splits_is_recognised),
		cmocka_unit_test(the_host_has_counted_them),
		cmocka_unit_test(ever_new_graphs_in_one_memory_take_no_more_and_more),
		cmocka_unit_test(what_was_kept_is_sent_anew_when_a_buffer_has_gone),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_up, server_down);
}
