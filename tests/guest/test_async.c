/* SPDX-License-Identifier: MIT */
/*
 * Work that goes on while the program does: what it asks for next sees it done. The host's library is as asynchronous as one
 * can be (wrap_lazy of wrap_ggml.c), so that whatever isn't waited for gives other numbers.
 */
#include "tests/guest/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/util.h"
#include "tests/support/capture.h"
#include "tests/support/ggml.h"

#define N       16384 /* more than travels with others */
#define BYTES   (N * sizeof(float))
#define REFUSED 666.0f
#define PIECE   ((size_t)4 << 20) /* guest/session.h */

/* y = x + w, each in a buffer of its own. */
struct sum {
	struct abi_context *ctx[3];
	struct abi_buffer *buffers[3];
	struct abi_tensor *x, *w, *y;
	struct abi_graph *graph;
};

static void tensor_fill(const struct program *p, struct abi_tensor *t, float value)
{
	float v[N];

	for (size_t i = 0; i < N; i++)
		v[i] = value;
	p->g.tensor_set(t, v, 0, p->g.nbytes(t));
}

static struct abi_buffer *place(const struct program *p, struct abi_context *ctx)
{
	struct abi_buffer *b = p->f.backend_alloc_ctx_tensors(ctx, p->gpu);

	CHECK(b);
	return b;
}

static void sum_make(struct sum *s, const struct program *p)
{
	for (int i = 0; i < 3; i++)
		s->ctx[i] = program_context(p);
	s->x = p->g.new_tensor_4d(s->ctx[0], 0, N, 1, 1, 1);
	s->w = p->g.new_tensor_4d(s->ctx[1], 0, N, 1, 1, 1);
	s->y = p->f.add(s->ctx[2], s->x, s->w);
	s->graph = p->f.new_graph(s->ctx[2]);
	p->f.build_forward_expand(s->graph, s->y);
	for (int i = 0; i < 3; i++)
		s->buffers[i] = place(p, s->ctx[i]);
	tensor_fill(p, s->x, 1);
	tensor_fill(p, s->w, 10);
}

static void sum_free(struct sum *s, const struct program *p)
{
	for (int i = 0; i < 3; i++) {
		if (s->buffers[i])
			p->g.buffer_free(s->buffers[i]);
		p->g.free(s->ctx[i]);
	}
}

/* As ggml's scheduler does it: without waiting. */
static bool starts_on(const struct sum *s, struct abi_backend *stream)
{
	return stream->iface.graph_compute(stream, s->graph) == ABI_STATUS_SUCCESS;
}

static void start(const struct sum *s, const struct program *p)
{
	CHECK(starts_on(s, p->gpu));
}

static bool all_are(const float *v, size_t n, float value)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i] != value)
			return false;
	}
	return true;
}

static bool is(const struct program *p, const struct abi_tensor *t, float value)
{
	static float got[N];

	memset(got, 0x5a, sizeof got);
	p->g.tensor_get(t, got, 0, p->g.nbytes(t));
	return all_are(got, p->g.nbytes(t) / sizeof *got, value);
}

static void ask(const struct program *p, const struct abi_tensor *t, float *to)
{
	memset(to, 0x5a, p->g.nbytes(t));
	p->g.tensor_get_async(p->gpu, t, to, 0, p->g.nbytes(t));
}

/* A state that is carried from one ubatch to the next by two graphs in turn: from a small input, and from a large one. */
struct carrier {
	struct abi_context *ctx[2];
	struct abi_buffer *buffers[2];
	struct abi_tensor *state, *small, *large;
	struct abi_graph *graphs[2];
};

#define WIDTH 128

static void carrier_make(struct carrier *c, const struct program *p, struct abi_backend *b)
{
	float v[4 * WIDTH];

	for (int i = 0; i < 2; i++)
		c->ctx[i] = program_context(p);
	c->state = p->g.new_tensor_4d(c->ctx[0], 0, WIDTH, 4, 1, 1);
	c->small = p->g.new_tensor_4d(c->ctx[0], 0, WIDTH, 4, 1, 1);
	c->large = p->g.new_tensor_4d(c->ctx[0], 0, WIDTH, WIDTH, 1, 1);
	for (int i = 0; i < 2; i++) {
		struct abi_tensor *x = p->f.mul_mat(c->ctx[1], c->large, i ? c->state : c->small);

		x = p->f.add(c->ctx[1], p->f.scale(c->ctx[1], c->state, 0.5f), x);
		c->graphs[i] = p->f.new_graph(c->ctx[1]);
		p->f.build_forward_expand(c->graphs[i], p->f.cpy(c->ctx[1], p->f.soft_max(c->ctx[1], x), c->state));
	}
	for (int i = 0; i < 2; i++) {
		c->buffers[i] = p->f.backend_alloc_ctx_tensors(c->ctx[i], b);
		CHECK(c->buffers[i]);
	}
	numbers_fill(v, 4 * WIDTH, 1);
	p->g.tensor_set(c->state, v, 0, sizeof v);
}

/* Nothing is read, and nothing waited for. */
static void carrier_run(struct carrier *c, const struct program *p, struct abi_backend *b, uint32_t ubatches)
{
	static float v[WIDTH * WIDTH];

	for (uint32_t i = 0; i < ubatches; i++) {
		numbers_fill(v, WIDTH * WIDTH, i);
		if (i % 3 == 0)
			p->g.tensor_set(c->large, v, 0, sizeof v);
		p->g.tensor_set(c->small, v, 0, p->g.nbytes(c->small));
		CHECK(b->iface.graph_compute(b, c->graphs[i & 1]) == ABI_STATUS_SUCCESS);
	}
}

static void carrier_free(struct carrier *c, const struct program *p)
{
	for (int i = 0; i < 2; i++) {
		p->g.buffer_free(c->buffers[i]);
		p->g.free(c->ctx[i]);
	}
}

SCENARIO(a_prompt_of_several_ubatches_without_outputs_is_as_natively)
{
	float there[4 * WIDTH], here[4 * WIDTH];
	struct carrier gpu, cpu;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	carrier_make(&gpu, &p, p.gpu);
	carrier_make(&cpu, &p, p.cpu);
	for (uint32_t ubatches = 1; ubatches < 12; ubatches++) {
		carrier_run(&gpu, &p, p.gpu, ubatches);
		carrier_run(&cpu, &p, p.cpu, ubatches);
		p.g.tensor_get_async(p.gpu, gpu.state, there, 0, sizeof there);
		p.g.synchronize(p.gpu);
		p.g.tensor_get(cpu.state, here, 0, sizeof here);
		CHECK(!memcmp(there, here, sizeof there));
	}
	carrier_free(&gpu, &p);
	carrier_free(&cpu, &p);
	program_end(&p);
}

static void set_all(const struct program *p, struct sum *s)
{
	tensor_fill(p, s->x, 2);
}

static void set_one(const struct program *p, struct sum *s)
{
	const float v = 2;

	p->g.tensor_set(s->x, &v, BYTES - sizeof v, sizeof v);
}

static void set_later(const struct program *p, struct sum *s)
{
	float v[2] = { 2, 2 };

	p->f.backend_tensor_set_async(p->gpu, s->x, v, BYTES - sizeof v, sizeof v);
	v[0] = v[1] = 3; /* it is the program's again */
}

static void set_bytes(const struct program *p, struct sum *s)
{
	p->f.backend_tensor_memset(s->x, 0, 0, BYTES);
}

static void clear(const struct program *p, struct sum *s)
{
	p->g.buffer_clear(s->buffers[0], 0);
}

static void copy(const struct program *p, struct sum *s)
{
	p->g.tensor_copy(s->w, s->x);
}

static void compute_in_place(const struct program *p, struct sum *s)
{
	struct abi_context *ctx = program_context(p);
	struct abi_graph *graph = p->f.new_graph(ctx);
	struct abi_tensor *doubled = p->f.scale(ctx, s->x, 2);
	struct abi_buffer *b;

	p->f.build_forward_expand(graph, p->f.cpy(ctx, doubled, s->x));
	b = place(p, ctx);
	CHECK(p->gpu->iface.graph_compute(p->gpu, graph) == ABI_STATUS_SUCCESS);
	p->g.buffer_free(b);
	p->g.free(ctx);
}

SCENARIO(what_is_written_behind_a_graph_is_not_what_it_reads)
{
	static const struct {
		void (*write)(const struct program *, struct sum *);
		float last; /* of x then */
	} writes[] = {
		{ set_all, 2 },
		{ set_one, 2 },
		{ set_later, 2 },
		{ set_bytes, 0 },
		{ clear, 0 },
		{ copy, 10 },
		{ compute_in_place, 2 },
	};
	struct program p;
	float last;

	(void)unused;
	program_start(&p, server.socket);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		struct sum s;

		sum_make(&s, &p);
		for (int round = 0; round < 3; round++) { /* new at first */
			tensor_fill(&p, s.x, 1);
			start(&s, &p);
			writes[i].write(&p, &s);
			CHECK(is(&p, s.y, 11));
			p.g.tensor_get(s.x, &last, BYTES - sizeof last, sizeof last);
			CHECK(last == writes[i].last);
			start(&s, &p);
			p.g.tensor_get(s.y, &last, BYTES - sizeof last, sizeof last);
			CHECK(last == writes[i].last + 10);
		}
		sum_free(&s, &p);
	}
	program_end(&p);
}

SCENARIO(a_copy_of_a_result_is_made_when_it_is_there)
{
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	for (int i = 0; i < 3; i++) {
		tensor_fill(&p, s.x, (float)i);
		start(&s, &p);
		p.g.tensor_copy(s.y, s.x);
		CHECK(is(&p, s.x, (float)i + 10));
	}
	sum_free(&s, &p);
	program_end(&p);
}

SCENARIO(a_buffer_that_a_graph_reads_may_be_freed_behind_it)
{
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (int i = 0; i < 4; i++) {
		struct sum s, other;

		sum_make(&s, &p);
		if (i > 1) { /* not only new ones */
			start(&s, &p);
			CHECK(is(&p, s.y, 11));
		}
		start(&s, &p);
		p.g.buffer_free(s.buffers[i & 1]);
		s.buffers[i & 1] = NULL;
		sum_make(&other, &p); /* which may be where it was */
		start(&other, &p);
		CHECK(is(&p, s.y, 11) && is(&p, other.y, 11));
		sum_free(&other, &p);
		sum_free(&s, &p);
	}
	program_end(&p);
}

static void put(struct abi_tensor *t, const struct program *p, struct abi_buffer *b, size_t at)
{
	t->buffer = b;
	t->data = (char *)p->g.buffer_get_base(b) + at;
}

/* The library clears what lies behind a quantised tensor when it sees it first; here that is what the graph before reads, as
 * where both have their tensors in one buffer by turns. */
SCENARIO(a_graph_that_is_new_while_another_runs_spoils_nothing_of_that_one)
{
	struct abi_context *ctx;
	struct abi_graph *first, *second;
	struct abi_tensor *x, *w, *y, *q, *v, *out;
	struct abi_buffer *shared, *own;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	shared = p.g.buft_alloc_buffer(p.g.dev_buffer_type(p.dev), 4096);
	CHECK(shared);
	q = p.g.new_tensor_4d(ctx, ggml_type("q8_0"), 32, 3, 1, 1);
	put(q, &p, shared, 0);
	x = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	put(x, &p, shared, 128);
	CHECK(p.g.nbytes(q) < 128 && p.g.nbytes(q) + 32 > 128);
	w = p.g.new_tensor_4d(ctx, 0, 64, 1, 1, 1);
	v = p.g.new_tensor_4d(ctx, 0, 32, 1, 1, 1);
	y = p.f.add(ctx, x, w);
	out = p.f.mul_mat(ctx, q, v);
	first = p.f.new_graph(ctx);
	second = p.f.new_graph(ctx);
	p.f.build_forward_expand(first, y);
	p.f.build_forward_expand(second, out);
	own = place(&p, ctx);
	tensor_fill(&p, x, 1);
	tensor_fill(&p, w, 10);
	tensor_fill(&p, v, 1);
	CHECK(p.gpu->iface.graph_compute(p.gpu, first) == ABI_STATUS_SUCCESS);
	CHECK(p.gpu->iface.graph_compute(p.gpu, second) == ABI_STATUS_SUCCESS);
	CHECK(is(&p, y, 11));
	p.g.buffer_free(own);
	p.g.buffer_free(shared);
	p.g.free(ctx);
	program_end(&p);
}

SCENARIO(a_usage_that_changes_while_a_graph_runs_leaves_it_its_memory)
{
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	for (int i = 0; i < 6; i++) {
		tensor_fill(&p, s.x, (float)i);
		start(&s, &p);
		p.g.buffer_set_usage(s.buffers[2], i & 1 ? ABI_USAGE_ANY : ABI_USAGE_COMPUTE);
		CHECK(is(&p, s.y, (float)i + 10));
	}
	sum_free(&s, &p);
	program_end(&p);
}

/* Each is one that it hasn't asked before. */
SCENARIO(questions_and_new_buffers_may_come_while_a_graph_runs)
{
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	for (int64_t i = 1; i < 10; i++) {
		struct abi_context *ctx = program_context(&p);
		struct abi_tensor *x = p.g.new_tensor_4d(ctx, 0, 32 * i, 3, 1, 1);
		size_t free_bytes, total;
		struct abi_buffer *b;

		tensor_fill(&p, s.x, (float)i);
		start(&s, &p);
		CHECK(p.g.dev_supports_op(p.dev, p.f.add(ctx, x, x)));
		p.g.dev_memory(p.dev, &free_bytes, &total);
		b = place(&p, ctx);
		p.g.buffer_free(b);
		CHECK(is(&p, s.y, (float)i + 10));
		p.g.free(ctx);
	}
	sum_free(&s, &p);
	program_end(&p);
}

static void name_it(struct sum *s, const char *what, int round)
{
	snprintf(s->y->name, sizeof s->y->name, "told %s %d", what, round);
}

static bool told(const char *what, int round)
{
	char text[64];

	snprintf(text, sizeof text, "wrap: computed 'told %s %d'", what, round);
	return server_said(&server, text);
}

SCENARIO(synchronize_waits_for_the_end)
{
	struct abi_backend *other;
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	other = p.g.dev_init(p.dev, NULL);
	CHECK(other);
	sum_make(&s, &p);
	for (int round = 0; round < 3; round++) {
		name_it(&s, "at synchronize", round);
		start(&s, &p);
		p.g.synchronize(p.gpu);
		CHECK(told("at synchronize", round));
	}
	start(&s, &p); /* one that it knows */
	name_it(&s, "behind another", 0);
	start(&s, &p);
	p.g.synchronize(p.gpu);
	CHECK(told("behind another", 0));
	name_it(&s, "as a stream ends", 0);
	CHECK(starts_on(&s, other));
	p.g.backend_free(other);
	CHECK(told("as a stream ends", 0));
	sum_free(&s, &p);
	program_end(&p);
}

SCENARIO(an_event_is_over_when_what_came_before_it_is)
{
	struct abi_event *event;
	struct program p;
	struct sum s;
	float got[N];

	(void)unused;
	program_start(&p, server.socket);
	event = p.f.backend_event_new(p.dev);
	CHECK(event);
	p.f.backend_event_synchronize(event); /* not recorded: nothing to wait for */
	sum_make(&s, &p);
	for (int round = 0; round < 3; round++) {
		name_it(&s, "at an event", round);
		start(&s, &p);
		p.f.backend_event_record(event, p.gpu);
		if (round == 1) /* something behind it */
			p.g.tensor_get_async(p.gpu, s.y, got, 0, sizeof got);
		p.f.backend_event_wait(p.gpu, event);
		p.f.backend_event_synchronize(event);
		CHECK(told("at an event", round));
		p.g.synchronize(p.gpu);
	}
	p.f.backend_event_free(event);
	sum_free(&s, &p);
	program_end(&p);
}

static void ends_meanwhile(void *unused)
{
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	name_it(&s, "at the program's end", getenv("GGML_VIRTGPU_PROTOCOL") != NULL);
	start(&s, &p);
	_exit(0);
}

static void a_program_that_ends_meanwhile_leaves_nothing_unfinished(void **state)
{
	(void)state;
	assert_int_equal(child_run(ends_meanwhile, NULL), 0);
	assert_true(told("at the program's end", getenv("GGML_VIRTGPU_PROTOCOL") != NULL));
}

SCENARIO(what_is_asked_for_is_there_at_synchronize_and_nothing_comes_later)
{
	float *got = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct program p;
	struct sum s;

	(void)unused;
	CHECK(got != MAP_FAILED);
	program_start(&p, server.socket);
	sum_make(&s, &p);
	for (int i = 0; i < 4; i++) {
		tensor_fill(&p, s.x, (float)i);
		start(&s, &p);
		ask(&p, s.y, got);
		if (i & 1) { /* behind what was asked for */
			tensor_fill(&p, s.x, 100);
			start(&s, &p);
		}
		p.g.synchronize(p.gpu);
		CHECK(all_are(got, N, (float)i + 10));
		CHECK(mprotect(got, BYTES, PROT_NONE) == 0); /* who touches it now ends the program */
		tensor_fill(&p, s.x, 200);
		start(&s, &p);
		CHECK(is(&p, s.y, 210));
		p.g.synchronize(p.gpu);
		CHECK(mprotect(got, BYTES, PROT_READ | PROT_WRITE) == 0);
	}
	sum_free(&s, &p);
	CHECK(munmap(got, BYTES) == 0);
	program_end(&p);
}

/* In parts, with a write between, more than there are pieces for. */
SCENARIO(many_are_asked_for_at_once)
{
	enum { PARTS = 40 };
	static float got[PARTS][N / PARTS], old[N], new[N];
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	for (uint32_t round = 0; round < 3; round++) {
		numbers_fill(old, N, round);
		p.g.tensor_set(s.x, old, 0, BYTES);
		tensor_fill(&p, s.w, 0);
		start(&s, &p);
		for (size_t i = 0; i < PARTS; i++) {
			p.g.tensor_get_async(p.gpu, s.y, got[i], i * sizeof got[i], sizeof got[i]);
			if (i % 8 == 7)
				start(&s, &p);
		}
		ask(&p, s.x, old);
		tensor_fill(&p, s.x, 5);
		start(&s, &p);
		ask(&p, s.y, new);
		p.g.synchronize(p.gpu);
		CHECK(!memcmp(got, old, sizeof got));
		CHECK(all_are(new, N, 5));
	}
	sum_free(&s, &p);
	program_end(&p);
}

SCENARIO(what_is_asked_for_may_be_of_any_size)
{
	const size_t sizes[] = { 0, 1, 3, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE - 5, 3 * PIECE };
	uint8_t *bytes = malloc(3 * PIECE), *got = malloc(3 * PIECE + 1);
	struct abi_context *ctx;
	struct abi_buffer *b;
	struct abi_tensor *t;
	struct program p;

	(void)unused;
	CHECK(bytes && got);
	program_start(&p, server.socket);
	ctx = program_context(&p);
	t = p.g.new_tensor_4d(ctx, 0, (int64_t)(3 * PIECE / sizeof(float)), 1, 1, 1);
	b = place(&p, ctx);
	numbers_fill((float *)(void *)bytes, 3 * PIECE / sizeof(float), 1);
	p.g.tensor_set(t, bytes, 0, 3 * PIECE);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i], at = 3 * PIECE - n;
		uint8_t first[5] = { 0 };

		got[n] = 0x5a;
		p.g.tensor_get_async(p.gpu, t, first, 0, sizeof first);
		p.g.tensor_get_async(p.gpu, t, got, at, n);
		p.g.synchronize(p.gpu);
		CHECK(!memcmp(first, bytes, sizeof first) && !memcmp(got, bytes + at, n) && got[n] == 0x5a);
	}
	p.g.buffer_free(b);
	p.g.free(ctx);
	free(bytes);
	free(got);
	program_end(&p);
}

/* ggml's scheduler doesn't, but a program may. In order with the rest: the tensor's memory is what is read into before. */
SCENARIO(a_tensor_in_the_programs_own_memory_is_set_and_read_in_its_turn)
{
	static float got[N], zeros[N];
	struct abi_context *ctx;
	struct abi_buffer *b;
	struct abi_tensor *t;
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	ctx = program_context(&p);
	t = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	b = p.f.backend_alloc_ctx_tensors(ctx, p.cpu);
	CHECK(b);
	start(&s, &p);
	ask(&p, s.y, t->data);
	ask(&p, t, got);
	p.g.synchronize(p.gpu);
	CHECK(all_are(got, N, 11));
	ask(&p, s.y, t->data);
	p.f.backend_tensor_set_async(p.gpu, t, zeros, 0, BYTES);
	p.g.synchronize(p.gpu);
	CHECK(is(&p, t, 0));
	p.g.buffer_free(b);
	p.g.free(ctx);
	sum_free(&s, &p);
	program_end(&p);
}

SCENARIO(each_of_two_streams_has_what_it_asked_for)
{
	static float got[2][N];
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = p.g.dev_init(p.dev, NULL);
	CHECK(other);
	sum_make(&a, &p);
	sum_make(&b, &p);
	for (int i = 0; i < 4; i++) {
		tensor_fill(&p, a.x, (float)i);
		tensor_fill(&p, b.x, (float)i + 50);
		start(&a, &p);
		ask(&p, a.y, got[0]);
		CHECK(starts_on(&b, other));
		p.g.tensor_get_async(other, b.y, got[1], 0, BYTES);
		p.g.synchronize(i & 1 ? other : p.gpu);
		CHECK(all_are(got[i & 1], N, (float)i + (i & 1 ? 60 : 10)));
		p.g.synchronize(i & 1 ? p.gpu : other);
		CHECK(all_are(got[!(i & 1)], N, (float)i + (i & 1 ? 10 : 60)));
	}
	CHECK(starts_on(&b, other));
	p.g.tensor_get_async(other, b.y, got[0], 0, BYTES);
	p.g.backend_free(other); /* which waits as well */
	CHECK(all_are(got[0], N, 63));
	sum_free(&a, &p);
	sum_free(&b, &p);
	program_end(&p);
}

struct asker {
	struct program *p;
	float first; /* of what its sums begin with */
};

static void *ask_repeatedly(void *arg)
{
	const struct asker *a = arg;
	struct program *p = a->p;
	struct abi_backend *stream = p->g.dev_init(p->dev, NULL);
	float *got = malloc(BYTES);
	struct sum s;

	CHECK(stream && got);
	sum_make(&s, p);
	for (int i = 0; i < 50; i++) {
		float x = a->first + (float)i, y;

		p->g.tensor_set(s.x, &x, 0, sizeof x);
		CHECK(starts_on(&s, stream));
		p->g.tensor_get_async(stream, s.y, got, 0, BYTES);
		p->g.tensor_get_async(stream, s.y, &y, 0, sizeof y);
		p->g.synchronize(stream);
		CHECK(got[0] == x + 10 && y == x + 10 && all_are(got + 1, N - 1, 11));
		memset(got, 0x77, BYTES);
	}
	sum_free(&s, p);
	p->g.backend_free(stream);
	free(got);
	return NULL;
}

SCENARIO(threads_have_each_what_they_asked_for)
{
	enum { THREADS = 3 };
	struct asker askers[THREADS];
	pthread_t threads[THREADS];
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	for (int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ &p, (float)i * 1000 };
		CHECK(pthread_create(&threads[i], NULL, ask_repeatedly, &askers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	program_end(&p);
}

SCENARIO(a_buffer_that_is_read_may_be_freed_before_synchronize)
{
	static float got[N];
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	start(&s, &p);
	ask(&p, s.y, got);
	sum_free(&s, &p);
	p.g.synchronize(p.gpu);
	CHECK(all_are(got, N, 11));
	program_end(&p);
}

/* Of what is asked for of a graph that fails nothing arrives, and its own stream is told. */
SCENARIO(what_a_failed_graph_should_have_made_is_read_as_zeros)
{
	static float got[N];
	struct abi_backend *other;
	struct sum a, b;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	other = p.g.dev_init(p.dev, NULL);
	CHECK(other);
	sum_make(&a, &p);
	sum_make(&b, &p);
	CHECK(starts_on(&b, other));
	for (int round = 0; round < 3; round++) {
		tensor_fill(&p, a.x, 1);
		start(&a, &p);
		CHECK(is(&p, a.y, 11));
		tensor_fill(&p, a.x, REFUSED);
		start(&a, &p);
		ask(&p, a.y, got);
		if (round > 0)
			CHECK(starts_on(&b, other));
		p.g.synchronize(p.gpu);
		CHECK(all_are(got, N, 0));
		CHECK(starts_on(&b, other) && is(&p, b.y, 11));
		tensor_fill(&p, a.x, 2);
		CHECK(!starts_on(&a, p.gpu));
		CHECK(starts_on(&a, p.gpu) && is(&p, a.y, 12));
	}
	sum_free(&a, &p);
	sum_free(&b, &p);
	p.g.backend_free(other);
	program_end(&p);
}

SCENARIO(what_the_host_refuses_to_read_is_zeros_and_told_by_the_next_graph)
{
	static float got[N];
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	start(&s, &p);
	memset(got, 0x5a, sizeof got);
	p.gpu->iface.get_tensor_async(p.gpu, s.x, got, (size_t)1 << 30, BYTES);
	p.g.synchronize(p.gpu);
	CHECK(all_are(got, N, 0));
	CHECK(!starts_on(&s, p.gpu));
	CHECK(starts_on(&s, p.gpu) && is(&p, s.y, 11));
	sum_free(&s, &p);
	program_end(&p);
}

static void hold(pid_t pid)
{
	char path[64], *text = NULL;

	CHECK(pid > 0 && kill(pid, SIGSTOP) == 0);
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	do {
		free(text);
		text = file_text(path);
		CHECK(text);
	} while (!strstr(text, ") T "));
	free(text);
}

static void lose_host(bool behind_a_graph)
{
	static float got[N];
	struct server own;
	struct program p;
	struct sum s;
	pid_t worker;

	CHECK(server_start_on(&own, test_path("TEST_WRAP"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_lazy"));
	program_start(&p, own.socket);
	sum_make(&s, &p);
	start(&s, &p);
	CHECK(is(&p, s.y, 11));
	worker = server_worker(&own);
	hold(worker);
	start(&s, &p);
	ask(&p, s.y, got);
	if (behind_a_graph)
		start(&s, &p);
	CHECK(kill(worker, SIGKILL) == 0);
	CHECK(process_ends(worker, 5000));
	p.g.synchronize(p.gpu);
	CHECK(all_are(got, N, 0));
	memset(got, 0x77, sizeof got);
	CHECK(!starts_on(&s, p.gpu));
	p.g.synchronize(p.gpu);
	sum_free(&s, &p);
	program_end(&p);
	for (size_t i = 0; i < sizeof got; i++)
		CHECK(((const uint8_t *)got)[i] == 0x77);
	server_stop(&own);
}

SCENARIO(what_a_dead_host_was_asked_for_is_zeros_at_synchronize)
{
	(void)unused;
	lose_host(false);
}

SCENARIO(what_a_dead_host_was_asked_for_before_a_graph_is_zeros_at_synchronize)
{
	(void)unused;
	lose_host(true);
}

SCENARIO(a_fork_between_leaves_the_parent_what_it_asked_for)
{
	static float got[N];
	struct program p;
	struct sum s;
	pid_t pid;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	for (int i = 0; i < 3; i++) {
		tensor_fill(&p, s.x, (float)i);
		start(&s, &p);
		ask(&p, s.y, got);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			p.g.synchronize(p.gpu);
			CHECK(all_are(got, N, 0));
			ask(&p, s.y, got);
			p.g.synchronize(p.gpu);
			CHECK(all_are(got, N, 0));
			CHECK(!starts_on(&s, p.gpu));
			sum_free(&s, &p);
			p.g.backend_free(p.gpu);
			_exit(0);
		}
		p.g.synchronize(p.gpu);
		CHECK(all_are(got, N, (float)i + 10));
		CHECK(child_end(pid) == 0);
	}
	sum_free(&s, &p);
	program_end(&p);
}

static struct {
	struct program *p;
	struct sum *s;
	float got[N];
} within;

static void on_line(int32_t level, const char *text, void *unused)
{
	struct sum *s = within.s;

	(void)level, (void)text, (void)unused;
	within.s = NULL;
	if (s) {
		ask(within.p, s->y, within.got);
		within.p->g.synchronize(within.p->gpu);
	}
}

/* As a signal's handler would: the host refuses a reading, which is told within the call. */
SCENARIO(what_is_asked_for_within_another_call_is_zeros_and_told_by_the_next_graph)
{
	static float got[N];
	struct program p;
	struct sum s;
	float v[2];

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	start(&s, &p);
	ask(&p, s.y, got);
	within.p = &p;
	within.s = &s;
	p.g.log_set(on_line, NULL);
	s.buffers[0]->iface.get_tensor(s.buffers[0], s.x, v, (size_t)1 << 30, sizeof v);
	p.g.log_set(NULL, NULL);
	CHECK(!within.s && all_are(within.got, N, 0));
	memset(within.got, 0x77, sizeof within.got);
	p.g.synchronize(p.gpu);
	CHECK(all_are(got, N, 11));
	for (size_t i = 0; i < sizeof within.got; i++)
		CHECK(((const uint8_t *)within.got)[i] == 0x77);
	CHECK(!starts_on(&s, p.gpu));
	CHECK(starts_on(&s, p.gpu) && is(&p, s.y, 11));
	sum_free(&s, &p);
	program_end(&p);
}

/* As natively: a stream does one after the other. By itself, as one of many small ones, and of a part. */
SCENARIO(what_is_set_from_where_a_result_is_read_to_is_that_result)
{
	static float got[N];
	struct program p;
	struct sum s;

	(void)unused;
	program_start(&p, server.socket);
	sum_make(&s, &p);
	start(&s, &p);
	ask(&p, s.y, got);
	p.f.backend_tensor_set_async(p.gpu, s.x, got, 0, sizeof got);
	CHECK(is(&p, s.x, 11));
	start(&s, &p);
	ask(&p, s.y, got);
	p.f.backend_tensor_set_async(p.gpu, s.w, got + 1, 0, 4);
	p.g.tensor_get(s.w, got, 0, 2 * sizeof *got);
	CHECK(got[0] == 21 && got[1] == 10);
	sum_free(&s, &p);
	program_end(&p);
}

static int lazy_server_up(void **state)
{
	(void)state;
	return server_start_on(&server, test_path("TEST_WRAP"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_lazy") ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prompt_of_several_ubatches_without_outputs_is_as_natively),
		cmocka_unit_test(what_is_written_behind_a_graph_is_not_what_it_reads),
		cmocka_unit_test(a_copy_of_a_result_is_made_when_it_is_there),
		cmocka_unit_test(a_buffer_that_a_graph_reads_may_be_freed_behind_it),
		cmocka_unit_test(a_graph_that_is_new_while_another_runs_spoils_nothing_of_that_one),
		cmocka_unit_test(a_usage_that_changes_while_a_graph_runs_leaves_it_its_memory),
		cmocka_unit_test(questions_and_new_buffers_may_come_while_a_graph_runs),
		cmocka_unit_test(synchronize_waits_for_the_end),
		cmocka_unit_test(an_event_is_over_when_what_came_before_it_is),
		cmocka_unit_test(a_program_that_ends_meanwhile_leaves_nothing_unfinished),
		cmocka_unit_test(what_is_asked_for_is_there_at_synchronize_and_nothing_comes_later),
		cmocka_unit_test(many_are_asked_for_at_once),
		cmocka_unit_test(what_is_asked_for_may_be_of_any_size),
		cmocka_unit_test(a_tensor_in_the_programs_own_memory_is_set_and_read_in_its_turn),
		cmocka_unit_test(what_is_set_from_where_a_result_is_read_to_is_that_result),
		cmocka_unit_test(each_of_two_streams_has_what_it_asked_for),
		cmocka_unit_test(threads_have_each_what_they_asked_for),
		cmocka_unit_test(a_buffer_that_is_read_may_be_freed_before_synchronize),
		cmocka_unit_test(what_a_failed_graph_should_have_made_is_read_as_zeros),
		cmocka_unit_test(what_the_host_refuses_to_read_is_zeros_and_told_by_the_next_graph),
		cmocka_unit_test(what_a_dead_host_was_asked_for_is_zeros_at_synchronize),
		cmocka_unit_test(what_a_dead_host_was_asked_for_before_a_graph_is_zeros_at_synchronize),
		cmocka_unit_test(a_fork_between_leaves_the_parent_what_it_asked_for),
		cmocka_unit_test(what_is_asked_for_within_another_call_is_zeros_and_told_by_the_next_graph),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, lazy_server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, lazy_server_up, server_down);
}
