/* SPDX-License-Identifier: MIT */
/* The ring of commands: what is written is read, once and in order, and wrong words do no harm. */
#include "tests/support/cm.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ring.h"

static uint8_t *memory;
static struct ring writer, reader;
static struct ring_head *head;

static int start(void **state)
{
	(void)state;
	memory = aligned_alloc(RING_LINE, RING_SIZE);
	if (!memory)
		return -1;
	memset(memory, 0, RING_SIZE);
	ring_open(&writer, memory);
	ring_open(&reader, memory);
	head = (struct ring_head *)(void *)memory;
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

/* n bytes that follow from their number */
static void fill(uint8_t *bytes, uint32_t n, uint32_t number)
{
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7);
}

/* Sizes of all kinds, up to the largest. */
static uint32_t size_of(uint32_t number)
{
	return number % 50 == 49 ? RING_COMMAND : number * 37 % 700;
}

static void assert_reads(uint32_t number)
{
	static uint8_t got[RING_COMMAND], wanted[RING_COMMAND];
	struct ring_record record;

	assert_int_equal(ring_peek(&reader, &record), 1);
	assert_int_equal(record.size, size_of(number));
	assert_int_equal(record.after, number);
	ring_take(&reader, &record, got);
	fill(wanted, record.size, number);
	assert_memory_equal(got, wanted, record.size);
}

static bool write(uint32_t number)
{
	static uint8_t bytes[RING_COMMAND];

	fill(bytes, size_of(number), number);
	return ring_write(&writer, bytes, size_of(number), number);
}

static void what_is_written_is_read_in_order_round_after_round(void **state)
{
	struct ring_record record;
	uint32_t written = 0, read = 0;

	(void)state;
	while (read < 5000) {
		while (write(written))
			written++;
		assert_true(written > read);
		for (uint32_t n = (written - read + 1) / 2; n > 0; n--)
			assert_reads(read++);
	}
	while (read < written)
		assert_reads(read++);
	assert_int_equal(ring_peek(&reader, &record), 0);
}

static void positions_may_pass_32_bits(void **state)
{
	(void)state;
	writer.at = reader.at = UINT32_MAX - 103;
	atomic_store(&head->written, writer.at);
	atomic_store(&head->read, reader.at);
	for (uint32_t i = 0; i < 20; i++) {
		assert_true(write(i));
		assert_reads(i);
	}
	assert_true(writer.at < UINT32_MAX / 2);
}

static void a_full_ring_takes_nothing_and_loses_nothing(void **state)
{
	uint32_t n = 0;

	(void)state;
	while (write(n))
		n++;
	assert_false(write(n));
	for (uint32_t i = 0; i < n; i++)
		assert_reads(i);
	assert_true(write(n));
	assert_false(ring_write(&writer, memory, RING_COMMAND + 1, 0));
}

static void wrong_words_of_the_writer_are_noticed(void **state)
{
	static const uint32_t positions[] = { 1, 7, RING_BYTES + 1, 0x80000000, UINT32_MAX };
	static const uint32_t sizes[] = { 9, RING_COMMAND, RING_COMMAND + 1, UINT32_MAX - 7, UINT32_MAX };
	struct ring_record record;

	(void)state;
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		atomic_store(&head->written, positions[i]);
		assert_int_equal(ring_peek(&reader, &record), -EBADMSG);
	}
	atomic_store(&head->written, 16); /* a record, and 8 bytes of a command */
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		memcpy(memory + sizeof *head, &sizes[i], sizeof sizes[i]);
		assert_int_equal(ring_peek(&reader, &record), -EBADMSG);
	}
}

static void wrong_words_of_the_reader_only_fill_the_ring(void **state)
{
	static const uint32_t positions[] = { 1, 8, 0x80000000, UINT32_MAX - RING_BYTES };

	(void)state;
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		atomic_store(&head->read, positions[i]);
		assert_false(write(0));
		assert_int_equal(writer.at, 0);
	}
}

static void who_parks_is_woken_once(void **state)
{
	(void)state;
	assert_true(write(0));
	assert_false(ring_wakes(&writer));
	ring_park(&reader);
	assert_true(write(1));
	assert_true(ring_wakes(&writer));
	assert_false(ring_wakes(&writer));
	ring_park(&reader);
	ring_unpark(&reader);
	assert_false(ring_wakes(&writer));
}

/* Both ends at once, the reader asleep whenever it finds nothing: it hears of everything. */
#define RECORDS 20000

static sem_t bell;

static void *write_all(void *unused)
{
	static uint8_t bytes[1024];

	(void)unused;
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t n = i * 37 % sizeof bytes;

		fill(bytes, n, i);
		while (!ring_write(&writer, bytes, n, i))
			sched_yield();
		if (ring_wakes(&writer))
			sem_post(&bell);
		if (i % 256 == 0)
			sched_yield();
	}
	return NULL;
}

static void two_threads_miss_nothing(void **state)
{
	static uint8_t got[RING_COMMAND], wanted[1024];
	struct ring_record record;
	struct timespec limit;
	pthread_t t;

	(void)state;
	assert_int_equal(sem_init(&bell, 0, 0), 0);
	assert_int_equal(pthread_create(&t, NULL, write_all, NULL), 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		while (ring_peek(&reader, &record) == 0) {
			ring_park(&reader);
			if (ring_peek(&reader, &record) != 0)
				break;
			clock_gettime(CLOCK_REALTIME, &limit);
			limit.tv_sec += 60;
			assert_int_equal(sem_timedwait(&bell, &limit), 0); /* it was never told */
		}
		ring_unpark(&reader);
		while (sem_trywait(&bell) == 0) {
		}
		assert_int_equal(record.after, i);
		assert_int_equal(record.size, i * 37 % sizeof wanted);
		ring_take(&reader, &record, got);
		fill(wanted, record.size, i);
		assert_memory_equal(got, wanted, record.size);
	}
	pthread_join(t, NULL);
	assert_int_equal(ring_peek(&reader, &record), 0);
	sem_destroy(&bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_written_is_read_in_order_round_after_round, start, end),
		cmocka_unit_test_setup_teardown(positions_may_pass_32_bits, start, end),
		cmocka_unit_test_setup_teardown(a_full_ring_takes_nothing_and_loses_nothing, start, end),
		cmocka_unit_test_setup_teardown(wrong_words_of_the_writer_are_noticed, start, end),
		cmocka_unit_test_setup_teardown(wrong_words_of_the_reader_only_fill_the_ring, start, end),
		cmocka_unit_test_setup_teardown(who_parks_is_woken_once, start, end),
		cmocka_unit_test_setup_teardown(two_threads_miss_nothing, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
