/* SPDX-License-Identifier: MIT */
/*
 * Gone and silent are two things: a host of which a process stands still is waited for, and goes on as if nothing had
 * been; one that died is known at once, whatever the program's patience.
 */
#include "tests/guest/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "platform/clock.h"
#include "tests/support/capture.h"
#include "tests/support/minimal.h"
#include "tests/support/process.h"

#define PATIENCE     "GGML_VIRTGPU_PATIENCE"
#define STANDS_S     8
#define BUSY_MS      6500 /* more than a server may take to greet */
#define AT_MOST_MS   5000 /* that a loaded machine adds to a limit */
#define KILLED_BY_MS 5000

enum { WORKER = 1, DOOR = 2, BOTH = 3 };

/* A server and a program that uses it, in a process of its own. */
struct scene {
	int who; /* of the host's processes something befalls */
	int signal;
	const char *patience;
	unsigned for_s; /* 0: for good */
	struct server server;
	atomic_bool over; /* what befell them did, and is over */
	int64_t befell_at;
	atomic_bool struck;
};

static void scene_signal(const struct scene *s, int signal)
{
	pid_t door = server_door(&s->server), worker = server_worker(&s->server);

	CHECK(door > 0 && worker > 0);
	if (s->who & WORKER)
		kill(worker, signal);
	if (s->who & DOOR)
		kill(door, signal);
}

static void *befall(void *arg)
{
	struct scene *s = arg;

	usleep(300000);
	s->befell_at = clock_ms();
	scene_signal(s, s->signal);
	s->struck = true;
	if (s->for_s) {
		sleep(s->for_s);
		scene_signal(s, SIGCONT);
	}
	s->over = true;
	return NULL;
}

struct pair {
	struct program p;
	struct net gpu, cpu;
	struct abi_tensor *large; /* sent and read in several pieces */
	struct abi_buffer *buffer;
	uint8_t *bytes;
};

#define LARGE ((size_t)9 << 20)

static void pair_make(struct pair *w, const char *socket)
{
	program_start(&w->p, socket);
	net_make(&w->gpu, &w->p, w->p.gpu, 64, 2, 1);
	net_make(&w->cpu, &w->p, w->p.cpu, 64, 2, 1);
	w->large = w->p.g.new_tensor_4d(w->gpu.ctx, 0, LARGE / sizeof(float), 1, 1, 1);
	w->buffer = w->p.f.backend_alloc_ctx_tensors(w->gpu.ctx, w->p.gpu);
	w->bytes = malloc(LARGE);
	CHECK(w->buffer && w->bytes);
}

static void pair_free(struct pair *w)
{
	free(w->bytes);
	w->p.g.buffer_free(w->buffer);
	net_free(&w->gpu, &w->p);
	net_free(&w->cpu, &w->p);
	program_end(&w->p);
}

/* As a program generates: inputs, a graph, its result, and something large now and then. */
static void pair_agrees(struct pair *w, uint32_t round)
{
	net_input(&w->gpu, &w->p, round);
	net_input(&w->cpu, &w->p, round);
	nets_agree(&w->gpu, w->p.gpu, &w->cpu, w->p.cpu, &w->p);
	if (round % 16)
		return;
	memset(w->bytes, (int)(round / 16 % 256), LARGE);
	w->p.g.tensor_set(w->large, w->bytes, 0, LARGE);
	memset(w->bytes, 0xee, LARGE);
	w->p.g.tensor_get(w->large, w->bytes, 0, LARGE);
	for (size_t i = 0; i < LARGE; i += 4093)
		CHECK(w->bytes[i] == round / 16 % 256);
}

static void scene_start(struct scene *s, struct pair *w, pthread_t *t)
{
	CHECK(server_start(&s->server, NULL));
	if (s->patience)
		setenv(PATIENCE, s->patience, 1);
	pair_make(w, s->server.socket);
	CHECK(pthread_create(t, NULL, befall, s) == 0);
}

static void goes_on(void *arg)
{
	struct scene *s = arg;
	uint32_t round = 0;
	struct pair w;
	pthread_t t;

	scene_start(s, &w, &t);
	while (!s->over)
		pair_agrees(&w, ++round);
	for (int i = 0; i < 40; i++)
		pair_agrees(&w, ++round);
	CHECK(pthread_join(t, NULL) == 0);
	pair_free(&w);
	server_stop(&s->server);
}

/* At once, since most of it is waiting. */
static void a_host_that_stands_still_is_waited_for_and_goes_on(void **state)
{
	static struct scene scenes[] = {
		{ .who = WORKER, .signal = SIGSTOP, .for_s = STANDS_S },
		{ .who = DOOR, .signal = SIGSTOP, .for_s = STANDS_S },
		{ .who = BOTH, .signal = SIGSTOP, .for_s = STANDS_S },
	};
	pid_t pids[3];
	struct capture c;
	char *text, *at;
	int lines = 0;

	(void)state;
	capture_begin(&c);
	for (int i = 0; i < 3; i++)
		pids[i] = child_start(goes_on, &scenes[i]);
	for (int i = 0; i < 3; i++)
		pids[i] = child_end(pids[i]);
	text = capture_end(&c);
	for (at = text; (at = strstr(at, "the host has not answered for 3 s; waiting up to 60 s")); at++)
		lines++;
	if (pids[0] || pids[1] || pids[2] || lines != 3)
		fprintf(stderr, "%s", text);
	free(text);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pids[i], 0);
	assert_int_equal(lines, 3);
}

static void fails(struct scene *s, int64_t by_ms, const char *how)
{
	static struct pair w;
	struct abi_tensor *out;
	uint8_t got[256];
	pthread_t t;
	int64_t took;

	scene_start(s, &w, &t);
	out = w.gpu.output;
	for (;;) {
		net_input(&w.gpu, &w.p, 1);
		if (w.p.g.graph_compute(w.p.gpu, w.gpu.graph) != ABI_STATUS_SUCCESS)
			break;
		w.p.g.synchronize(w.p.gpu);
	}
	took = clock_ms() - s->befell_at;
	fprintf(stderr, "%s: an error after %lld ms\n", how, (long long)took);
	CHECK(took < by_ms);
	memset(got, 0xee, sizeof got);
	w.p.g.tensor_get(out, got, 0, sizeof got);
	for (size_t i = 0; i < sizeof got; i++)
		CHECK(got[i] == 0);
	CHECK(w.p.g.graph_compute(w.p.gpu, w.gpu.graph) == ABI_STATUS_FAILED);
	CHECK(pthread_join(t, NULL) == 0);
	if (s->signal == SIGSTOP)
		scene_signal(s, SIGCONT);
	pair_free(&w);
	server_stop(&s->server);
}

static void loses_patience(void *arg)
{
	struct scene *s = arg;

	fails(s, 4000 + AT_MOST_MS, "patience of 4 s");
}

static void silence_beyond_the_programs_patience_is_an_error(void **state)
{
	static struct scene scenes[] = {
		{ .who = WORKER, .signal = SIGSTOP, .patience = "4" },
		{ .who = DOOR, .signal = SIGSTOP, .patience = "4" },
		{ .who = BOTH, .signal = SIGSTOP, .patience = "4" },
	};
	pid_t pids[3];
	struct capture c;
	char *text;

	(void)state;
	capture_begin(&c);
	for (int i = 0; i < 3; i++)
		pids[i] = child_start(loses_patience, &scenes[i]);
	for (int i = 0; i < 3; i++)
		pids[i] = child_end(pids[i]);
	text = capture_end(&c);
	fprintf(stderr, "%s", text);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pids[i], 0);
	assert_non_null(strstr(text, "waiting up to 4 s (" PATIENCE ")"));
	assert_non_null(strstr(text, "the host is gone (it has not answered for 4 s)"));
	free(text);
}

static void is_killed(void *arg)
{
	struct scene *s = arg;

	fails(s, KILLED_BY_MS, "killed");
}

static void a_death_is_known_at_once_whatever_the_patience(void **state)
{
	(void)state;
	for (int who = WORKER; who <= BOTH; who++) {
		struct scene s = { .who = who, .signal = SIGKILL, .patience = "600" };

		assert_int_equal(child_run(is_killed, &s), 0);
	}
}

static void asks_a_door_that_stops(void *arg)
{
	struct scene *s = arg;
	struct pair w;
	pthread_t t;

	CHECK(server_start(&s->server, NULL));
	pair_make(&w, s->server.socket);
	pair_agrees(&w, 1);
	CHECK(pthread_create(&t, NULL, befall, s) == 0);
	while (!s->struck)
		usleep(1000);
	pair_agrees(&w, 16); /* which wants memory that wasn't there before */
	CHECK(pthread_join(t, NULL) == 0);
	pair_free(&w);
	server_stop(&s->server);
}

/* Not for an answer in shared memory, but for one of the door's own. */
static void a_door_that_stops_while_it_is_asked_is_waited_for_too(void **state)
{
	struct scene s = { .who = DOOR, .signal = SIGSTOP, .for_s = STANDS_S };
	char *text;

	(void)state;
	assert_int_equal(child_run_heard(asks_a_door_that_stops, &s, &text), 0);
	assert_non_null(strstr(text, "the host has not answered for 3 s; waiting up to 60 s"));
	free(text);
}

static void *goes_on_later(void *pid)
{
	usleep(BUSY_MS * 1000);
	kill(*(pid_t *)pid, SIGCONT);
	return NULL;
}

/* It computes in the process that also makes blobs, and has no word to keep going meanwhile. */
SCENARIO(a_host_that_is_not_ours_may_be_busy_when_it_is_asked)
{
	struct minimal host;
	struct pair w;
	pthread_t t;
	pid_t busy;

	(void)unused;
	CHECK(minimal_start(&host, NULL));
	pair_make(&w, host.socket);
	pair_agrees(&w, 1);
	busy = process_child(host.pid, "minimal");
	CHECK(busy > 0 && kill(busy, SIGSTOP) == 0);
	CHECK(pthread_create(&t, NULL, goes_on_later, &busy) == 0);
	pair_agrees(&w, 16); /* which wants memory that wasn't there before */
	CHECK(pthread_join(t, NULL) == 0);
	pair_free(&w);
	minimal_stop(&host);
}

static void *door_dies(void *arg)
{
	struct scene *s = arg;

	sleep(1);
	s->befell_at = clock_ms();
	kill(server_door(&s->server), SIGKILL);
	return NULL;
}

/* Nobody is left who could write it down; the program has been idle, and asks the silent host for something. */
SCENARIO(a_hang_up_ends_the_wait_for_a_silent_host)
{
	struct scene s = { 0 };
	pid_t worker;
	struct pair w;
	pthread_t t;

	(void)unused;
	setenv(PATIENCE, "600", 1);
	CHECK(server_start(&s.server, NULL));
	pair_make(&w, s.server.socket);
	pair_agrees(&w, 1);
	worker = server_worker(&s.server);
	CHECK(worker > 0 && kill(worker, SIGSTOP) == 0);
	sleep(2);
	CHECK(pthread_create(&t, NULL, door_dies, &s) == 0);
	net_input(&w.gpu, &w.p, 2);
	CHECK(w.p.g.graph_compute(w.p.gpu, w.gpu.graph) == ABI_STATUS_FAILED);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(clock_ms() - s.befell_at < KILLED_BY_MS);
	kill(worker, SIGKILL);
	pair_free(&w);
	server_stop(&s.server);
}

static void paused_program(void *pipe_end)
{
	struct pair w;
	char c = 'x';

	setenv(PATIENCE, "3", 1);
	pair_make(&w, server.socket);
	for (uint32_t i = 1; i < 40; i++)
		pair_agrees(&w, i);
	CHECK(write(*(int *)pipe_end, &c, 1) == 1);
	for (uint32_t i = 1; i < 400; i++)
		pair_agrees(&w, i);
	pair_free(&w);
}

/* Stopped at several moments, each for longer than its patience. */
SCENARIO(a_program_that_was_stopped_does_not_take_it_for_the_hosts_silence)
{
	int ends[2];
	pid_t pid;
	char c;

	(void)unused;
	CHECK(pipe(ends) == 0);
	pid = child_start(paused_program, &ends[1]);
	CHECK(read(ends[0], &c, 1) == 1);
	for (int i = 0; i < 2; i++) {
		kill(pid, SIGSTOP);
		usleep(4500000);
		kill(pid, SIGCONT);
		usleep(20000);
	}
	CHECK(child_end(pid) == 0);
}

static void has_no_device(void *unused)
{
	struct program p;

	(void)unused;
	program_load(&p, server.socket);
	CHECK(p.g.reg_dev_count(p.reg) == 0);
}

static void a_patience_that_is_no_number_of_seconds_is_no_device_and_one_line(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "1.5", "60s", " 60", "86401", "99999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char *text;

		setenv(PATIENCE, bad[i], 1);
		assert_int_equal(child_run_heard(has_no_device, NULL, &text), 0);
		unsetenv(PATIENCE);
		assert_non_null(strstr(text, PATIENCE " is '"));
		assert_non_null(strstr(text, "set it to a number of seconds from 1 to 86400"));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_patience_that_is_no_number_of_seconds_is_no_device_and_one_line),
		cmocka_unit_test(a_host_that_stands_still_is_waited_for_and_goes_on),
		cmocka_unit_test(silence_beyond_the_programs_patience_is_an_error),
		cmocka_unit_test(a_death_is_known_at_once_whatever_the_patience),
		cmocka_unit_test(a_door_that_stops_while_it_is_asked_is_waited_for_too),
		cmocka_unit_test(a_host_that_is_not_ours_may_be_busy_when_it_is_asked),
		cmocka_unit_test(a_hang_up_ends_the_wait_for_a_silent_host),
		cmocka_unit_test(a_program_that_was_stopped_does_not_take_it_for_the_hosts_silence),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
