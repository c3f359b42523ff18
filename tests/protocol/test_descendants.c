/* SPDX-License-Identifier: MIT */
/*
 * What a worker has started ends with it: whoever ends first, the worker, its context or its door. The door here is a
 * process with the APIR component, as a VMM is.
 */
#include "tests/support/cm.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/protocol/harness.h"
#include "tests/support/breed.h"
#include "tests/support/child.h"
#include "tests/support/process.h"

#define WITHIN_MS 10000 /* a door that is gone leaves its worker 3 s to end by itself */

static struct breed breed;
static int outrunners = -1; /* the FIFO that they have open */

static int begin(void **state)
{
	(void)state;
	return breed_begin(&breed) ? 0 : -1;
}

static int forget(void **state)
{
	(void)state;
	breed_forget(&breed);
	return 0;
}

/* A context whose worker has been taken over, as far as starting processes goes. */
static void open_taken_over(struct host **h, struct guest *g, const char *reg)
{
	uint32_t major, minor;

	*h = host_open(NULL, HOST_BACKEND);
	CHECK(*h);
	CHECK(apir_configure((*h)->apir, 0, "ggml.library.path", test_path("TEST_FAKE")) == 0);
	CHECK(apir_configure((*h)->apir, 0, "ggml.library.reg", reg) == 0);
	CHECK(guest_open(g, *h, 1));
	CHECK(handshake(g, &major, &minor) == APIR_HANDSHAKE_MAGIC);
	CHECK(load_library(g) != APIR_LOAD_OK);
}

static void open_breeding(struct host **h, struct guest *g)
{
	open_taken_over(h, g, "fake_breeds");
	CHECK(breed_lives(&breed));
}

static void worker_killed(void *unused)
{
	struct guest g;
	struct host *h;

	(void)unused;
	open_breeding(&h, &g);
	kill(host_worker(h), SIGKILL);
	CHECK(host_loses(h, 1));
	CHECK(breed_ends(&breed, WITHIN_MS));
	guest_close(&g);
	host_close(h);
}

static void context_destroyed(void *unused)
{
	struct guest g;
	struct host *h;

	(void)unused;
	open_breeding(&h, &g);
	apir_context_destroy(h->apir, 1);
	CHECK(breed_ends(&breed, WITHIN_MS));
	host_close(h);
}

/* A worker that doesn't end by itself is killed, and its breed with it. */
static void stubborn_with_its_host(void *unused)
{
	struct guest g;
	struct host *h;

	(void)unused;
	open_breeding(&h, &g);
	kill(host_worker(h), SIGSTOP);
	host_close(h);
	CHECK(breed_ends(&breed, WITHIN_MS));
}

static void door_waits(void *unused)
{
	struct guest g;
	struct host *h;

	(void)unused;
	open_breeding(&h, &g);
	pause();
}

static void context_of_outrunners_destroyed(void *unused)
{
	struct guest g;
	struct host *h;

	(void)unused;
	open_taken_over(&h, &g, "fake_outruns");
	apir_context_destroy(h->apir, 1);
	host_close(h);
}

static int outrunners_begin(void **state)
{
	(void)state;
	if (!breed_begin(&breed) || unlink(breed.path) < 0 || mkfifo(breed.path, 0600) < 0)
		return -1;
	outrunners = open(breed.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return outrunners < 0 ? -1 : 0;
}

static int outrunners_forget(void **state)
{
	(void)state;
	close(outrunners);
	breed_forget(&breed); /* what is left sees it */
	return 0;
}

static void what_starts_others_without_pause_ends(void **state)
{
	struct pollfd p = { .fd = outrunners };

	(void)state;
	assert_int_equal(child_run(context_of_outrunners_destroyed, NULL), 0);
	assert_int_equal(poll(&p, 1, WITHIN_MS), 1); /* nobody has it open any more */
	assert_int_equal(p.revents, POLLHUP);
}

static void what_a_killed_worker_started_ends(void **state)
{
	(void)state;
	assert_int_equal(child_run(worker_killed, NULL), 0);
}

static void what_a_destroyed_context_started_ends(void **state)
{
	(void)state;
	assert_int_equal(child_run(context_destroyed, NULL), 0);
}

static void what_a_stubborn_worker_started_ends(void **state)
{
	(void)state;
	assert_int_equal(child_run(stubborn_with_its_host, NULL), 0);
}

static void what_a_worker_started_ends_with_a_killed_door(void **state)
{
	pid_t door;

	(void)state;
	door = child_start(door_waits, NULL);
	assert_true(breed_lives(&breed));
	kill(door, SIGKILL);
	assert_int_equal(child_end(door), 128 + SIGKILL);
	assert_true(breed_ends(&breed, WITHIN_MS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_killed_worker_started_ends),
		TEST(what_a_destroyed_context_started_ends),
		TEST(what_a_stubborn_worker_started_ends),
		TEST(what_a_worker_started_ends_with_a_killed_door),
		cmocka_unit_test_setup_teardown(
			what_starts_others_without_pause_ends, outrunners_begin, outrunners_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
