/* SPDX-License-Identifier: MIT */
/*
 * The words by which a guest knows that its host lives, without a guest: worker and door keep one going, whoever of them
 * is left tells of the other's end, and a worker that lies about where it is harms nobody.
 */
#include "tests/support/cm.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/transport/deadline.h"
#include "platform/clock.h"
#include "proto/apir_wire.h"
#include "proto/worker_wire.h"
#include "tests/support/child.h"
#include "tests/support/host.h"
#include "tests/support/process.h"

#define CTX      1u
#define BLOB     7u
#define SIZE     0x4000u
#define OFFSET   (SIZE - 64)
#define LONG_MS  10000 /* that something has to happen within */
#define BEATS_MS 2000  /* that nothing may happen for; ten beats */

static struct host *h;
static _Atomic uint32_t *words;

/* A context whose blob is mapped here as a guest maps it. */
static struct host *host_with_blob(void)
{
	struct host *made = host_open(NULL, HOST_BARE);
	uint64_t size;
	char *at;

	if (!made || apir_context_create(made->apir, CTX, "one") < 0 || apir_blob_create(made->apir, BLOB, SIZE) < 0 ||
		apir_blob_attach(made->apir, CTX, BLOB) < 0)
		return NULL;
	at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, apir_blob_fd(made->apir, BLOB, &size), 0);
	if (at == MAP_FAILED)
		return NULL;
	words = (_Atomic uint32_t *)(void *)(at + OFFSET);
	return made;
}

static int close_host(void **state)
{
	(void)state;
	host_close(h);
	munmap((char *)(uintptr_t)words - OFFSET, SIZE);
	h = NULL;
	return 0;
}

static bool greet(struct host *on, uint32_t offset)
{
	struct {
		int32_t type, flags;
		uint32_t reply, major, minor;
		struct apir_greeting g;
	} cmd = { APIR_HANDSHAKE, 0, BLOB, 0, 2, { APIR_GREETING_MAGIC, BLOB, offset } };

	return apir_submit(on->apir, CTX, 0, &cmd, sizeof cmd) == 0 && host_fence(on, CTX);
}

static int open_greeted(void **state)
{
	(void)state;
	h = host_with_blob();
	return h && greet(h, OFFSET) ? 0 : -1;
}

/* The door's loop meanwhile. */
static void dispatch_for(int ms)
{
	int64_t deadline = deadline_after(ms);

	while (deadline_left(deadline, ms))
		host_step(h, deadline_left(deadline, ms));
}

/* Whether the word becomes something else than `old` meanwhile. */
static bool changes(uint32_t old, int ms, bool dispatching)
{
	int64_t deadline = deadline_after(ms);

	while (words[0] == old && deadline_left(deadline, ms)) {
		if (dispatching)
			host_step(h, 20);
		else
			usleep(20000);
	}
	return words[0] != old;
}

static void the_word_changes_while_worker_and_door_live(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(changes(words[0], LONG_MS, true));
	assert_true(words[0] != APIR_HEARTBEAT_GONE);
}

static void it_stands_still_while_the_door_does_and_goes_on_after(void **state)
{
	uint32_t old;

	(void)state;
	assert_true(changes(words[0], LONG_MS, true));
	sleep(3); /* the worker notices */
	old = words[0];
	assert_false(changes(old, BEATS_MS, false));
	assert_true(changes(old, LONG_MS, true));
	assert_true(words[0] != APIR_HEARTBEAT_GONE);
}

static void it_stands_still_while_the_worker_does_and_goes_on_after(void **state)
{
	pid_t worker = host_worker(h);
	uint32_t old;

	(void)state;
	assert_true(changes(words[0], LONG_MS, true));
	kill(worker, SIGSTOP);
	usleep(100000);
	old = words[0];
	assert_false(changes(old, BEATS_MS, true));
	kill(worker, SIGCONT);
	assert_true(changes(old, LONG_MS, true));
	assert_true(words[0] != APIR_HEARTBEAT_GONE);
}

static void counting_leaves_gone_out(void **state)
{
	(void)state;
	words[0] = APIR_HEARTBEAT_GONE - 2;
	for (int i = 0; i < 4; i++) {
		assert_true(changes(words[0], LONG_MS, true));
		assert_true(words[0] != APIR_HEARTBEAT_GONE);
	}
}

static void a_killed_workers_word_says_gone(void **state)
{
	(void)state;
	kill(host_worker(h), SIGKILL);
	assert_true(host_loses(h, CTX));
	assert_int_equal(words[0], APIR_HEARTBEAT_GONE);
}

/* It lives on for a moment, and must not count over it. */
static void a_worker_that_is_given_up_cannot_take_it_back(void **state)
{
	pid_t worker = host_worker(h);
	uint8_t cmd[256] = { 0 };

	(void)state;
	kill(worker, SIGSTOP);
	while (apir_submit(h->apir, CTX, 0, cmd, sizeof cmd) == 0)
		;
	kill(worker, SIGCONT);
	assert_true(host_loses(h, CTX));
	assert_int_equal(words[0], APIR_HEARTBEAT_GONE);
	assert_false(changes(APIR_HEARTBEAT_GONE, BEATS_MS, true));
}

static void a_door_that_ends_says_gone(void **state)
{
	(void)state;
	apir_destroy(h->apir);
	assert_int_equal(words[0], APIR_HEARTBEAT_GONE);
	free(h);
	h = NULL;
}

/* A door that is killed can say nothing: its worker does. */
static void door_that_waits(void *pipe_end)
{
	struct host *own = host_with_blob();
	uint64_t size;
	int fd;

	CHECK(own && greet(own, OFFSET));
	fd = apir_blob_fd(own->apir, BLOB, &size);
	CHECK(write(*(int *)pipe_end, &fd, sizeof fd) == sizeof fd);
	for (;;)
		host_step(own, 1000);
}

static void a_killed_doors_worker_says_gone(void **state)
{
	_Atomic uint32_t *kept = words;
	int ends[2], theirs = -1, ours;
	int64_t from;
	char path[64], *at;
	pid_t door;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	door = child_start(door_that_waits, &ends[1]);
	assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)door, theirs);
	ours = fileno(fopen(path, "r+"));
	at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ours, 0);
	assert_true(at != MAP_FAILED);
	words = (_Atomic uint32_t *)(void *)(at + OFFSET);
	assert_true(changes(words[0], LONG_MS, false));
	from = clock_ms();
	kill(door, SIGKILL);
	while (words[0] != APIR_HEARTBEAT_GONE && clock_ms() < from + LONG_MS)
		usleep(1000);
	printf("a killed door is known after %lld ms\n", (long long)(clock_ms() - from));
	assert_int_equal(words[0], APIR_HEARTBEAT_GONE);
	assert_int_equal(child_end(door), 128 + SIGKILL);
	munmap(at, SIZE);
	words = kept;
}

static size_t blob_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	size_t n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps))
		n += strstr(line, "apir-blob") != NULL;
	fclose(maps);
	return n;
}

static void the_door_keeps_no_memory_that_was_given_back(void **state)
{
	(void)state;
	assert_int_equal(blob_mappings(), 2);
	assert_int_equal(apir_blob_unref(h->apir, BLOB), 0);
	assert_int_equal(blob_mappings(), 1);
	dispatch_for(500);
}

static void a_context_that_ends_leaves_no_mapping(void **state)
{
	(void)state;
	assert_int_equal(blob_mappings(), 2);
	apir_context_destroy(h->apir, CTX);
	assert_int_equal(blob_mappings(), 1);
	dispatch_for(500);
}

/* This program as a worker, started by apir in a worker's place: it says that heartbeats lie where none can. */
static int lying_worker(void)
{
	static const struct {
		uint32_t id;
		uint64_t offset;
	} lies[] = {
		{ 0, 0 }, { BLOB + 1, 0 }, /* not attached to it */
		{ BLOB + 2, 0 },           /* nobody's */
		{ BLOB, 4 }, { BLOB, 1 }, { BLOB, SIZE }, { BLOB, SIZE - 4 }, { BLOB, UINT64_MAX - 7 },
		{ BLOB, (uint64_t)1 << 63 }, { BLOB, OFFSET }, /* the truth */
		{ BLOB, 0 },                                   /* twice */
	};
	char wait[4096];

	/* until the blob was attached, and the test asks */
	for (int fences = 0; fences < 1;) {
		struct worker_msg m = { 0 };

		if (recv(WORKER_FD, wait, sizeof wait, 0) <= 0)
			return 1;
		memcpy(&m, wait, sizeof m);
		if (m.type != WORKER_FENCE)
			continue;
		fences++;
		for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
			struct worker_msg beat = { .type = WORKER_BEAT, .id = lies[i].id, .value = lies[i].offset };

			send(WORKER_FD, &beat, sizeof beat, MSG_NOSIGNAL);
		}
		m.type = WORKER_FENCE_DONE;
		send(WORKER_FD, &m, sizeof m, MSG_NOSIGNAL);
	}
	while (recv(WORKER_FD, wait, sizeof wait, 0) > 0)
		;
	return 0;
}

static void a_worker_that_lies_about_the_place_is_not_believed(void **state)
{
	static char self[512];
	uint8_t *bytes;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	(void)state;
	assert_true(n > 0);
	setenv("TEST_WORKER", self, 1);
	h = host_with_blob();
	assert_non_null(h);
	assert_int_equal(apir_blob_create(h->apir, BLOB + 1, SIZE), 0);
	assert_true(host_fence(h, CTX));
	dispatch_for(600);
	bytes = (uint8_t *)(uintptr_t)words - OFFSET;
	for (size_t i = 0; i < SIZE; i++)
		assert_true(bytes[i] == 0 || (i >= OFFSET + 4 && i < OFFSET + 8));
	assert_true(words[1] > 1);
	assert_false(host_has_lost(h, CTX));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_greeted, close_host)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_word_changes_while_worker_and_door_live),
		TEST(it_stands_still_while_the_door_does_and_goes_on_after),
		TEST(it_stands_still_while_the_worker_does_and_goes_on_after),
		TEST(counting_leaves_gone_out),
		TEST(a_killed_workers_word_says_gone),
		TEST(a_worker_that_is_given_up_cannot_take_it_back),
		TEST(a_door_that_ends_says_gone),
		TEST(a_killed_doors_worker_says_gone),
		TEST(the_door_keeps_no_memory_that_was_given_back),
		TEST(a_context_that_ends_leaves_no_mapping),
		cmocka_unit_test_teardown(a_worker_that_lies_about_the_place_is_not_believed, close_host),
	};

	if (argc > 1 && !strcmp(argv[0], "ggml-virtgpu-worker"))
		return lying_worker();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
