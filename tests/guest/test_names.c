/* SPDX-License-Identifier: MIT */
/*
 * Guest and host whose ggml's number operations and types differently: what a program asks for by name is what is
 * computed, and what the other end lacks isn't supported. With the newest protocol the host's names are asked for, with
 * plain APIR 0.2 each end knows what its numbers mean.
 */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/ggml.h"
#include "tests/support/other_ggml.h"
#include "tests/support/process.h"

#define ENV "GGML_VIRTGPU_PROTOCOL"
#define N   64

static const char *const protocols[] = { NULL, "0.2" };

static const struct other_name exchanged[] = { { "SUB", "MUL" }, { "MUL", "SUB" }, { "ABS", "NEG" }, { "NEG", "ABS" },
	{ "REGLU", "GEGLU" }, { "GEGLU", "REGLU" } };

typedef struct abi_tensor *unary_fn(struct abi_context *, struct abi_tensor *);
typedef struct abi_tensor *binary_fn(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
typedef struct abi_tensor *cast_fn(struct abi_context *, struct abi_tensor *, int32_t);

#define FUNCTION(type, variable, name)                                                                                 \
	type *variable;                                                                                                \
	do {                                                                                                           \
		void *found = ggml_symbol(name);                                                                       \
		memcpy(&variable, &found, sizeof found);                                                               \
	} while (0)

/* Computes what ends in `out` of `from` (and `other`), and reads it. */
static int32_t compute(struct program *p, struct abi_context *ctx, struct abi_tensor *out, float *result)
{
	struct abi_graph *graph = p->f.new_graph(ctx);
	int32_t status;

	p->f.build_forward_expand(graph, out);
	status = p->g.graph_compute(p->gpu, graph);
	if (status == ABI_STATUS_SUCCESS)
		p->g.tensor_get(out, result, 0, N * sizeof *result);
	return status;
}

/* A program that calls the functions whose numbers belong to other names: with `by_name` those count. */
static void program_calls(const char *socket, bool by_name)
{
	float a[N], b[N], pair[2 * N], got[N];
	struct abi_tensor *ta, *tb, *tp, *mul, *sub, *neg, *abs, *geglu;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct program p;

	program_start(&p, socket);
	FUNCTION(binary_fn, mul_fn, "ggml_mul");
	FUNCTION(binary_fn, sub_fn, "ggml_sub");
	FUNCTION(unary_fn, neg_fn, "ggml_neg");
	FUNCTION(unary_fn, abs_fn, "ggml_abs");
	FUNCTION(unary_fn, geglu_fn, "ggml_geglu");
	ctx = program_context(&p);
	ta = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	tb = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	tp = p.g.new_tensor_4d(ctx, 0, (int64_t)2 * N, 1, 1, 1);
	mul = mul_fn(ctx, ta, tb);
	sub = sub_fn(ctx, ta, tb);
	neg = neg_fn(ctx, ta);
	abs = abs_fn(ctx, ta);
	geglu = geglu_fn(ctx, tp);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	numbers_fill(a, N, 1);
	numbers_fill(b, N, 2);
	numbers_fill(pair, 2 * N, 3);
	p.g.tensor_set(ta, a, 0, sizeof a);
	p.g.tensor_set(tb, b, 0, sizeof b);
	p.g.tensor_set(tp, pair, 0, sizeof pair);
	CHECK(p.g.dev_supports_op(p.dev, mul) && p.g.dev_supports_op(p.dev, neg) && p.g.dev_supports_op(p.dev, geglu));
	CHECK(compute(&p, ctx, mul, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < N; i++)
		CHECK(got[i] == (by_name ? a[i] - b[i] : a[i] * b[i]));
	CHECK(compute(&p, ctx, sub, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < N; i++)
		CHECK(got[i] == (by_name ? a[i] * b[i] : a[i] - b[i]));
	CHECK(compute(&p, ctx, neg, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < N; i++)
		CHECK(got[i] == (by_name && a[i] > 0 ? a[i] : -a[i]));
	CHECK(compute(&p, ctx, abs, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < N; i++)
		CHECK(got[i] == (by_name || a[i] < 0 ? -a[i] : a[i]));
	CHECK(compute(&p, ctx, geglu, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; by_name && i < N; i++) /* REGLU, which is exact */
		CHECK(got[i] == (pair[i] > 0 ? pair[i] : 0) * pair[N + i]);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

static void calls_by_name(void *socket)
{
	program_calls(socket, true);
}

static void calls_alike(void *socket)
{
	program_calls(socket, false);
}

/* The child with its ggml in `dir`, with each protocol; NULL: the real one. */
static void with_protocols(void (*fn)(void *), const char *socket, const char *dir)
{
	char real[512];

	snprintf(real, sizeof real, "%s", test_path("TEST_GGML"));
	if (dir)
		setenv("TEST_GGML", dir, 1);
	for (size_t i = 0; i < 2; i++) {
		if (protocols[i])
			setenv(ENV, protocols[i], 1);
		assert_int_equal(child_run(fn, (void *)(uintptr_t)socket), 0);
	}
	unsetenv(ENV);
	setenv("TEST_GGML", real, 1);
}

static bool server_with(struct server *s, const char *dir)
{
	char real[512];
	bool up;

	snprintf(real, sizeof real, "%s", test_path("TEST_GGML"));
	setenv("TEST_GGML", dir, 1);
	up = server_start(s, NULL);
	setenv("TEST_GGML", real, 1);
	return up;
}

static void a_guest_with_other_numbers_gets_what_it_names(void **state)
{
	struct other_ggml other;

	(void)state;
	assert_true(other_ggml_make(&other, exchanged, 6));
	with_protocols(calls_by_name, server.socket, other.dir);
	other_ggml_remove(&other);
}

static void a_host_with_other_numbers_computes_what_is_named(void **state)
{
	struct other_ggml other;
	struct server host;

	(void)state;
	assert_true(other_ggml_make(&other, exchanged, 6));
	assert_true(server_with(&host, other.dir));
	with_protocols(calls_by_name, host.socket, NULL);
	with_protocols(calls_alike, host.socket, other.dir);
	server_stop(&host);
	other_ggml_remove(&other);
}

/* SQR is another's by name; a graph with it is refused with a line, and nothing else is. */
static void calls_the_unknown(void *socket)
{
	struct abi_tensor *a, *sqr, *sum;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	float in[N], got[N];
	struct program p;

	program_start(&p, socket);
	ctx = program_context(&p);
	a = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	sqr = p.f.sqr(ctx, a);
	sum = p.f.add(ctx, a, a);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	numbers_fill(in, N, 1);
	p.g.tensor_set(a, in, 0, sizeof in);
	CHECK(!p.g.dev_supports_op(p.dev, sqr) && p.g.dev_supports_op(p.dev, sum));
	CHECK(compute(&p, ctx, sqr, got) == ABI_STATUS_FAILED);
	CHECK(compute(&p, ctx, sum, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < N; i++)
		CHECK(got[i] == in[i] + in[i]);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

static void refused_by_name(const char *socket, const char *dir, const char *line)
{
	char real[512], *heard;

	snprintf(real, sizeof real, "%s", test_path("TEST_GGML"));
	if (dir)
		setenv("TEST_GGML", dir, 1);
	assert_int_equal(child_run_heard(calls_the_unknown, (void *)(uintptr_t)socket, &heard), 0);
	setenv("TEST_GGML", real, 1);
	if (!strstr(heard, line))
		fail_msg("wanted a line with '%s', heard: %s", line, heard);
	free(heard);
}

static void what_the_host_lacks_is_unsupported_and_refused_by_name(void **state)
{
	static const struct other_name renamed[] = { { "SQR", "XQR" } };
	struct other_ggml other;
	struct server host;

	(void)state;
	assert_true(other_ggml_make(&other, renamed, 1));
	assert_true(server_with(&host, other.dir));
	refused_by_name(host.socket, NULL,
		"node 0 (SQR of 'node_0'): tensor 'node_0' is the result of an operation that the host's ggml doesn't have");
	refused_by_name(server.socket, other.dir, "node 0 (XQR of 'node_0'): tensor 'node_0' is the result of an operation that");
	/* A plain host can't say what it lacks, but refuses it. */
	setenv(ENV, "0.2", 1);
	refused_by_name(server.socket, other.dir, "node 0 (XQR of 'node_0'): tensor 'node_0' is the result of an operation that");
	refused_by_name(host.socket, NULL, "graph_compute failed on the host: it was refused");
	unsetenv(ENV);
	server_stop(&host);
	other_ggml_remove(&other);
}

/* Number 30 is f16's there, and number 1 nothing's. 1.0 is 0x3c00 in f16, 0.0078125 in bf16. */
static void casts_from_30(void *socket)
{
	struct abi_tensor *half, *none, *out, *not ;
	uint16_t in[N];
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct program p;
	float got[N];

	program_start(&p, socket);
	FUNCTION(cast_fn, cast, "ggml_cast");
	ctx = program_context(&p);
	half = p.g.new_tensor_4d(ctx, 30, N, 1, 1, 1);
	none = p.g.new_tensor_4d(ctx, 1, N, 1, 1, 1);
	out = cast(ctx, half, 0);
	not = cast(ctx, none, 0);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	for (int i = 0; i < N; i++)
		in[i] = 0x3c00;
	p.g.tensor_set(half, in, 0, sizeof in);
	CHECK(p.g.dev_supports_op(p.dev, out) && !p.g.dev_supports_op(p.dev, not ));
	CHECK(compute(&p, ctx, out, got) == ABI_STATUS_SUCCESS);
	for (int i = 0; i < N; i++)
		CHECK(got[i] == 1.0f);
	CHECK(compute(&p, ctx, not, got) == ABI_STATUS_FAILED);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
}

static void casts_q4(void *socket)
{
	struct abi_context *ctx;
	struct abi_tensor *w, *x;
	struct program p;

	program_start(&p, socket);
	ctx = program_context(&p);
	w = p.g.new_tensor_4d(ctx, ggml_type("q4_0"), N, N, 1, 1);
	x = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	CHECK(!p.g.dev_supports_op(p.dev, p.f.mul_mat(ctx, w, x)));
	w = p.g.new_tensor_4d(ctx, ggml_type("q8_0"), N, N, 1, 1);
	CHECK(p.g.dev_supports_op(p.dev, p.f.mul_mat(ctx, w, x)));
	p.g.free(ctx);
	program_end(&p);
}

static void types_go_by_name_and_size(void **state)
{
	static const struct other_name half[] = { { "bf16", "f16" } };
	static const struct other_name sizes[] = { { "q4_0", "q4_1" }, { "q4_1", "q4_0" } };
	struct other_ggml other;

	(void)state;
	assert_true(other_ggml_make(&other, half, 1));
	with_protocols(casts_from_30, server.socket, other.dir);
	other_ggml_remove(&other);
	assert_true(other_ggml_make(&other, sizes, 2));
	with_protocols(casts_q4, server.socket, other.dir);
	other_ggml_remove(&other);
}

static void load(void *socket)
{
	struct program p;

	program_start(&p, socket);
	program_end(&p);
}

static void the_start_line_names_both_versions_where_they_differ(void **state)
{
	static const struct other_name newer[] = { { "0.25.1", "0.25.9" } };
	struct other_ggml other;
	struct server host;
	char *heard;

	(void)state;
	assert_true(other_ggml_make(&other, newer, 1));
	assert_true(server_with(&host, other.dir));
	assert_int_equal(child_run_heard(load, host.socket, &heard), 0);
	assert_non_null(strstr(heard, ", ggml 0.25.1 here and 0.25.9 on the host)"));
	free(heard);
	assert_int_equal(child_run_heard(load, server.socket, &heard), 0);
	assert_null(strstr(heard, " on the host)"));
	free(heard);
	server_stop(&host);
	other_ggml_remove(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_with_other_numbers_gets_what_it_names),
		cmocka_unit_test(a_host_with_other_numbers_computes_what_is_named),
		cmocka_unit_test(what_the_host_lacks_is_unsupported_and_refused_by_name),
		cmocka_unit_test(types_go_by_name_and_size),
		cmocka_unit_test(the_start_line_names_both_versions_where_they_differ),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
