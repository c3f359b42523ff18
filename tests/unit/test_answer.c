/* SPDX-License-Identifier: MIT */
/*
 * The plugin's calls, before a transport that is memory of this process: what the host has answered stays as it was when
 * the call was over, whatever the host does with the shared memory afterwards. And what becomes of calls that nobody waits
 * for where there is little of it.
 */
#include "tests/support/cm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/turn.h"
#include "proto/util.h"

static struct {
	_Alignas(8) uint8_t reply[APIR_REPLY_BLOB_SIZE];
	uint32_t word; /* the answer's; 0: none comes */
	struct cursor says;
	uint8_t bytes[64];
	/* blobs are only made while there are some left; the one that commands are answered in, when somebody waits */
	int blobs_left;
	_Atomic uint32_t *posted;
	bool has_no_memory; /* this system, for anything that is sent */
	uint32_t answers_in;
} host;

static void host_writes(uint8_t with)
{
	memset(host.reply + sizeof(uint32_t), with, CHANNEL_HEARTBEAT - sizeof(uint32_t));
}

static int submit(struct transport *t, const void *cmd, size_t size, unsigned flags)
{
	(void)t, (void)size, (void)flags;
	if (host.has_no_memory)
		return -ENOMEM;
	memcpy(&host.answers_in, (const uint8_t *)cmd + 2 * sizeof(int32_t), sizeof host.answers_in);
	host_writes(0);
	memcpy(host.reply + sizeof(uint32_t), host.bytes, sizeof host.bytes);
	atomic_store((_Atomic uint32_t *)(void *)host.reply, host.word);
	return 0;
}

/* Says that the answer is there, and takes it back. */
static int wait_and_see(struct transport *t, const _Atomic uint32_t *word, int timeout_ms)
{
	(void)t, (void)word, (void)timeout_ms;
	if (host.posted)
		atomic_store(host.posted, APIR_FORWARD_OK + 1);
	return 1;
}

static int blob_create(struct transport *t, size_t size, struct shm *out)
{
	void *ptr;

	(void)t;
	if (host.blobs_left == 0)
		return -EMFILE;
	host.blobs_left--;
	ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*out = (struct shm){ .res_id = 2, .ptr = ptr, .size = size };
	return ptr == MAP_FAILED ? -ENOMEM : 0;
}

static bool gone(struct transport *t)
{
	(void)t;
	return false;
}

static const struct transport_ops ops = {
	.name = "memory", .submit = submit, .wait = wait_and_see, .gone = gone, .blob_create = blob_create
};
static struct transport transport = { .ops = &ops, .capset_id = APIR_CAPSET_APIR, .where = "here" };
static struct session session;

static int session_make(void **state)
{
	(void)state;
	session_init(&session);
	session.connection.transport = &transport;
	session.channel.reply = (struct shm){ .res_id = 1, .ptr = host.reply, .size = sizeof host.reply };
	host.word = APIR_FORWARD_OK + 1;
	host.says = cursor_over(host.bytes, sizeof host.bytes);
	memset(host.bytes, 0, sizeof host.bytes);
	return 0;
}

static void a_number_is_what_it_was(void **state)
{
	uint64_t v = 0;
	struct call c;

	(void)state;
	assert_true(cursor_write_u64(&host.says, 12345));
	turn_begin(&c, &session, APIR_FN_BUFT_ALIGNMENT, "get_alignment");
	assert_int_equal(call_run(&c), 0);
	host_writes(0xff);
	assert_true(cursor_read_u64(&c.reply, &v));
	assert_int_equal(v, 12345);
	turn_end(&c);
}

static void a_string_that_was_checked_stays_as_it_was_checked(void **state)
{
	const char *text = NULL;
	struct call c;

	(void)state;
	assert_true(cursor_write_string(&host.says, "a device"));
	turn_begin(&c, &session, APIR_FN_DEVICE_DESCRIPTION, "get_description");
	assert_int_equal(call_run(&c), 0);
	assert_true(cursor_read_string(&c.reply, &text));
	host_writes(0xff); /* with no end */
	assert_string_equal(text, "a device");
	turn_end(&c);
}

static void no_more_is_read_than_is_expected(void **state)
{
	uint64_t v;
	struct call c;

	(void)state;
	turn_begin(&c, &session, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	c.expects = sizeof(uint32_t);
	assert_int_equal(call_run(&c), 0);
	assert_false(cursor_read_u64(&c.reply, &v));
	turn_end(&c);
}

static void an_answer_that_is_taken_back_is_none(void **state)
{
	struct call c;

	(void)state;
	host.word = 0;
	turn_begin(&c, &session, APIR_FN_BUFT_ALIGNMENT, "get_alignment");
	assert_int_equal(call_run(&c), -EPIPE);
	assert_false(session_alive(&session));
	turn_end(&c);
}

/* Begins a call, where there is memory for one answer more. */
static struct slot *call_with_slot(struct call *c)
{
	struct slot *slot;

	host.blobs_left = 1;
	turn_begin(c, &session, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	slot = queue_slot(&session.queue, false);
	assert_non_null(slot);
	return slot;
}

/* What was posted in it is answered when somebody waits. */
static void slot_post(struct call *c, struct slot *slot)
{
	assert_true(call_post(c, slot, 0));
	host.posted = slot->reply.ptr;
}

static void what_nobody_waits_for_takes_turns_where_there_is_memory_for_one_only(void **state)
{
	struct slot *first;
	struct call c;

	(void)state;
	first = call_with_slot(&c);
	slot_post(&c, first);
	assert_ptr_equal(queue_slot(&session.queue, false), first);
	assert_null(first->posted); /* it had its answer */
	assert_null(queue_slot(&session.queue, true));
	assert_true(session_alive(&session));
	host.posted = NULL;
	turn_end(&c);
}

/* Each blob is a mapping in a guest, for which its VMM keeps a region of memory. */
static void what_is_answered_leaves_its_memory_to_the_next_before_more_is_made(void **state)
{
	struct slot *slot;
	struct call c;

	(void)state;
	host.blobs_left = QUEUE_SLOTS;
	turn_begin(&c, &session, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	for (int i = 0; i < 100; i++) {
		slot = queue_slot(&session.queue, false);
		assert_non_null(slot);
		assert_true(call_post(&c, slot, 0));
		atomic_store((_Atomic uint32_t *)slot->reply.ptr, APIR_FORWARD_OK + 1);
	}
	assert_int_equal(host.blobs_left, QUEUE_SLOTS - 1);
	turn_end(&c);
}

static void what_could_not_be_posted_can_be_waited_for_and_nothing_is_spoiled(void **state)
{
	struct slot *slot;
	struct call c;

	(void)state;
	slot = call_with_slot(&c);
	host.has_no_memory = true;
	assert_false(call_post(&c, slot, 0));
	assert_null(slot->posted);
	assert_int_equal(call_run(&c), -EAGAIN);
	assert_true(session_alive(&session));
	host.has_no_memory = false;
	assert_int_equal(call_run(&c), 0);
	assert_int_equal(host.answers_in, session.channel.reply.res_id);
	turn_end(&c);
}

static void programs_own(int sig)
{
	(void)sig;
}

static bool is_programs_own(void)
{
	struct sigaction now;

	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	return now.sa_handler == programs_own;
}

/* A program synchronizes more often than it computes. */
static void memory_is_guarded_when_it_is_touched_and_no_sooner(void **state)
{
	const struct sigaction own = { .sa_handler = programs_own };
	struct shm blob;
	struct call c;

	(void)state;
	host.blobs_left = 1;
	assert_int_equal(blob_make(&session.blobs, APIR_BLOB_GRANULE, &blob), 0);
	assert_int_equal(sigaction(SIGBUS, &own, NULL), 0);
	turn_enter(&c, &session, "synchronize");
	queue_settle(&session.queue);
	assert_true(is_programs_own());
	turn_end(&c);
	turn_begin(&c, &session, APIR_FN_BUFT_ALIGNMENT, "get_alignment");
	assert_false(is_programs_own());
	turn_end(&c);
}

static void what_is_on_its_way_is_guarded_when_it_is_waited_for(void **state)
{
	const struct sigaction own = { .sa_handler = programs_own };
	struct call c;

	(void)state;
	slot_post(&c, call_with_slot(&c));
	turn_end(&c);
	assert_int_equal(sigaction(SIGBUS, &own, NULL), 0);
	turn_enter(&c, &session, "synchronize");
	assert_false(is_programs_own());
	queue_settle(&session.queue);
	turn_end(&c);
	host.posted = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_that_is_taken_back_is_none, session_make),
		cmocka_unit_test_setup(
			what_nobody_waits_for_takes_turns_where_there_is_memory_for_one_only, session_make),
		cmocka_unit_test_setup(
			what_is_answered_leaves_its_memory_to_the_next_before_more_is_made, session_make),
		cmocka_unit_test_setup(what_could_not_be_posted_can_be_waited_for_and_nothing_is_spoiled, session_make),
		cmocka_unit_test_setup(memory_is_guarded_when_it_is_touched_and_no_sooner, session_make),
		cmocka_unit_test_setup(what_is_on_its_way_is_guarded_when_it_is_waited_for, session_make),
		cmocka_unit_test_setup(no_more_is_read_than_is_expected, session_make),
		cmocka_unit_test_setup(a_number_is_what_it_was, session_make),
		cmocka_unit_test_setup(a_string_that_was_checked_stays_as_it_was_checked, session_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
