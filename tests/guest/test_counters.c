/* SPDX-License-Identifier: MIT */
/* What a token takes, by the plugin's counters, and that the host's worker has counted the same. With every protocol. */
#include "tests/guest/scenario.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/counters.h"
#include "tests/support/ggml.h"

#define TOKENS 100
#define WARM   5
#define WIDTH  16

/* The child's, at its end; its parent has them, too. */
static struct ggml_backend_virtgpu_counters *last;

static ggml_backend_virtgpu_counters_t counters_function(const struct program *p)
{
	void *f = p->g.reg_get_proc_address(p->reg, GGML_BACKEND_VIRTGPU_COUNTERS);
	ggml_backend_virtgpu_counters_t read;

	CHECK(f);
	memcpy(&read, &f, sizeof read);
	return read;
}

static struct ggml_backend_virtgpu_counters counters(const struct program *p)
{
	struct ggml_backend_virtgpu_counters c = { .size = sizeof c };

	CHECK(counters_function(p)((struct ggml_backend_device *)(void *)p->dev, &c) && c.size == sizeof c);
	return c;
}

static bool plain(void)
{
	return getenv("GGML_VIRTGPU_PROTOCOL") != NULL;
}

/* Its inputs come one after another, as llama.cpp's do. */
static void inputs_set(const struct program *p, const struct net *n, float v)
{
	const float row[WIDTH] = { v };

	for (size_t i = 0; i < 4; i++)
		p->g.tensor_set(n->input, row, i * sizeof row, sizeof row);
}

static void token(const struct program *p, const struct net *n, bool async)
{
	float got[WIDTH * 4];

	inputs_set(p, n, 1);
	CHECK(p->g.graph_compute_async(p->gpu, n->graph) == ABI_STATUS_SUCCESS);
	if (async) {
		p->g.tensor_get_async(p->gpu, n->output, got, 0, sizeof got);
		p->g.synchronize(p->gpu);
	} else {
		p->g.tensor_get(n->output, got, 0, sizeof got);
	}
}

/* Of one token. A command goes through the door only to wake the worker, or behind a new blob: a slot's, that is used first. */
static void token_took(const struct ggml_backend_virtgpu_counters *a, const struct ggml_backend_virtgpu_counters *b)
{
	const uint64_t door = b->by_door - a->by_door, ring = b->by_ring - a->by_ring;
	const uint64_t bells = b->doorbells - a->doorbells;

	CHECK(b->command_bytes - a->command_bytes < 1024);
	CHECK(b->graphs - a->graphs == 1 && b->graphs_again - a->graphs_again == !plain());
	CHECK(b->graphs_written == a->graphs_written && b->nodes_written == a->nodes_written &&
		b->graph_bytes == a->graph_bytes);
	CHECK(b->set_bytes - a->set_bytes == WIDTH * 4 * sizeof(float));
	CHECK(b->get_bytes - a->get_bytes == WIDTH * 4 * sizeof(float));
	CHECK(door + ring - bells == 3);
	CHECK(plain() ? b->by_ring == 0 && b->doorbells == 0 : door - bells <= b->blobs - a->blobs);
	CHECK(b->parked - a->parked <= b->waits - a->waits);
	CHECK(b->parked > a->parked || b->parked_ns == a->parked_ns);
}

static void tokens_run(bool async, uint64_t least_waits, uint64_t most_waits)
{
	struct ggml_backend_virtgpu_counters before, after;
	struct program p;
	struct net n;

	program_start(&p, server.socket);
	net_make(&n, &p, p.gpu, WIDTH, 4, 1);
	for (int i = 0; i < WARM; i++)
		token(&p, &n, async);
	before = counters(&p);
	CHECK(before.graphs == WARM && before.graphs_written == 1 && before.nodes_written > 4 &&
		before.graph_bytes > 0);
	for (int i = 0; i < TOKENS; i++) {
		token(&p, &n, async);
		after = counters(&p);
		token_took(&before, &after);
		CHECK(after.waits - before.waits >= least_waits && after.waits - before.waits <= most_waits);
		before = after;
	}
	net_free(&n, &p);
	program_end(&p);
	p.g.dev_memory(p.dev, &(size_t){ 0 }, &(size_t){ 0 }); /* all that was sent is done */
	*last = counters(&p);
}

SCENARIO(a_token_takes_less_than_a_kib_of_commands_and_one_wait)
{
	(void)unused;
	tokens_run(false, 1, 1);
}

/* What is there when it is synchronized needn't be waited for. A host that answers a graph when it is over has each command's
 * answer waited for. */
SCENARIO(a_token_that_is_read_asynchronously_takes_one_wait_at_most)
{
	(void)unused;
	tokens_run(true, 0, plain() ? 3 : 1);
}

/* Behind each of the two above. Only a worker that sleeps gets a doorbell, and once. */
static void the_worker_has_counted_the_same(void **state)
{
	const char *end = "; parked ", *line;
	char text[128];
	uint64_t parked;

	(void)state;
	snprintf(text, sizeof text,
		": debug: %" PRIu64 " commands by the door, %" PRIu64 " of them doorbells, and %" PRIu64
		" by the ring%s",
		last->by_door, last->doorbells, last->by_ring, end);
	assert_true(server_said(&server, text));
	line = strstr(server.said, text);
	assert_int_equal(sscanf(line + strlen(text), "%" SCNu64 " times, for ", &parked), 1);
	assert_true(last->doorbells <= parked);
}

/* Each of them is counted, and their bytes. */
SCENARIO(graphs_that_are_new_are_written)
{
	struct ggml_backend_virtgpu_counters before, after;
	struct program p;
	struct net n[3];

	(void)unused;
	program_start(&p, server.socket);
	for (int i = 0; i < 3; i++) {
		net_make(&n[i], &p, p.gpu, WIDTH, 1 + i, 1);
		before = counters(&p);
		for (int times = 0; times < 3; times++)
			token(&p, &n[i], false);
		after = counters(&p);
		CHECK(after.graphs - before.graphs == 3 && after.graphs_written - before.graphs_written == 1);
		CHECK(after.graphs_again - before.graphs_again == (plain() ? 0 : 2));
		/* four a layer, and a softmax; a node is an id and a tensor at least */
		CHECK(after.nodes_written - before.nodes_written == 4 * (1 + (uint64_t)i) + 1);
		CHECK(after.graph_bytes - before.graph_bytes > (after.nodes_written - before.nodes_written) * 100);
	}
	for (int i = 0; i < 3; i++)
		net_free(&n[i], &p);
	program_end(&p);
}

SCENARIO(an_older_programs_struct_is_filled_as_far_as_it_goes_and_a_newer_ones_is_told_how_far)
{
	struct {
		struct ggml_backend_virtgpu_counters c;
		uint64_t more;
	} c = { .c.size = offsetof(struct ggml_backend_virtgpu_counters, command_bytes), .more = 7 };
	ggml_backend_virtgpu_counters_t read;
	struct ggml_backend_device *dev;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	read = counters_function(&p);
	dev = (struct ggml_backend_device *)(void *)p.dev;
	CHECK(read(dev, &c.c) && c.c.size == offsetof(struct ggml_backend_virtgpu_counters, command_bytes));
	CHECK(c.c.by_door > 0 && c.c.command_bytes == 0);
	c.c.size = sizeof c;
	CHECK(read(dev, &c.c) && c.c.size == sizeof c.c && c.c.command_bytes > 0 && c.more == 7);
	c.c.size = sizeof c.c.size - 1;
	CHECK(!read(dev, &c.c));
	CHECK(!p.g.reg_get_proc_address(p.reg, "ggml_backend_virtgpu_counter"));
	program_end(&p);
}

static int server_debugged(void **state)
{
	(void)state;
	return server_start(&server, "VIRGL_APIR_LOG_TO_FILE=/dev/stderr") ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_takes_less_than_a_kib_of_commands_and_one_wait),
		cmocka_unit_test(the_worker_has_counted_the_same),
		cmocka_unit_test(a_token_that_is_read_asynchronously_takes_one_wait_at_most),
		cmocka_unit_test(the_worker_has_counted_the_same),
		cmocka_unit_test(graphs_that_are_new_are_written),
		cmocka_unit_test(an_older_programs_struct_is_filled_as_far_as_it_goes_and_a_newer_ones_is_told_how_far),
	};
	int failed;

	last = mmap(NULL, sizeof *last, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (last == MAP_FAILED)
		return 1;
	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_debugged, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_debugged, server_down);
}
