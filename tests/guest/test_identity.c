/* SPDX-License-Identifier: MIT */
/*
 * Graphs of ggml's scheduler, which gives each a number that stays as long as it does: what a program changes meanwhile is
 * computed as it is then, as natively on the CPU. With every protocol.
 */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/ggml.h"

#define N     64
#define TIMES 3 /* from the second on a graph is recognised */

/* out = factor x + relu(a part of w), by a schedule that puts all on the device. x lies in a buffer of its own. */
struct plan {
	struct program p;
	struct abi_context *ctx, *ctx_x;
	struct abi_buffer *buffer, *buffer_x;
	struct abi_tensor *x, *w, *other, *spare, *scaled, *part, *relu, *out;
	struct abi_graph *graph;
	struct abi_sched *sched;
	bool direct; /* the program computes the whole graph itself */
	/* What is expected. */
	float factor, vx[N], vw[2 * N];
	size_t offset, n;
};

static void plan_alloc(struct plan *s)
{
	s->buffer = s->p.f.backend_alloc_ctx_tensors(s->ctx, s->p.gpu);
	s->buffer_x = s->p.f.backend_alloc_ctx_tensors(s->ctx_x, s->p.gpu);
	CHECK(s->buffer && s->buffer_x);
	numbers_fill(s->vx, N, 1);
	numbers_fill(s->vw, 2 * N, 2);
	s->p.g.tensor_set(s->w, s->vw, 0, sizeof s->vw);
}

static void plan_make(struct plan *s)
{
	struct abi_backend *backends[2];
	struct program *p = &s->p;

	*s = (struct plan){ .factor = 2, .n = N };
	program_start(p, server.socket);
	s->ctx = program_context(p);
	s->ctx_x = program_context(p);
	s->x = p->g.new_tensor_4d(s->ctx_x, 0, N, 1, 1, 1);
	s->w = p->g.new_tensor_4d(s->ctx, 0, 2 * N, 1, 1, 1);
	s->other = p->g.new_tensor_4d(s->ctx, 0, N, 1, 1, 1);
	s->spare = p->g.new_tensor_4d(s->ctx, 0, N, 1, 1, 1);
	s->scaled = p->f.scale(s->ctx, s->x, s->factor);
	s->part = p->f.view_2d(s->ctx, s->w, N, 1, N * sizeof(float), 0);
	s->relu = p->f.relu(s->ctx, s->part);
	s->out = p->f.add(s->ctx, s->scaled, s->relu);
	s->graph = p->f.new_graph(s->ctx);
	p->f.build_forward_expand(s->graph, s->out);
	plan_alloc(s);
	backends[0] = p->gpu;
	backends[1] = p->cpu;
	s->sched = p->f.backend_sched_new(backends, NULL, 2, 64, false, true);
	CHECK(s->sched && p->f.backend_sched_alloc_graph(s->sched, s->graph));
}

static void plan_end(struct plan *s)
{
	s->p.f.backend_sched_free(s->sched);
	s->p.g.buffer_free(s->buffer);
	s->p.g.buffer_free(s->buffer_x);
	s->p.g.free(s->ctx);
	s->p.g.free(s->ctx_x);
	program_end(&s->p);
}

static void plan_run(struct plan *s)
{
	if (s->direct)
		CHECK(s->p.g.graph_compute(s->p.gpu, s->graph) == ABI_STATUS_SUCCESS);
	else
		CHECK(s->p.f.backend_sched_graph_compute(s->sched, s->graph) == ABI_STATUS_SUCCESS);
}

static void plan_computes(struct plan *s)
{
	float got[N], sevens[N];

	for (int n = 0; n < N; n++)
		sevens[n] = 7;
	for (int i = 0; i < TIMES; i++) {
		s->p.g.tensor_set(s->x, s->vx, 0, s->n * sizeof *s->vx);
		s->p.g.buffer_clear(s->buffer, 0);
		s->p.g.tensor_set(s->w, s->vw, 0, sizeof s->vw);
		s->p.g.tensor_set(s->other, sevens, 0, sizeof sevens);
		plan_run(s);
		s->p.g.tensor_get(s->out, got, 0, s->n * sizeof *got);
		for (size_t n = 0; n < s->n; n++) {
			float r = s->relu->src[0] == s->other ? 7 : s->vw[s->offset + n];

			CHECK(got[n] == s->factor * s->vx[n] + (r > 0 ? r : 0));
		}
	}
}

static void factor_change(struct plan *s, float factor)
{
	s->factor = factor;
	memcpy(s->scaled->op_params, &factor, sizeof factor);
}

SCENARIO(op_params_changed_under_one_uid_are_the_new_ones)
{
	struct plan s;

	(void)unused;
	plan_make(&s);
	plan_computes(&s);
	factor_change(&s, 3);
	plan_computes(&s);
	factor_change(&s, 2);
	plan_computes(&s);
	plan_end(&s);
}

SCENARIO(data_changed_under_one_uid_is_where_it_is_then)
{
	struct plan s;

	(void)unused;
	plan_make(&s);
	plan_computes(&s);
	s.out->data = s.spare->data; /* a node's */
	plan_computes(&s);
	s.part->data = (float *)s.w->data + N; /* a view's */
	s.part->view_offs = N * sizeof(float);
	s.offset = N;
	plan_computes(&s);
	s.x->data = s.other->data; /* what the graph only reads */
	s.x->buffer = s.other->buffer;
	for (int n = 0; n < N; n++)
		s.vx[n] = 7;
	plan_computes(&s);
	plan_end(&s);
}

SCENARIO(sources_changed_under_one_uid_are_the_new_ones)
{
	struct plan s;

	(void)unused;
	plan_make(&s);
	plan_computes(&s);
	s.relu->src[0] = s.other;
	plan_computes(&s);
	plan_end(&s);
}

static void halve(struct abi_tensor *t)
{
	t->ne[0] = N / 2;
	for (int i = 1; i < ABI_DIMS; i++)
		t->nb[i] = N / 2 * sizeof(float);
}

SCENARIO(shapes_changed_under_one_uid_are_the_new_ones)
{
	float got[N];
	struct plan s;

	(void)unused;
	plan_make(&s);
	plan_computes(&s);
	halve(s.x);
	halve(s.part);
	halve(s.scaled);
	halve(s.relu);
	halve(s.out);
	s.n = N / 2;
	plan_computes(&s);
	/* What lies behind the half was cleared, and isn't computed any more. */
	s.spare->data = s.out->data;
	s.p.g.tensor_get(s.spare, got, 0, sizeof got);
	for (int n = N / 2; n < N; n++)
		CHECK(got[n] == 0);
	plan_end(&s);
}

/* The scheduler stamps the program's own graph, too. */
SCENARIO(a_scheduled_graph_may_be_computed_directly_and_grow)
{
	struct abi_buffer *buffer;
	struct abi_context *ctx;
	struct abi_tensor *more;
	float got[N], out[N];
	struct plan s;

	(void)unused;
	plan_make(&s);
	s.direct = true;
	plan_computes(&s);
	factor_change(&s, 3);
	plan_computes(&s);
	ctx = program_context(&s.p);
	more = s.p.f.scale(ctx, s.out, 5);
	buffer = s.p.f.backend_alloc_ctx_tensors(ctx, s.p.gpu);
	CHECK(buffer);
	s.p.f.build_forward_expand(s.graph, more);
	for (int i = 0; i < 2; i++) {
		s.p.g.buffer_clear(buffer, 0);
		plan_computes(&s);
		s.p.g.tensor_get(s.out, out, 0, sizeof out);
		s.p.g.tensor_get(more, got, 0, sizeof got);
		for (int n = 0; n < N; n++)
			CHECK(got[n] == 5 * out[n]);
		s.direct = false; /* the parts don't have it */
		plan_computes(&s);
		s.direct = true;
	}
	s.p.g.buffer_free(buffer);
	s.p.g.free(ctx);
	plan_end(&s);
}

/* A product of two rows stays one number however long they are. */
static void rows_shorten(bool direct, int32_t usage)
{
	struct abi_backend *backends[2];
	struct abi_tensor *a, *b, *out;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_sched *sched;
	struct abi_graph *graph;
	struct program p;
	float v[N], got;

	program_start(&p, server.socket);
	ctx = program_context(&p);
	a = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	b = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	out = p.f.mul_mat(ctx, a, b);
	graph = p.f.new_graph(ctx);
	p.f.build_forward_expand(graph, out);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	p.g.buffer_set_usage(buffer, usage);
	backends[0] = p.gpu;
	backends[1] = p.cpu;
	sched = p.f.backend_sched_new(backends, NULL, 2, 64, false, true);
	CHECK(sched && p.f.backend_sched_alloc_graph(sched, graph));
	for (int i = 0; i < N; i++)
		v[i] = 1;
	p.g.tensor_set(a, v, 0, sizeof v);
	p.g.tensor_set(b, v, 0, sizeof v);
	for (int i = 0; i < 2 * TIMES; i++) {
		if (i == TIMES) {
			halve(a);
			halve(b);
		}
		CHECK((direct ? p.g.graph_compute(p.gpu, graph) : p.f.backend_sched_graph_compute(sched, graph)) ==
			ABI_STATUS_SUCCESS);
		p.g.tensor_get(out, &got, 0, sizeof got);
		CHECK(got == (i < TIMES ? N : N / 2));
	}
	p.f.backend_sched_free(sched);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

SCENARIO(shapes_of_what_is_only_read_may_change_under_one_uid)
{
	(void)unused;
	rows_shorten(false, ABI_USAGE_ANY);
}

SCENARIO(even_weights_may_where_the_program_computes_its_own_graph)
{
	(void)unused;
	rows_shorten(true, ABI_USAGE_WEIGHTS);
}

/* The host's CPU computes the norm and the product in one go, and the norm's own result not at all, where nobody else reads it. */
SCENARIO(what_is_read_once_more_is_computed_even_in_an_old_part)
{
	struct abi_tensor *(*rms_norm)(struct abi_context *, struct abi_tensor *, float);
	struct abi_tensor *(*mul)(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
	void *f = ggml_symbol("ggml_rms_norm"), *m = ggml_symbol("ggml_mul");
	struct abi_backend *backends[2];
	struct abi_tensor *x, *norm, *out;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_sched *sched;
	struct abi_graph *graph;
	struct program p;
	float v[N], got[N];

	(void)unused;
	memcpy(&rms_norm, &f, sizeof f);
	memcpy(&mul, &m, sizeof m);
	program_start(&p, server.socket);
	ctx = program_context(&p);
	x = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	norm = rms_norm(ctx, x, 1e-6f);
	out = mul(ctx, norm, x);
	graph = p.f.new_graph(ctx);
	p.f.build_forward_expand(graph, out);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	backends[0] = p.gpu;
	backends[1] = p.cpu;
	sched = p.f.backend_sched_new(backends, NULL, 2, 64, false, true);
	CHECK(sched && p.f.backend_sched_alloc_graph(sched, graph));
	for (int i = 0; i < N; i++)
		v[i] = 2;
	p.g.buffer_clear(buffer, 0);
	p.g.tensor_set(x, v, 0, sizeof v);
	for (int i = 0; i < TIMES; i++)
		CHECK(p.f.backend_sched_graph_compute(sched, graph) == ABI_STATUS_SUCCESS);
	p.g.tensor_get(norm, got, 0, sizeof got);
	CHECK(got[0] == 0 || getenv("GGML_VIRTGPU_PROTOCOL")); /* which doesn't tell who reads what */
	p.f.build_forward_expand(graph, p.f.relu(ctx, norm));
	CHECK(p.f.backend_sched_graph_compute(sched, graph) == ABI_STATUS_SUCCESS);
	p.g.tensor_get(norm, got, 0, sizeof got);
	for (int i = 0; i < N; i++)
		CHECK(got[i] > 0.99f && got[i] < 1.01f);
	p.f.backend_sched_free(sched);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

/* Of as many nodes, with the same first and the same last. */
SCENARIO(a_scheduled_graph_may_be_built_anew_and_computed_directly)
{
	void (*clear)(struct abi_graph *);
	void *f = ggml_symbol("ggml_graph_clear");
	struct abi_tensor *middle;
	struct abi_buffer *buffer;
	struct abi_context *ctx;
	struct plan s;

	(void)unused;
	memcpy(&clear, &f, sizeof f);
	plan_make(&s);
	s.direct = true;
	plan_computes(&s);
	ctx = program_context(&s.p);
	middle = s.p.f.relu(ctx, s.p.f.view_2d(ctx, s.w, N, 1, N * sizeof(float), N * sizeof(float)));
	buffer = s.p.f.backend_alloc_ctx_tensors(ctx, s.p.gpu);
	CHECK(buffer);
	s.out->src[1] = middle;
	clear(s.graph);
	s.p.f.build_forward_expand(s.graph, s.out);
	s.offset = N;
	plan_computes(&s);
	s.p.g.buffer_free(buffer);
	s.p.g.free(ctx);
	plan_end(&s);
}

SCENARIO(a_buffer_that_is_made_anew_at_its_address_is_another)
{
	struct plan s;

	(void)unused;
	plan_make(&s);
	for (int round = 0; round < 3; round++) {
		plan_computes(&s);
		s.p.g.buffer_free(s.buffer_x);
		s.x->buffer = NULL;
		s.x->data = NULL;
		s.buffer_x = s.p.f.backend_alloc_ctx_tensors(s.ctx_x, s.p.gpu);
		CHECK(s.buffer_x);
	}
	plan_computes(&s);
	plan_end(&s);
}

static bool eval_each(struct abi_tensor *t, bool ask, void *user)
{
	(void)t, (void)ask;
	++*(int *)user;
	return true;
}

/* They are parts that have no number. */
SCENARIO(a_graph_whose_nodes_are_computed_one_by_one_may_change)
{
	int evaluated = 0;
	struct plan s;

	(void)unused;
	plan_make(&s);
	s.p.f.backend_sched_set_eval_callback(s.sched, eval_each, &evaluated);
	plan_computes(&s);
	CHECK(evaluated >= TIMES * 3 * 2);
	factor_change(&s, 3);
	plan_computes(&s);
	s.out->data = s.spare->data;
	plan_computes(&s);
	plan_end(&s);
}

#define BESIDE 17

/* The host counts at the context's end. */
SCENARIO(buffers_that_come_and_go_beside_a_graph_leave_it_recognised)
{
	struct abi_buffer *b;
	struct plan s;

	(void)unused;
	plan_make(&s);
	for (int i = 0; i < BESIDE; i++) {
		plan_run(&s);
		b = s.p.g.buft_alloc_buffer(s.p.g.dev_buffer_type(s.p.dev), 4096);
		CHECK(b);
		s.p.g.buffer_free(b);
	}
	plan_end(&s);
}

static void the_host_has_counted_them(void **state)
{
	const char *line = getenv("GGML_VIRTGPU_PROTOCOL") ? " 17 graphs computed (16 reused, 0 of them named again)"
	                                                   : " 17 graphs computed (16 reused, 16 of them named again)";

	(void)state;
	assert_true(server_said(&server, line));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(op_params_changed_under_one_uid_are_the_new_ones),
		cmocka_unit_test(data_changed_under_one_uid_is_where_it_is_then),
		cmocka_unit_test(sources_changed_under_one_uid_are_the_new_ones),
		cmocka_unit_test(shapes_changed_under_one_uid_are_the_new_ones),
		cmocka_unit_test(shapes_of_what_is_only_read_may_change_under_one_uid),
		cmocka_unit_test(even_weights_may_where_the_program_computes_its_own_graph),
		cmocka_unit_test(a_scheduled_graph_may_be_computed_directly_and_grow),
		cmocka_unit_test(what_is_read_once_more_is_computed_even_in_an_old_part),
		cmocka_unit_test(a_scheduled_graph_may_be_built_anew_and_computed_directly),
		cmocka_unit_test(a_buffer_that_is_made_anew_at_its_address_is_another),
		cmocka_unit_test(a_graph_whose_nodes_are_computed_one_by_one_may_change),
		cmocka_unit_test(buffers_that_come_and_go_beside_a_graph_leave_it_recognised),
		cmocka_unit_test(the_host_has_counted_them),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_up, server_down);
}
