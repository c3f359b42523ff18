/* SPDX-License-Identifier: MIT */
/*
 * Several streams of one program: what is lost of one's work is that one's to be told, and touches another only where they
 * share what was lost. The host computes, but fails a graph whose input says so (wrap_refusing of wrap_ggml.c).
 */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/process.h"

#define N       64
#define REFUSED 666.0f

/* y = x + w, by a stream; each tensor in a buffer of its own, x or w perhaps another's. */
struct sum {
	struct abi_backend *stream;
	struct abi_context *ctx[4];
	struct abi_buffer *buffers[4];
	struct abi_tensor *x, *w, *y;
	struct abi_graph *graph;
};

static struct abi_tensor *leaf_make(struct sum *s, const struct program *p, int i)
{
	struct abi_tensor *t;

	s->ctx[i] = program_context(p);
	t = p->g.new_tensor_4d(s->ctx[i], 0, N, 1, 1, 1);
	s->buffers[i] = p->f.backend_alloc_ctx_tensors(s->ctx[i], s->stream);
	CHECK(s->buffers[i]);
	return t;
}

static void tensor_fill(const struct program *p, struct abi_tensor *t, float value)
{
	float v[N];

	for (size_t i = 0; i < N; i++)
		v[i] = value;
	p->g.tensor_set(t, v, 0, sizeof v);
}

/* x, w: NULL: its own. */
static void sum_make(
	struct sum *s, const struct program *p, struct abi_backend *stream, struct abi_tensor *x, struct abi_tensor *w)
{
	*s = (struct sum){ .stream = stream, .x = x, .w = w };
	if (!x) {
		s->x = leaf_make(s, p, 0);
		tensor_fill(p, s->x, 1);
	}
	if (!w) {
		s->w = leaf_make(s, p, 1);
		tensor_fill(p, s->w, 10);
	}
	s->y = leaf_make(s, p, 2);
	s->ctx[3] = program_context(p);
	s->graph = p->f.new_graph(s->ctx[3]);
	p->f.build_forward_expand(s->graph, p->f.cpy(s->ctx[3], p->f.add(s->ctx[3], s->x, s->w), s->y));
	s->buffers[3] = p->f.backend_alloc_ctx_tensors(s->ctx[3], stream);
	CHECK(s->buffers[3]);
}

static void sum_free(struct sum *s, const struct program *p)
{
	for (int i = 0; i < 4; i++) {
		if (s->buffers[i])
			p->g.buffer_free(s->buffers[i]);
		if (s->ctx[i])
			p->g.free(s->ctx[i]);
	}
}

static bool computes(const struct sum *s, const struct program *p)
{
	return p->g.graph_compute(s->stream, s->graph) == ABI_STATUS_SUCCESS;
}

/* As ggml's scheduler does it: without waiting. */
static bool starts(const struct sum *s)
{
	return s->stream->iface.graph_compute(s->stream, s->graph) == ABI_STATUS_SUCCESS;
}

static bool is(const struct program *p, const struct abi_tensor *t, float value)
{
	float got[N];

	memset(got, 0x5a, sizeof got);
	p->g.tensor_get(t, got, 0, sizeof got);
	for (size_t i = 0; i < N; i++) {
		if (got[i] != value)
			return false;
	}
	return true;
}

/* Its graph fails at the host, after the program was told that it was begun. */
static void sum_lose(struct sum *s, const struct program *p)
{
	tensor_fill(p, s->x, 1);
	CHECK(computes(s, p) && is(p, s->y, 11));
	tensor_fill(p, s->x, REFUSED);
	CHECK(starts(s));
}

/* Told once; then it goes on. */
static void sum_recovers(struct sum *s, const struct program *p)
{
	tensor_fill(p, s->x, 2);
	CHECK(!computes(s, p));
	CHECK(computes(s, p) && is(p, s->y, 12));
}

static struct abi_backend *stream_make(const struct program *p)
{
	struct abi_backend *b = p->g.dev_init(p->dev, NULL);

	CHECK(b);
	return b;
}

SCENARIO(a_loss_fails_its_own_streams_next_graph_and_no_others)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, NULL);
	CHECK(computes(&a, &p) && is(&p, a.y, 11));
	for (int round = 0; round < 3; round++) {
		sum_lose(&b, &p);
		for (int i = 0; i < 5; i++) {
			tensor_fill(&p, a.x, (float)i);
			CHECK(computes(&a, &p));
			CHECK(is(&p, a.y, (float)i + 10));
			CHECK(is(&p, b.y, 0));
		}
		sum_recovers(&b, &p);
	}
	sum_free(&a, &p);
	sum_free(&b, &p);
	p.g.backend_free(other);
	program_end(&p);
}

SCENARIO(weights_that_a_lost_graph_has_read_are_as_good_as_before)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, a.w);
	CHECK(computes(&a, &p));
	sum_lose(&b, &p);
	CHECK(computes(&a, &p) && is(&p, a.y, 11));
	CHECK(is(&p, a.w, 10));
	CHECK(is(&p, b.y, 0));
	sum_recovers(&b, &p);
	sum_free(&b, &p);
	sum_free(&a, &p);
	p.g.backend_free(other);
	program_end(&p);
}

/* a computes from what b's lost graph should have written. */
SCENARIO(who_touches_what_was_lost_fails_until_its_owner_was_told)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&b, &p, other, NULL, NULL);
	sum_make(&a, &p, p.gpu, b.y, NULL);
	CHECK(computes(&b, &p) && computes(&a, &p) && is(&p, a.y, 21));
	sum_lose(&b, &p);
	CHECK(is(&p, b.y, 0)); /* so it is known */
	for (int i = 0; i < 3; i++)
		CHECK(!computes(&a, &p));
	sum_recovers(&b, &p);
	CHECK(computes(&a, &p) && is(&p, a.y, 22));

	/* The same, but both were on their way already. */
	sum_lose(&b, &p);
	CHECK(starts(&a));
	CHECK(is(&p, a.y, 0) && is(&p, b.y, 0));
	for (int i = 0; i < 3; i++)
		CHECK(!computes(&a, &p));
	sum_recovers(&b, &p);
	CHECK(computes(&a, &p) && is(&p, a.y, 22));

	/* And b is told, before anything was read. */
	sum_lose(&b, &p);
	CHECK(starts(&a));
	p.g.synchronize(other);
	sum_recovers(&b, &p);
	CHECK(is(&p, a.y, 0));
	CHECK(!computes(&a, &p));
	CHECK(computes(&a, &p) && is(&p, a.y, 22));
	sum_free(&a, &p);
	sum_free(&b, &p);
	p.g.backend_free(other);
	program_end(&p);
}

SCENARIO(a_copy_of_what_was_lost_is_lost)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, NULL);
	CHECK(computes(&a, &p));
	sum_lose(&b, &p);
	p.g.tensor_copy(b.y, a.x);
	CHECK(is(&p, a.x, 0));
	CHECK(!computes(&a, &p));
	sum_recovers(&b, &p);
	p.g.tensor_copy(b.y, a.x);
	CHECK(computes(&a, &p) && is(&p, a.y, 22));
	sum_free(&a, &p);
	sum_free(&b, &p);
	p.g.backend_free(other);
	program_end(&p);
}

/* The plugin can't send it: its shape doesn't fit the protocol. */
/* An optimiser's step writes to both moments beside its result, each here in a buffer of its own. */
struct step {
	struct abi_context *ctx[6];
	struct abi_buffer *buffers[6];
	struct abi_tensor *t[5];
	struct abi_graph *graph;
};

enum { WEIGHT, GRADIENT, FIRST, SECOND, PARAMETERS };

static void step_make(struct step *s, const struct program *p)
{
	static const float parameters[7] = { 0, 0.5f, 0.5f, 1, 0, 1, 1 }; /* alpha, beta 1 and 2, … */
	struct abi_tensor *gradient;

	for (int i = 0; i < 5; i++) {
		s->ctx[i] = program_context(p);
		s->t[i] = p->g.new_tensor_4d(s->ctx[i], 0, i == PARAMETERS ? 7 : N, 1, 1, 1);
		s->buffers[i] = p->f.backend_alloc_ctx_tensors(s->ctx[i], p->gpu);
		CHECK(s->buffers[i]);
		if (i != PARAMETERS)
			tensor_fill(p, s->t[i], i == GRADIENT ? 2 : 0);
	}
	p->g.tensor_set(s->t[PARAMETERS], parameters, 0, sizeof parameters);
	p->f.set_param(s->t[WEIGHT]);
	s->ctx[5] = program_context(p);
	s->graph = p->f.new_graph(s->ctx[5]);
	gradient = p->f.scale(s->ctx[5], s->t[GRADIENT], 1);
	p->f.build_forward_expand(s->graph, gradient);
	p->f.build_forward_expand(s->graph,
		p->f.opt_step_adamw(s->ctx[5], s->t[WEIGHT], gradient, s->t[FIRST], s->t[SECOND], s->t[PARAMETERS]));
	s->buffers[5] = p->f.backend_alloc_ctx_tensors(s->ctx[5], p->gpu);
	CHECK(s->buffers[5]);
}

SCENARIO(what_an_optimiser_keeps_is_lost_with_its_step)
{
	struct step s;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	step_make(&s, &p);
	CHECK(p.g.graph_compute(p.gpu, s.graph) == ABI_STATUS_SUCCESS);
	CHECK(is(&p, s.t[FIRST], 1) && is(&p, s.t[SECOND], 2));
	tensor_fill(&p, s.t[GRADIENT], REFUSED);
	CHECK(p.gpu->iface.graph_compute(p.gpu, s.graph) == ABI_STATUS_SUCCESS);
	CHECK(is(&p, s.t[FIRST], 0) && is(&p, s.t[SECOND], 0));
	CHECK(is(&p, s.t[GRADIENT], REFUSED)); /* which it only reads */
	tensor_fill(&p, s.t[GRADIENT], 2);
	CHECK(p.g.graph_compute(p.gpu, s.graph) == ABI_STATUS_FAILED);
	CHECK(p.g.graph_compute(p.gpu, s.graph) == ABI_STATUS_SUCCESS);
	CHECK(is(&p, s.t[FIRST], 1.5f) && is(&p, s.t[SECOND], 3));
	for (int i = 0; i < 6; i++) {
		p.g.buffer_free(s.buffers[i]);
		p.g.free(s.ctx[i]);
	}
	program_end(&p);
}

static void set_unsent(const struct program *p, struct abi_tensor *t)
{
	int64_t n = t->ne[0];
	float v = 5;

	t->ne[0] = INT64_C(1) << 33;
	p->g.tensor_set(t, &v, 0, sizeof v);
	t->ne[0] = n;
}

/* The host refuses it: the tensor reaches beyond its buffer. */
static void set_refused(const struct program *p, struct abi_tensor *t)
{
	void *data = t->data;
	float v[N] = { 5 };

	t->data = (char *)data + ((size_t)1 << 20);
	p->g.tensor_set(t, v, 0, sizeof v);
	t->data = data;
}

static void lost_write(void (*set)(const struct program *, struct abi_tensor *))
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, NULL);
	CHECK(computes(&a, &p) && computes(&b, &p));
	set(&p, b.x);
	CHECK(computes(&a, &p) && is(&p, a.y, 11));
	CHECK(is(&p, b.x, 0)); /* not what was there before */
	CHECK(is(&p, b.y, 11));
	CHECK(!computes(&b, &p));
	tensor_fill(&p, b.x, 3);
	CHECK(computes(&b, &p) && is(&p, b.y, 13));
	CHECK(computes(&a, &p) && is(&p, a.y, 11));
	sum_free(&a, &p);
	sum_free(&b, &p);
	p.g.backend_free(other);
	program_end(&p);
}

SCENARIO(a_write_that_could_not_be_sent_fails_the_next_graph_that_touches_it_once)
{
	(void)unused;
	lost_write(set_unsent);
}

SCENARIO(a_write_that_was_refused_fails_the_next_graph_that_touches_it_once)
{
	(void)unused;
	lost_write(set_refused);
}

/* Whichever stream it is. */
SCENARIO(a_lost_write_is_told_to_one_stream)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, a.w);
	CHECK(computes(&a, &p) && computes(&b, &p));
	set_refused(&p, a.w);
	CHECK(is(&p, a.w, 0)); /* so it is known */
	CHECK(!computes(&b, &p));
	CHECK(computes(&a, &p) && computes(&b, &p));

	/* A graph that was on its way behind it takes it over. */
	set_refused(&p, a.w);
	CHECK(starts(&b));
	CHECK(is(&p, b.y, 0));
	CHECK(!computes(&b, &p));
	CHECK(computes(&b, &p) && is(&p, b.y, 11));
	CHECK(computes(&a, &p) && is(&p, a.y, 11));
	sum_free(&b, &p);
	sum_free(&a, &p);
	p.g.backend_free(other);
	program_end(&p);
}

/* Nobody writes them again: what computed from them afterwards would be wrong without a word. */
SCENARIO(a_lost_write_of_weights_fails_every_graph_that_reads_them)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, a.w);
	p.g.buffer_set_usage(a.buffers[1], ABI_USAGE_WEIGHTS);
	CHECK(computes(&a, &p) && computes(&b, &p));
	set_refused(&p, a.w);
	CHECK(is(&p, a.w, 0));
	for (int i = 0; i < 3; i++)
		CHECK(!computes(&a, &p) && !computes(&b, &p));
	CHECK(is(&p, a.w, 0));
	sum_free(&b, &p);
	sum_free(&a, &p);

	/* Also where a graph was on its way behind it; others go on. */
	sum_make(&a, &p, p.gpu, NULL, NULL);
	sum_make(&b, &p, other, NULL, NULL);
	p.g.buffer_set_usage(a.buffers[1], ABI_USAGE_WEIGHTS);
	CHECK(computes(&a, &p) && computes(&b, &p));
	set_refused(&p, a.w);
	CHECK(starts(&a));
	CHECK(is(&p, a.y, 0));
	for (int i = 0; i < 3; i++)
		CHECK(!computes(&a, &p) && computes(&b, &p) && is(&p, b.y, 11));
	sum_free(&b, &p);
	sum_free(&a, &p);
	p.g.backend_free(other);
	program_end(&p);
}

SCENARIO(a_freed_streams_loss_is_told_to_who_touches_it_next)
{
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = stream_make(&p);
	sum_make(&b, &p, other, NULL, NULL);
	sum_make(&a, &p, p.gpu, b.y, NULL);
	CHECK(computes(&b, &p) && computes(&a, &p));
	sum_lose(&b, &p);
	p.g.backend_free(other);
	CHECK(is(&p, b.y, 0));
	CHECK(!computes(&a, &p));
	CHECK(computes(&a, &p));
	sum_free(&a, &p);
	sum_free(&b, &p);
	program_end(&p);
}

SCENARIO(a_buffer_may_be_freed_before_its_loss_is_known)
{
	struct sum b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (int i = 0; i < 20; i++) {
		sum_make(&b, &p, p.gpu, NULL, NULL);
		sum_lose(&b, &p);
		sum_free(&b, &p);
		sum_make(&b, &p, p.gpu, NULL, NULL);
		sum_recovers(&b, &p);
		sum_free(&b, &p);
	}
	program_end(&p);
}

/* More than there are names for. */
SCENARIO(of_many_streams_each_has_its_own_losses)
{
	enum { STREAMS = 80 };
	struct abi_backend *streams[STREAMS];
	struct sum sums[STREAMS];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (int i = 0; i < STREAMS; i++) {
		streams[i] = stream_make(&p);
		sum_make(&sums[i], &p, streams[i], NULL, NULL);
		CHECK(computes(&sums[i], &p));
	}
	for (int i = 0; i < STREAMS; i += 3)
		sum_lose(&sums[i], &p);
	for (int i = 0; i < STREAMS; i++) {
		if (i % 3)
			CHECK(computes(&sums[i], &p) && is(&p, sums[i].y, 11));
		else
			sum_recovers(&sums[i], &p);
	}
	for (int i = 0; i < STREAMS; i++) {
		sum_free(&sums[i], &p);
		p.g.backend_free(streams[i]);
	}
	program_end(&p);
}

static int refusing_server_up(void **state)
{
	(void)state;
	return server_start_on(&server, test_path("TEST_WRAP"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_refusing") ? 0
	                                                                                                         : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loss_fails_its_own_streams_next_graph_and_no_others),
		cmocka_unit_test(weights_that_a_lost_graph_has_read_are_as_good_as_before),
		cmocka_unit_test(who_touches_what_was_lost_fails_until_its_owner_was_told),
		cmocka_unit_test(a_copy_of_what_was_lost_is_lost),
		cmocka_unit_test(what_an_optimiser_keeps_is_lost_with_its_step),
		cmocka_unit_test(a_write_that_could_not_be_sent_fails_the_next_graph_that_touches_it_once),
		cmocka_unit_test(a_write_that_was_refused_fails_the_next_graph_that_touches_it_once),
		cmocka_unit_test(a_lost_write_is_told_to_one_stream),
		cmocka_unit_test(a_lost_write_of_weights_fails_every_graph_that_reads_them),
		cmocka_unit_test(a_freed_streams_loss_is_told_to_who_touches_it_next),
		cmocka_unit_test(a_buffer_may_be_freed_before_its_loss_is_known),
		cmocka_unit_test(of_many_streams_each_has_its_own_losses),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, refusing_server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, refusing_server_up, server_down);
}
