/* SPDX-License-Identifier: MIT */
/*
 * Commands that come past the door, by a ring in a blob, from a raw guest: they are executed in the order in which they and
 * those by the door were given, and whatever else lies there harms nobody.
 */
#include "tests/support/cm.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ring.h"
#include "tests/protocol/fixture.h"
#include "tests/support/capture.h"
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

static struct guest_blob small_blob(void)
{
	struct guest_blob b;

	assert_true(guest_blob_make(&g, APIR_BLOB_GRANULE, &b));
	return b;
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
	const struct guest_blob reply = small_blob();

	(void)state;
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
	const struct guest_blob reply = small_blob();
	uint32_t by_door;

	(void)state;
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
	const struct guest_blob reply = small_blob();

	(void)state;
	assert_true(ask(&reply, 0x7fffffff));
	assert_true(host_fence(h, g.ctx));
	assert_false(answered(&reply));
	assert_unharmed(); /* by the door */
}

static void what_no_writer_writes_is_left_alone_and_told_once(void **state)
{
	static const uint32_t positions[] = { 4, 64, RING_BYTES + 8, 0x80000000, UINT32_MAX };
	struct ring_head *head;
	struct capture c;
	char *heard, *at;
	size_t told = 0;

	capture_begin(&c);
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
	at = heard = capture_end(&c);
	for (; (at = strstr(at, ": the guest's ring holds no commands: it is left alone from now on\n")); at++)
		told++;
	assert_int_equal(told, sizeof positions / sizeof *positions);
	free(heard);
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

/* Taking a blob away is given behind the command that is answered in it. */
static void a_blob_is_there_until_what_was_written_before_it_went_is_done(void **state)
{
	const struct guest_blob reply = small_blob();

	(void)state;
	ring_bell();
	usleep(20000); /* it has parked */
	assert_true(ask(&reply, 0));
	assert_int_equal(apir_blob_detach(h->apir, g.ctx, reply.res), 0);
	ring_bell();
	assert_true(answered(&reply));
	assert_unharmed();
}

#define DEEP 8

static uint32_t given; /* by the door */
static unsigned n_ring, n_door, n_bells;

static void give(const struct guest_blob *reply, enum apir_fn fn, bool past)
{
	const int32_t words[3] = { APIR_FORWARD, (int32_t)fn, (int32_t)reply->res };
	const int32_t bell[3] = { APIR_DOORBELL, 0, (int32_t)g.reply.res };

	memcpy(g.args_bytes, words, sizeof words);
	atomic_store((_Atomic uint32_t *)(void *)reply->ptr, 0);
	if (past && ring_write(&ring, g.args_bytes, (uint32_t)g.args.pos, given)) {
		n_ring++;
		if (!ring_wakes(&ring))
			return;
		n_bells++;
		assert_int_equal(apir_submit(h->apir, g.ctx, 0, bell, sizeof bell), 0);
	} else {
		n_door++;
		assert_int_equal(apir_submit(h->apir, g.ctx, 0, g.args_bytes, g.args.pos), 0);
	}
	given++;
	apir_kick(h->apir);
}

static void comes(const struct guest_blob *reply)
{
	for (int i = 0; !answered(reply) && i < 500000; i++)
		i > 20000 ? usleep(10) : sched_yield();
	assert_true(answered(reply));
}

/* Writes and reads by either way, several on their way at once: each read finds what was written before it. */
static void whichever_way_they_come_they_are_done_in_order(void **state)
{
	struct guest_blob written[DEEP], read[DEEP], data[DEEP];
	const struct apir_tensor t = tensor_f32(1, g.buffer, 0, 2, 1);
	uint64_t values[DEEP] = { 0 };
	uint32_t x = 12345;

	(void)state;
	for (int i = 0; i < DEEP; i++) {
		written[i] = small_blob();
		read[i] = small_blob();
		data[i] = small_blob();
	}
	given = 0;
	for (;; given++) { /* what that took */
		assert_true(ask(&written[0], given));
		assert_true(host_fence(h, g.ctx));
		if (!answered(&written[0]))
			break;
	}
	ring_bell();
	assert_true(answered(&written[0]));
	for (uint64_t i = 0; i < 40000; i++) {
		size_t s = i % DEEP, pad;

		if (i >= DEEP) {
			comes(&written[s]);
			comes(&read[s]);
			assert_memory_equal(data[s].ptr, &values[s], sizeof values[s]);
		}
		x = x * 1664525 + 1013904223;
		pad = (x >> 8) % 5 == 0 ? (x >> 11) % 40000 & ~7u : 0;
		values[s] = i + 1;
		args_start(&g);
		if (pad) { /* into the buffer's end */
			const struct apir_write filler = { g.buffer, 8, pad };

			arg_bytes(&g, &filler, sizeof filler);
			g.args.pos += pad;
		}
		arg_bytes(&g, &(struct apir_write){ g.buffer, 0, 8 }, sizeof(struct apir_write));
		arg_bytes(&g, &values[s], 8);
		give(&written[s], APIR_FN_WRITE, x >> 30);
		if ((x >> 20 & 255) == 0)
			usleep(300);
		args_start(&g);
		arg_u64(&g, g.buffer);
		arg_bytes(&g, &t, sizeof t);
		arg_u32(&g, data[s].res);
		arg_u64(&g, 0);
		arg_u64(&g, 8);
		give(&read[s], APIR_FN_BUFFER_GET_TENSOR, x >> 28 & 3);
	}
	print_message("%u by the ring, %u by the door, %u bells\n", n_ring, n_door, n_bells);
	assert_unharmed();
}

#define ROOM (UINT64_C(64) << 20)
#define HALF (ROOM / 2)

static uint64_t held_by(pid_t pid)
{
	unsigned long from, to;
	char path[64], line[512];
	uint64_t sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		if (strstr(line, "memfd:apir-blob") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			sum += to - from;
	}
	fclose(f);
	return sum;
}

/* A guest whose blobs may be 64 MiB: it has given up all but what it has now. */
static void a_ring_keeps_no_more_than_a_ring(void **state)
{
	const struct apir_limits limits = { .blob_bytes = ROOM };
	struct guest_blob more;

	(void)state;
	h = host_open(&limits, HOST_GGML);
	assert_non_null(h);
	assert_true(guest_open(&g, h, 1));
	assert_true(guest_blob_make(&g, HALF, &memory));
	(void)offer(memory.res);
	memset(memory.ptr, 1, memory.size);
	guest_blob_drop(&g, &memory);
	assert_true(host_fence(h, g.ctx));
	assert_true(guest_blob_make(&g, HALF, &more));
	assert_true(host_fence(h, g.ctx));
	print_message("the worker holds %llu MiB of blobs, %llu are allowed\n",
		(unsigned long long)(held_by(host_worker(h)) >> 20), (unsigned long long)(ROOM >> 20));
	assert_in_range(held_by(host_worker(h)), 0, ROOM);
	guest_blob_drop(&g, &more);
}

#define WITH_RING(f) cmocka_unit_test_setup_teardown(f, open_with_ring, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RING(commands_in_the_ring_are_executed),
		WITH_RING(one_that_is_behind_a_command_by_the_door_waits_for_it),
		WITH_RING(one_that_waits_for_ever_is_its_guests_own_loss),
		cmocka_unit_test(what_no_writer_writes_is_left_alone_and_told_once),
		WITH_RING(a_ring_that_changes_all_the_time_harms_nobody),
		cmocka_unit_test_teardown(a_ring_keeps_no_more_than_a_ring, close_all),
		WITH_RING(a_blob_is_there_until_what_was_written_before_it_went_is_done),
		WITH_RING(whichever_way_they_come_they_are_done_in_order),
		WITH_RING(there_is_one_ring_only),
		WITH_RING(a_ring_whose_blob_is_dropped_stays_where_it_is),
		cmocka_unit_test_setup_teardown(a_blob_that_is_too_small_or_unknown_is_no_ring, open_bare, close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
