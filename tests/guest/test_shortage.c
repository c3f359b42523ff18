/* SPDX-License-Identifier: MIT */
/*
 * Shared memory that is not to be had in the middle of a program's work: one line says what it was wanted for, whose limit it
 * is and what to do, and what doesn't need it goes on.
 */
#include "tests/guest/scenario.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/util.h"

#define BYTES ((size_t)12 << 20) /* in more pieces than there is memory for yet */

struct large {
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *t;
};

static void large_make(struct large *l, const struct program *p)
{
	l->ctx = program_context(p);
	l->t = p->g.new_tensor_4d(l->ctx, 0, (int64_t)BYTES / 4, 1, 1, 1);
	l->buffer = p->f.backend_alloc_ctx_tensors(l->ctx, p->gpu);
	CHECK(l->buffer);
}

/* Nothing is lost, it only takes longer; nor is what is small. */
static void large_travels(const struct large *l, const struct program *p)
{
	static uint8_t bytes[BYTES], got[BYTES];
	const size_t some[] = { 4, 8, 4096, 4160 };

	for (uint32_t round = 1; round < 4; round++) {
		for (size_t i = 0; i < BYTES; i += 4096)
			memset(bytes + i, (int)(i / 4096 + round), 4096);
		p->g.tensor_set(l->t, bytes, 0, sizeof bytes);
		for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
			bytes[some[i]] ^= 0xff;
			p->g.tensor_set(l->t, bytes + some[i], some[i], 1 + i);
		}
		memset(got, 0x5a, sizeof got);
		p->g.tensor_get(l->t, got, 0, sizeof got);
		CHECK(!memcmp(got, bytes, sizeof got));
	}
}

static void large_free(const struct large *l, const struct program *p)
{
	p->g.buffer_free(l->buffer);
	p->g.free(l->ctx);
}

/* A program that computes, then sets and reads a large tensor while `shorten` holds, and computes on. */
static void program_short(bool (*shorten)(void))
{
	struct net gpu, cpu;
	struct program p;
	struct large l;

	program_start(&p, server.socket);
	net_make(&gpu, &p, p.gpu, 64, 2, 1);
	net_make(&cpu, &p, p.cpu, 64, 2, 1);
	large_make(&l, &p);
	net_input(&gpu, &p, 2);
	net_input(&cpu, &p, 2);
	nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	CHECK(shorten());
	large_travels(&l, &p);
	for (int i = 0; i < 3; i++)
		nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	large_free(&l, &p);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

static bool own_descriptors_end(void)
{
	int next = dup(STDERR_FILENO);
	struct rlimit r;

	close(next);
	if (next < 0 || getrlimit(RLIMIT_NOFILE, &r) < 0)
		return false;
	r.rlim_cur = (rlim_t)next;
	return setrlimit(RLIMIT_NOFILE, &r) == 0;
}

static bool hosts_files_end(void)
{
	const struct rlimit r = { (rlim_t)1 << 20, (rlim_t)1 << 20 };
	pid_t door = server_door(&server);

	return door > 0 && prlimit(door, RLIMIT_FSIZE, &r, NULL) == 0;
}

/* Whole again at the end: sanitizers need descriptors for what they have to say. */
static void run_without_descriptors(void *unused)
{
	struct rlimit before;

	(void)unused;
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	program_short(own_descriptors_end);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void run_without_descriptors_from_the_start(void *unused)
{
	struct rlimit before;
	struct program p;
	struct large l;

	(void)unused;
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	program_start(&p, server.socket);
	large_make(&l, &p);
	CHECK(own_descriptors_end());
	large_travels(&l, &p);
	large_free(&l, &p);
	program_end(&p);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void run_with_a_limited_host(void *unused)
{
	(void)unused;
	program_short(hosts_files_end);
}

static void says_one_line(void (*run)(void *), const char *wanted)
{
	char *heard, *line;

	assert_int_equal(child_run_heard(run, NULL, &heard), 0);
	line = strstr(heard, "shared memory");
	if (!line || !strstr(heard, wanted) || strstr(line + 1, "shared memory"))
		fail_msg("wanted one line with '%s', heard: %s", wanted, heard);
	free(heard);
}

static void a_program_without_descriptors_is_told_so(void **state)
{
	(void)state;
	says_one_line(run_without_descriptors,
		": no shared memory here (4194304 bytes for tensors' bytes): Too many open files: raise this program's "
		"limit of descriptors (ulimit -n)\n");
}

static void a_host_that_gives_none_is_said_to_know_why(void **state)
{
	(void)state;
	says_one_line(run_with_a_limited_host,
		": the host gives no shared memory (4194304 bytes for tensors' bytes): its log says why: a limit of "
		"memory, files or descriptors, a filter of system calls, or this connection's share\n");
}

static void what_is_written_arrives_where_no_answer_can_be_posted_either(void **state)
{
	(void)state;
	unsetenv("GGML_VIRTGPU_PROTOCOL");
	assert_int_equal(child_run(run_without_descriptors_from_the_start, NULL), 0);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	assert_int_equal(child_run(run_without_descriptors_from_the_start, NULL), 0);
	unsetenv("GGML_VIRTGPU_PROTOCOL");
}

static void run_that_frees_in_vain(void *unused)
{
	struct abi_buffer *first, *second;
	struct program p;
	bool *unsent;
	size_t base;

	(void)unused;
	program_start(&p, server.socket);
	unsent = dlsym(dlopen(getenv("TEST_PLUGIN"), RTLD_NOW | RTLD_NOLOAD), "plugin_unsent");
	CHECK(unsent);
	base = process_memory(server_worker(&server));
	first = host_buffer(&p);
	second = host_buffer(&p);
	CHECK(host_holds(&p, base, 2));
	*unsent = true;
	p.g.buffer_free(first);
	*unsent = false;
	CHECK(host_holds(&p, base, 2));
	p.g.buffer_free(second);
	CHECK(host_holds(&p, base, 0));
	first = host_buffer(&p);
	*unsent = true;
	p.g.buffer_free(first);
	*unsent = false;
	second = host_buffer(&p);
	CHECK(host_holds(&p, base, 1));
	p.g.buffer_free(second);
	program_end(&p);
}

/* By the door: a ring needs no memory. */
static void a_buffer_whose_end_cannot_be_sent_ends_on_the_host_with_the_next_call_about_buffers(void **state)
{
	char plugin[512], *heard;

	(void)state;
	snprintf(plugin, sizeof plugin, "%s", test_path("TEST_PLUGIN"));
	setenv("TEST_PLUGIN", test_path("TEST_PLUGIN_UNSENT"), 1);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	assert_int_equal(child_run_heard(run_that_frees_in_vain, NULL, &heard), 0);
	assert_non_null(strstr(heard, ": free_buffer: not sent: this system has no memory for it"));
	free(heard);
	setenv("TEST_PLUGIN", plugin, 1);
	unsetenv("GGML_VIRTGPU_PROTOCOL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_whose_end_cannot_be_sent_ends_on_the_host_with_the_next_call_about_buffers),
		cmocka_unit_test(a_program_without_descriptors_is_told_so),
		cmocka_unit_test(a_host_that_gives_none_is_said_to_know_why),
		cmocka_unit_test(what_is_written_arrives_where_no_answer_can_be_posted_either),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
