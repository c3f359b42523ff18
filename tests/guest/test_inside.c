/* SPDX-License-Identifier: MIT */
/*
 * A signal handler that calls the device while the same thread is within a call, as the handler of llama.cpp's programs
 * does: nothing hangs, nothing is corrupted, and the handler has an answer. And a thread that is cancelled within a call,
 * and a buffer that is freed there.
 */
#include "tests/guest/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "tests/support/process.h"

#define LEAST_US    50
#define VARYING_US  500
#define ROUNDS      400
#define PATIENCE_MS 60000
#define BYTES       256

/* What the handler works with; nothing of it is the interrupted program's own. */
static struct {
	struct program *p;
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *op, *bytes;
	struct abi_graph *graph;
	struct abi_backend *stream;
	size_t total, alloc_size;
	volatile sig_atomic_t armed; /* the thread is within a call of ggml's, so within no malloc() */
	unsigned calls, wrong;
} in_handler;

static void memory_asked(void)
{
	size_t free_bytes = 0, total = 0;

	in_handler.p->g.dev_memory(in_handler.p->dev, &free_bytes, &total);
	in_handler.wrong += total != in_handler.total || free_bytes == 0;
}

static void bytes_moved(void)
{
	uint8_t v[BYTES];

	memset(v, (int)in_handler.calls, sizeof v);
	in_handler.p->g.tensor_set(in_handler.bytes, v, 0, sizeof v);
	in_handler.p->f.backend_tensor_memset(in_handler.bytes, (uint8_t)in_handler.calls, 0, 64);
	memset(v, 0xa5, sizeof v);
	in_handler.p->g.tensor_get(in_handler.bytes, v, 64, sizeof v - 64);
	for (size_t i = 1; i < sizeof v - 64; i++)
		in_handler.wrong += v[i] != v[0]; /* what was set, or zeros */
	memset(v, 0xa5, sizeof v);
	in_handler.p->g.tensor_get_async(in_handler.stream, in_handler.bytes, v, 64, sizeof v - 64);
	in_handler.p->g.synchronize(in_handler.stream);
	for (size_t i = 1; i < sizeof v - 64; i++)
		in_handler.wrong += v[i] != v[0];
}

static void buffer_had(void)
{
	struct abi_buffer *b =
		in_handler.p->g.buft_alloc_buffer(in_handler.p->g.dev_buffer_type(in_handler.p->dev), 512);

	if (b)
		in_handler.p->g.buffer_free(b);
}

/* Once, so that the program gets on however long the handler takes. */
static void timer_set(suseconds_t us)
{
	const struct itimerval t = { .it_value = { 0, us } };

	CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

static void questions_asked(void)
{
	memory_asked();
	switch (in_handler.calls++ % 4) {
	case 0:
		in_handler.wrong += !in_handler.p->g.dev_supports_op(in_handler.p->dev, in_handler.op);
		break;
	case 1:
		bytes_moved();
		break;
	case 2:
		in_handler.p->g.synchronize(in_handler.stream);
		in_handler.p->g.graph_compute(in_handler.stream, in_handler.graph);
		break;
	default:
		buffer_had();
		break;
	}
	memory_asked();
}

static void on_signal(int sig)
{
	int err = errno;

	(void)sig;
	if (in_handler.armed)
		questions_asked();
	timer_set(LEAST_US + in_handler.calls * 37 % VARYING_US);
	errno = err;
}

static void handler_ready(struct program *p, struct net *n)
{
	struct sigaction a = { .sa_handler = on_signal };
	size_t unused;

	in_handler.p = p;
	in_handler.ctx = program_context(p);
	in_handler.bytes = p->g.new_tensor_4d(in_handler.ctx, 0, BYTES / 4, 1, 1, 1);
	in_handler.buffer = p->f.backend_alloc_ctx_tensors(in_handler.ctx, p->gpu);
	CHECK(in_handler.buffer);
	in_handler.op = n->output;
	in_handler.graph = n->graph;
	in_handler.stream = p->g.dev_init(p->dev, NULL);
	CHECK(in_handler.stream);
	CHECK(p->g.dev_supports_op(p->dev, n->output));
	p->g.dev_memory(p->dev, &unused, &in_handler.total);
	CHECK(in_handler.total > 0);
	CHECK(sigaction(SIGALRM, &a, NULL) == 0);
}

/* So that the lock is another thread's at times. */
static volatile sig_atomic_t done;
static void *compute_beside(void *arg)
{
	struct program *p = arg;
	struct abi_backend *stream = p->g.dev_init(p->dev, NULL);
	struct net n;

	CHECK(stream);
	net_make(&n, p, stream, 32, 2, 5);
	while (!done) {
		net_input(&n, p, 6);
		CHECK(p->g.graph_compute(stream, n.graph) == ABI_STATUS_SUCCESS);
	}
	net_free(&n, p);
	p->g.backend_free(stream);
	return NULL;
}

static void interrupted_rounds(
	const struct program *p, struct net *gpu, const float inputs[2][256], const float outputs[2][256])
{
	static float got[256];

	for (int i = 0; i < ROUNDS; i++) {
		int32_t status;

		in_handler.armed = true;
		p->g.tensor_set(gpu->input, inputs[i % 2], 0, sizeof got);
		status = p->g.graph_compute(p->gpu, gpu->graph);
		if (i & 2) {
			p->g.tensor_get_async(p->gpu, gpu->output, got, 0, sizeof got);
			p->g.synchronize(p->gpu);
		} else {
			p->g.tensor_get(gpu->output, got, 0, sizeof got);
		}
		in_handler.armed = false;
		CHECK(status == ABI_STATUS_SUCCESS);
		CHECK(!memcmp(got, outputs[i % 2], sizeof got));
	}
}

static void interrupted(void *unused)
{
	static float inputs[2][256], outputs[2][256];
	struct net gpu, other;
	struct program p;
	sigset_t alarm;
	pthread_t t;

	(void)unused;
	program_start(&p, server.socket);
	net_make(&gpu, &p, p.gpu, 64, 4, 1);
	net_make(&other, &p, p.gpu, 64, 2, 3);
	net_input(&other, &p, 4);
	for (uint32_t i = 0; i < 2; i++) {
		numbers_fill(inputs[i], 256, 10 + i);
		p.g.tensor_set(gpu.input, inputs[i], 0, sizeof inputs[i]);
		CHECK(p.g.graph_compute(p.gpu, gpu.graph) == ABI_STATUS_SUCCESS);
		p.g.tensor_get(gpu.output, outputs[i], 0, sizeof outputs[i]);
	}
	CHECK(memcmp(outputs[0], outputs[1], sizeof outputs[0]));
	handler_ready(&p, &other);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	CHECK(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
	CHECK(pthread_create(&t, NULL, compute_beside, &p) == 0);
	CHECK(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL) == 0);
	timer_set(LEAST_US);
	interrupted_rounds(&p, &gpu, (const float(*)[256])inputs, (const float(*)[256])outputs);
	CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
	done = true;
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(in_handler.calls > 20 && in_handler.wrong == 0);
	p.g.backend_free(in_handler.stream);
	p.g.buffer_free(in_handler.buffer);
	p.g.free(in_handler.ctx);
	net_free(&gpu, &p);
	net_free(&other, &p);
	program_end(&p);
}

static bool asynchronously;

static void *compute_until_cancelled(void *arg)
{
	struct net *n = arg;
	struct program *p = in_handler.p;
	int unused;

	/* In its calls only: ggml's own code is none that may be left anywhere. */
	for (;;) {
		struct abi_buffer *b = n->buffer;
		uint8_t v[64] = { 1 };

		pthread_setcanceltype(asynchronously ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, &unused);
		b->iface.set_tensor(b, n->input, v, 0, sizeof v);
		(void)p->gpu->iface.graph_compute(p->gpu, n->graph);
		b->iface.get_tensor(b, n->output, v, 0, sizeof v);
		pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &unused);
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled(void *unused)
{
	struct net gpu, cpu;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	net_make(&gpu, &p, p.gpu, 64, 4, 1);
	net_make(&cpu, &p, p.cpu, 64, 4, 1);
	in_handler.p = &p;
	for (useconds_t round = 0; round < 20; round++) {
		pthread_t t;
		void *end;

		asynchronously = round & 1;
		CHECK(pthread_create(&t, NULL, compute_until_cancelled, &gpu) == 0);
		usleep(1000 + 100 * round);
		CHECK(pthread_cancel(t) == 0);
		CHECK(pthread_join(t, &end) == 0 && end == PTHREAD_CANCELED);
		net_input(&gpu, &p, round);
		net_input(&cpu, &p, round);
		nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	}
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

static struct abi_buffer *victim;

static void on_line(int32_t level, const char *text, void *p)
{
	struct abi_buffer *b = victim;

	(void)level, (void)text;
	victim = NULL;
	if (b)
		((const struct program *)p)->g.buffer_free(b);
}

/* The host refuses a reading, which is told within the call. */
static void freed_within(void *unused)
{
	struct program p;
	struct net n;
	float v[2];
	size_t base;

	(void)unused;
	program_start(&p, server.socket);
	net_make(&n, &p, p.gpu, 64, 4, 1);
	base = process_memory(server_worker(&server));
	victim = host_buffer(&p);
	CHECK(host_holds(&p, base, 1));
	p.g.log_set(on_line, &p);
	n.buffer->iface.get_tensor(n.buffer, n.output, v, (size_t)1 << 30, sizeof v);
	p.g.log_set(NULL, NULL);
	CHECK(!victim);
	CHECK(host_holds(&p, base, 1));
	net_free(&n, &p);
	CHECK(host_holds(&p, base, 0));
	program_end(&p);
}

static void does_not_hang(void *what)
{
	void (*const *run)(void *) = what;
	pid_t pid = child_start(*run, NULL);
	bool ended = process_ends(pid, PATIENCE_MS);

	if (!ended)
		kill(pid, SIGKILL);
	CHECK(child_end(pid) == 0);
	CHECK(ended);
}

static void a_handler_that_calls_within_a_call_has_an_answer_and_spoils_nothing(void **state)
{
	void (*run)(void *) = interrupted;
	char *heard;

	(void)state;
	assert_int_equal(child_run_heard(does_not_hang, &run, &heard), 0);
	/* So there were such moments; and it is told what wasn't done. */
	assert_non_null(
		strstr(heard, ": not done: a signal handler (or a log callback) asked for it within another call"));
	free(heard);
}

static void a_thread_that_is_cancelled_within_a_call_leaves_the_device_to_the_others(void **state)
{
	void (*run)(void *) = cancelled;

	(void)state;
	assert_int_equal(child_run(does_not_hang, &run), 0);
}

static void a_buffer_that_is_freed_within_a_call_ends_on_the_host_with_the_next_one_about_buffers(void **state)
{
	void (*run)(void *) = freed_within;

	(void)state;
	assert_int_equal(child_run(does_not_hang, &run), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_that_calls_within_a_call_has_an_answer_and_spoils_nothing),
		cmocka_unit_test(a_thread_that_is_cancelled_within_a_call_leaves_the_device_to_the_others),
		cmocka_unit_test(a_buffer_that_is_freed_within_a_call_ends_on_the_host_with_the_next_one_about_buffers),
	};
	int failed;

	unsetenv("GGML_VIRTGPU_PROTOCOL");
	failed = cmocka_run_group_tests_name("the newest protocol", tests, server_up, server_down);
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	return failed + cmocka_run_group_tests_name("plain APIR 0.2", tests, server_up, server_down);
}
