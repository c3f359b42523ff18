/* SPDX-License-Identifier: MIT */
/*
 * What a decoding program's token takes, before a transport that is memory of this process: the commands that are sent, and how
 * often an answer is waited for. The host answers when it is waited for, in order.
 */
#include "tests/support/cm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest/device.h"
#include "guest/event.h"
#include "guest/stream.h"
#include "guest/turn.h"
#include "proto/util.h"

#define REPLY 1u
#define MOST  64

static struct {
	uint32_t sent[MOST]; /* functions */
	size_t n_sent, n_answered, waits;
	_Atomic uint32_t *words[MOST]; /* where they are answered */
	_Atomic uint32_t *blobs[MOST];
	uint32_t n_blobs;
	bool has_no_memory;
} fake;

/* A machine that has processors to spare, whichever this is. */
long __wrap_sysconf(int name);
long __real_sysconf(int name);

long __wrap_sysconf(int name)
{
	return name == _SC_NPROCESSORS_ONLN ? 64 : __real_sysconf(name);
}

static int submit(struct transport *t, const void *cmd, size_t size, unsigned flags)
{
	uint32_t head[3];

	(void)t, (void)flags;
	if (fake.has_no_memory)
		return -ENOMEM;
	assert_true(size >= sizeof head && fake.n_sent < MOST);
	memcpy(head, cmd, sizeof head);
	fake.words[fake.n_sent] = fake.blobs[head[2]];
	fake.sent[fake.n_sent++] = head[1];
	return 0;
}

static int wait_for_it(struct transport *t, const _Atomic uint32_t *word, int timeout_ms)
{
	(void)t, (void)timeout_ms;
	fake.waits++;
	while (!atomic_load(word) && fake.n_answered < fake.n_sent)
		atomic_store(fake.words[fake.n_answered++], APIR_FORWARD_OK + 1);
	return atomic_load(word) ? 1 : 0;
}

static int blob_create(struct transport *t, size_t size, struct shm *out)
{
	void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)t;
	if (ptr == MAP_FAILED || ++fake.n_blobs == MOST)
		return -ENOMEM;
	fake.blobs[fake.n_blobs] = ptr;
	*out = (struct shm){ .res_id = fake.n_blobs, .ptr = ptr, .size = size };
	return 0;
}

static bool gone(struct transport *t)
{
	(void)t;
	return false;
}

static const struct transport_ops ops = {
	.name = "memory", .submit = submit, .wait = wait_for_it, .gone = gone, .blob_create = blob_create
};
static struct transport transport = { .ops = &ops, .capset_id = APIR_CAPSET_APIR, .where = "here" };
static struct host host;
static struct device device;
static struct abi_backend *stream;

static int stream_open(void **state)
{
	struct session *s = &host.session;

	(void)state;
	memset(&fake, 0, sizeof fake);
	memset(&host, 0, sizeof host);
	session_init(s);
	s->connection.transport = &transport;
	s->queue.async = true;
	device.host = &host;
	device.object.context = &device;
	if (blob_make(&s->blobs, APIR_REPLY_BLOB_SIZE, &s->channel.reply) < 0 || s->channel.reply.res_id != REPLY)
		return -1;
	stream = stream_new(&device.object, NULL);
	return stream ? 0 : -1;
}

static int stream_close(void **state)
{
	(void)state;
	fake.has_no_memory = false;
	stream->iface.free(stream);
	return 0;
}

static size_t n_done;
static void done(struct slot *slot, const struct connection *c, bool ok)
{
	(void)slot, (void)c;
	assert_true(ok);
	n_done++;
}

static void post(enum apir_fn fn, unsigned flags)
{
	struct slot *slot;
	struct call c;

	turn_begin(&c, &host.session, fn, "a command");
	slot = queue_slot(&host.session.queue, false);
	assert_non_null(slot);
	slot->done = done;
	assert_true(call_post(&c, slot, flags));
	turn_end(&c);
}

static void synchronize(void)
{
	stream->iface.synchronize(stream);
}

#define assert_sent(...)                                                                                               \
	do {                                                                                                           \
		static const uint32_t wanted_[] = { __VA_ARGS__ };                                                     \
                                                                                                                       \
		assert_int_equal(fake.n_sent, ARRAY_SIZE(wanted_));                                                    \
		assert_memory_equal(fake.sent, wanted_, sizeof wanted_);                                               \
		fake.n_sent = fake.n_answered = 0;                                                                     \
	} while (0)

static void a_token_is_three_commands_and_one_wait(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		n_done = fake.waits = 0;
		post(APIR_FN_WRITE, POST_MORE);
		post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
		post(APIR_FN_BUFFER_GET_TENSOR, 0);
		assert_int_equal(fake.waits, 0);
		synchronize();
		assert_int_equal(n_done, 3);
		assert_int_equal(fake.waits, 1);
		assert_sent(APIR_FN_WRITE, APIR_FN_GRAPH_AGAIN, APIR_FN_BUFFER_GET_TENSOR);
		synchronize(); /* there is nothing left */
		assert_int_equal(fake.waits, 1);
		assert_int_equal(fake.n_sent, 0);
	}
}

static void of_a_graph_that_nothing_follows_the_end_is_asked_for(void **state)
{
	(void)state;
	n_done = fake.waits = 0;
	post(APIR_FN_BUFFER_GET_TENSOR, 0); /* which tells nothing of what comes */
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	synchronize();
	assert_int_equal(n_done, 2);
	assert_int_equal(fake.waits, 1);
	assert_sent(APIR_FN_BUFFER_GET_TENSOR, APIR_FN_GRAPH_AGAIN, APIR_FN_SYNCHRONIZE);
	synchronize();
	assert_int_equal(fake.waits, 1);
	assert_int_equal(fake.n_sent, 0);
}

static void a_graph_that_was_waited_for_has_only_begun(void **state)
{
	struct call c;

	(void)state;
	turn_begin(&c, &host.session, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	assert_int_equal(call_run_graph(&c), 0);
	turn_end(&c);
	synchronize();
	synchronize();
	assert_sent(APIR_FN_GRAPH_COMPUTE, APIR_FN_SYNCHRONIZE);
}

static void an_answer_to_anything_else_tells_its_end(void **state)
{
	struct call c;

	(void)state;
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	turn_begin(&c, &host.session, APIR_FN_DEVICE_MEMORY, "get_memory");
	assert_int_equal(call_run(&c), 0);
	turn_end(&c);
	synchronize();
	assert_sent(APIR_FN_GRAPH_AGAIN, APIR_FN_DEVICE_MEMORY);
}

/* The graph's own answer says only that it has begun. */
static void an_event_behind_a_graph_is_over_when_the_graph_is(void **state)
{
	struct queue *q = &host.session.queue;
	void *event = event_new(&device.object);

	(void)state;
	assert_non_null(event);
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	event_record(stream, event);
	post(APIR_FN_BUFFER_GET_TENSOR, 0);
	event_synchronize(&device.object, event);
	assert_int_equal(q->computing, 0);
	assert_int_equal(fake.n_answered, 2);
	assert_int_equal(fake.n_sent, 2);
	event_free(&device.object, event);
}

static void the_order_of_a_new_graph_tells_nothing_of_it(void **state)
{
	struct call c;

	(void)state;
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	turn_begin(&c, &host.session, APIR_FN_GRAPH_OPTIMIZE, "graph_optimize");
	assert_int_equal(call_try(&c), 0);
	turn_end(&c);
	synchronize();
	assert_sent(APIR_FN_GRAPH_AGAIN, APIR_FN_GRAPH_OPTIMIZE, APIR_FN_SYNCHRONIZE);
}

/* It has no memory to ask for the end, but the answers come. */
static void what_was_posted_is_settled_though_nothing_can_be_sent(void **state)
{
	(void)state;
	n_done = 0;
	post(APIR_FN_BUFFER_GET_TENSOR, 0);
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	fake.has_no_memory = true;
	synchronize();
	assert_int_equal(n_done, 2);
	assert_true(session_alive(&host.session));
	fake.has_no_memory = false;
	synchronize();
	assert_sent(APIR_FN_BUFFER_GET_TENSOR, APIR_FN_GRAPH_AGAIN, APIR_FN_SYNCHRONIZE);
}

static void a_host_that_does_not_know_it_is_not_asked(void **state)
{
	(void)state;
	host.session.queue.async = false;
	n_done = 0;
	post(APIR_FN_GRAPH_COMPUTE, POST_STATUS);
	synchronize();
	assert_int_equal(n_done, 1);
	assert_sent(APIR_FN_GRAPH_COMPUTE);
}

static int64_t clock_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* A graph that is said to take so long, and what reads its result. */
static void graph_wait(int64_t ms)
{
	queue_expect(&host.session.queue, ms * 1000000);
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	post(APIR_FN_BUFFER_GET_TENSOR, 0);
	synchronize();
}

/* Only the transport and the pulse tell that the host is gone. */
static void for_what_takes_long_the_transport_is_asked_at_once(void **state)
{
	int64_t start = clock_of(CLOCK_MONOTONIC);

	(void)state;
	graph_wait(5000);
	assert_true(clock_of(CLOCK_MONOTONIC) - start < 1000);
}

static void of_what_was_over_when_it_was_asked_for_nobody_knows_how_long_it_took(void **state)
{
	struct queue *q = &host.session.queue;
	struct call c;

	(void)state;
	queue_expect(q, 0);
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	usleep(50000); /* the program's own time */
	turn_begin(&c, &host.session, APIR_FN_BUFFER_GET_TENSOR, "get_tensor");
	assert_int_equal(call_run(&c), 0);
	turn_end(&c);
	assert_int_equal(q->timed, 0);
	assert_int_equal(q->took, 0);
}

static void who_does_not_wait_for_the_end_does_not_time_it(void **state)
{
	struct queue *q = &host.session.queue;
	struct call c;

	(void)state;
	queue_expect(q, 0);
	post(APIR_FN_GRAPH_AGAIN, POST_STATUS);
	turn_begin(&c, &host.session, APIR_FN_GRAPH_OPTIMIZE, "graph_optimize");
	assert_int_equal(call_try(&c), 0);
	turn_end(&c);
	assert_int_equal(q->timed, 0);
}

static void on_signal(int unused)
{
	(void)unused;
}

/* A profiler's signals, say: who is woken before it is due sleeps on. */
static void who_is_woken_early_does_not_spin_until_it_is_due(void **state)
{
	const struct itimerval soon = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	int64_t start = clock_of(CLOCK_THREAD_CPUTIME_ID);

	(void)state;
	signal(SIGALRM, on_signal);
	for (int i = 0; i < 4; i++) {
		setitimer(ITIMER_REAL, &soon, NULL);
		graph_wait(90);
		setitimer(ITIMER_REAL, &never, NULL);
	}
	assert_true(clock_of(CLOCK_THREAD_CPUTIME_ID) - start < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_event_behind_a_graph_is_over_when_the_graph_is, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(a_token_is_three_commands_and_one_wait, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(
			of_a_graph_that_nothing_follows_the_end_is_asked_for, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(a_graph_that_was_waited_for_has_only_begun, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(
			the_order_of_a_new_graph_tells_nothing_of_it, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(an_answer_to_anything_else_tells_its_end, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(
			what_was_posted_is_settled_though_nothing_can_be_sent, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(a_host_that_does_not_know_it_is_not_asked, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(
			for_what_takes_long_the_transport_is_asked_at_once, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(of_what_was_over_when_it_was_asked_for_nobody_knows_how_long_it_took,
			stream_open, stream_close),
		cmocka_unit_test_setup_teardown(
			who_does_not_wait_for_the_end_does_not_time_it, stream_open, stream_close),
		cmocka_unit_test_setup_teardown(
			who_is_woken_early_does_not_spin_until_it_is_due, stream_open, stream_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
