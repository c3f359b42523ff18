/* SPDX-License-Identifier: MIT */
/*
 * Commands that come past the door, by a ring in a blob, from a raw guest: they are executed in the order in which they and
 * those by the door were given, and whatever else lies there harms nobody.
 */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ring.h"
#include "tests/protocol/fixture.h"
#include "tests/support/process.h"

static struct guest_blob memory;
static struct ring ring;
static pid_t worker;

/* Greets with that blob for a ring; whether the host reads it now. */
static bool offer(uint32_t res_id)
{
	const struct apir_greeting greeting = { APIR_GREETING_MAGIC, g.reply.res, APIR_REPLY_BLOB_SIZE - 64 };
	const struct apir_ring_offer ring_offer = { APIR_RING_MAGIC, res_id };
	uint32_t answer[4] = { 0 };

	args_start(&g);
	arg_u32(&g, APIR_PROTOCOL_MAJOR);
	arg_u32(&g, APIR_PROTOCOL_MINOR);
	arg_bytes(&g, &greeting, sizeof greeting);
	arg_bytes(&g, &ring_offer, sizeof ring_offer);
	memset(g.reply.ptr, 0, 64);
	assert_int_equal(command(&g, APIR_HANDSHAKE, 0), APIR_HANDSHAKE_MAGIC);
	memcpy(answer, g.answer.data, sizeof answer);
	return answer[2] == APIR_RING_MAGIC || (answer[2] == APIR_GREETING_MAGIC && answer[3] == APIR_RING_MAGIC);
}

static int open_bare(void **state)
{
	(void)state;
	h = host_open(NULL, HOST_GGML);
	return h && guest_open(&g, h, 1) ? 0 : -1;
}

static int open_with_ring(void **state)
{
	if (open_bare(state) || !guest_blob_make(&g, RING_SIZE, &memory) || !offer(memory.res))
		return -1;
	args_start(&g);
	if (command(&g, APIR_LOADLIBRARY, 0) != APIR_LOAD_OK || !guest_loaded(&g))
		return -1;
	ring_open(&ring, memory.ptr);
	worker = host_worker(h);
	return 0;
}

/* By the ring, which takes what lies in the arguments: function 5, the device's memory. Its answer comes in `reply`. */
static bool ask(const struct guest_blob *reply, uint32_t after)
{
	const int32_t words[3] = { APIR_FORWARD, APIR_FN_DEVICE_MEMORY, (int32_t)reply->res };

	atomic_store((_Atomic uint32_t *)(void *)reply->ptr, 0);
	return ring_write(&ring, words, sizeof words, after);
}

/* A command by the door wakes the host; its fence is behind whatever the ring holds. */
static void ring_bell(void)
{
	const int32_t words[3] = { APIR_DOORBELL, 0, (int32_t)g.reply.res };

	apir_submit(h->apir, g.ctx, 0, words, sizeof words);
	assert_true(host_fence(h, g.ctx));
}

static bool answered(const struct guest_blob *reply)
{
	return atomic_load((_Atomic uint32_t *)(void *)reply->ptr) == APIR_FORWARD_OLD_OK + 1;
}

#define assert_unharmed()                                                                                              \
	do {                                                                                                           \
		assert_true(guest_computes(&g));                                                                       \
		assert_int_equal(host_worker(h), worker);                                                              \
	} while (0)

static void commands_in_the_ring_are_executed(void **state)
{
	struct guest_blob reply;

	(void)state;
	assert_true(guest_blob_make(&g, APIR_BLOB_GRANULE, &reply));
	for (int i = 0; i < 3000; i++) {
		assert_true(ask(&reply, 0));
		for (int n = 0; !answered(&reply) && n < 100; n++)
			ring_bell();
		assert_true(answered(&reply));
	}
	assert_unharmed();
}

static void one_that_is_behind_a_command_by_the_door_waits_for_it(void **state)
{
	struct guest_blob reply;
	uint32_t by_door;

	(void)state;
	assert_true(guest_blob_make(&g, APIR_BLOB_GRANULE, &reply));
	/* How many there were we find out: the lowest number that has to wait. */
	for (by_door = 0; ask(&reply, by_door); by_door++) {
		assert_true(host_fence(h, g.ctx));
		if (!answered(&reply))
			break;
	}
	assert_in_range(by_door, 3, 100);
	assert_true(host_fence(h, g.ctx));
	assert_false(answered(&reply));
	ring_bell();
	assert_true(host_fence(h, g.ctx));
	assert_true(answered(&reply));
	assert_unharmed();
}

static void one_that_waits_for_ever_is_its_guests_own_loss(void **state)
{
	struct guest_blob reply;

	(void)state;
	assert_true(guest_blob_make(&g, APIR_BLOB_GRANULE, &reply));
	assert_true(ask(&reply, 0x7fffffff));
	assert_true(host_fence(h, g.ctx));
	assert_false(answered(&reply));
	assert_unharmed(); /* by the door */
}

static void what_no_writer_writes_is_left_alone(void **state)
{
	static const uint32_t positions[] = { 4, 64, RING_BYTES + 8, 0x80000000, UINT32_MAX };
	struct ring_head *head;

	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		assert_int_equal(open_with_ring(state), 0);
		head = (struct ring_head *)(void *)memory.ptr;
		memset(memory.ptr + sizeof *head, 0xff, 64); /* a record that announces more than there is */
		atomic_store(&head->written, positions[i]);
		assert_true(host_fence(h, g.ctx));
		ring_bell();
		assert_unharmed();
		close_all(state);
	}
}

static void a_ring_that_changes_all_the_time_harms_nobody(void **state)
{
	uint32_t *words = (uint32_t *)(void *)memory.ptr;
	uint32_t x = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 2000; i++) {
			x = x * 1664525 + 1013904223;
			words[x >> 16 & 1023] = x % 3 ? x >> 24 : x;
		}
		if (round % 50 == 0)
			ring_bell();
	}
	atomic_store(&((struct ring_head *)(void *)memory.ptr)->written, 4); /* done with it */
	ring_bell();
	assert_unharmed();
}

static void a_blob_that_is_too_small_or_unknown_is_no_ring(void **state)
{
	struct guest_blob small;

	(void)state;
	assert_true(guest_blob_make(&g, APIR_BLOB_GRANULE, &small));
	assert_false(offer(0xabcdef));
	assert_true(guest_ready(&g));
}

static void there_is_one_ring_only(void **state)
{
	struct guest_blob other;

	(void)state;
	assert_true(guest_blob_make(&g, RING_SIZE, &other));
	assert_false(offer(other.res));
	assert_unharmed();
}

static void a_ring_whose_blob_is_dropped_stays_where_it_is(void **state)
{
	(void)state;
	assert_int_equal(apir_blob_detach(h->apir, g.ctx, memory.res), 0);
	assert_true(host_fence(h, g.ctx));
	ring_bell();
	assert_unharmed();
}

#define WITH_RING(f) cmocka_unit_test_setup_teardown(f, open_with_ring, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RING(commands_in_the_ring_are_executed),
		WITH_RING(one_that_is_behind_a_command_by_the_door_waits_for_it),
		WITH_RING(one_that_waits_for_ever_is_its_guests_own_loss),
		cmocka_unit_test(what_no_writer_writes_is_left_alone),
		WITH_RING(a_ring_that_changes_all_the_time_harms_nobody),
		WITH_RING(there_is_one_ring_only),
		WITH_RING(a_ring_whose_blob_is_dropped_stays_where_it_is),
		cmocka_unit_test_setup_teardown(a_blob_that_is_too_small_or_unknown_is_no_ring, open_bare, close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
