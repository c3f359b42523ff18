/* SPDX-License-Identifier: MIT */
/* When the host goes, or the program forks: errors within seconds and zeros, never a hang and never stale
 * data. */
#include "tests/guest/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "platform/clock.h"
#include "proto/util.h"
#include "tests/support/capture.h"
#include "tests/support/process.h"

#define NOTICED_WITHIN_MS 5000
#define AT_ONCE_MS        200 /* of this thread's own work: nothing is waited for */

/* A chain of matrix products that takes a minute or more. */
struct long_graph {
	struct abi_context *ctx;
	struct abi_buffer *buffer, *shared; /* NULL: plain APIR has none such */
	struct abi_graph *graph;
	struct abi_tensor *w, *x, *last;
};

static void long_graph_make(struct long_graph *l, const struct program *p)
{
	static const float values[64] = { 1, 2, 3 };
	union abi_buft *buft;

	l->ctx = program_context(p);
	l->w = p->g.new_tensor_4d(l->ctx, 0, 2048, 2048, 1, 1);
	l->x = l->last = p->g.new_tensor_4d(l->ctx, 0, 2048, 1024, 1, 1);
	for (int i = 0; i < 60; i++)
		l->last = p->f.mul_mat(l->ctx, l->w, l->last);
	l->graph = p->f.new_graph(l->ctx);
	p->f.build_forward_expand(l->graph, l->last);
	l->buffer = p->f.backend_alloc_ctx_tensors(l->ctx, p->gpu);
	CHECK(l->buffer);
	buft = p->f.backend_dev_host_buffer_type(p->dev);
	l->shared = buft ? p->g.buft_alloc_buffer(buft, sizeof values) : NULL;
	p->g.tensor_set(l->x, values, 0, sizeof values);
}

struct killer {
	pid_t worker, victim;
	long busy_from;
	int64_t killed_at;
};

/* Linux tells nobody that another process has begun to compute, so its CPU time is watched. */
static void *kill_when_busy(void *arg)
{
	struct killer *k = arg;
	const struct timespec tick = { .tv_nsec = 5000000 };

	while (process_cpu_ms(k->worker) < k->busy_from + 200)
		nanosleep(&tick, NULL);
	k->killed_at = clock_ms();
	kill(k->victim, SIGKILL);
	return NULL;
}

static void all_is_zero(const struct program *p, const struct abi_tensor *t)
{
	uint8_t got[256];

	memset(got, 0xee, sizeof got);
	p->g.tensor_get(t, got, 0, sizeof got);
	for (size_t i = 0; i < sizeof got; i++)
		CHECK(got[i] == 0);
}

/*
 * A graph that the host has computed before goes out without waiting for its answer, and ggml's interface
 * can't say afterwards that it failed: its results are zeros then, and the next graph fails.
 */
static void graph_fails(const struct program *p, struct abi_graph *graph, const struct abi_tensor *output)
{
	if (p->g.graph_compute(p->gpu, graph) == ABI_STATUS_SUCCESS) {
		all_is_zero(p, output);
		CHECK(p->g.graph_compute(p->gpu, graph) == ABI_STATUS_FAILED);
	}
	all_is_zero(p, output);
	CHECK(p->g.graph_compute(p->gpu, graph) == ABI_STATUS_FAILED);
}

/* What this thread asks of the system from now on. */
static void filter_thread(const struct sock_filter *lines, size_t n)
{
	const struct sock_fprog program = { (unsigned short)n, (struct sock_filter *)(uintptr_t)lines };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* If this thread asks for anything that waits from now on, or anything of the host, the process ends by SIGSYS. */
static void waiting_ends_us(void)
{
	static const uint32_t waiting[] = {
#ifdef SYS_poll
		SYS_poll, SYS_select,
#endif
		SYS_ppoll, SYS_pselect6, SYS_nanosleep, SYS_clock_nanosleep, SYS_recvfrom, SYS_recvmsg, SYS_sendto,
		SYS_sendmsg, SYS_ioctl
	};
	enum { N = ARRAY_SIZE(waiting) };
	struct sock_filter lines[N + 6] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	struct sock_filter *end = &lines[N + 1];

	for (size_t i = 0; i < N; i++)
		lines[i + 1] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, waiting[i], (uint8_t)(N + 3 - i), 0);
	/* A word of the host's is waited for with a timeout, a lock without. */
	end[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 2);
	end[1] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3]));
	end[2] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
	end[3] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	end[4] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter_thread(lines, ARRAY_SIZE(lines));
}

static int64_t own_cpu_ms(void)
{
	struct timespec t;

	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct dead {
	struct program *p;
	struct long_graph *l;
};

/* Everything still returns, with nothing, and neither waits for it nor spins. */
static void *everything_fails(void *arg)
{
	const struct dead *d = arg;
	struct program *p = d->p;
	struct long_graph *l = d->l;
	size_t free_bytes = 1, total = 1;
	uint8_t bytes[64] = { 1 };

	waiting_ends_us();
	all_is_zero(p, l->x); /* though it was set */
	p->g.tensor_set(l->x, bytes, 0, sizeof bytes);
	all_is_zero(p, l->x);
	p->f.backend_tensor_memset(l->x, 1, 0, 64);
	p->g.tensor_copy(l->x, l->last->src[1]);
	p->g.buffer_clear(l->buffer, 1);
	all_is_zero(p, l->last);
	for (int i = 0; i < 5; i++)
		CHECK(p->g.graph_compute(p->gpu, l->graph) == ABI_STATUS_FAILED);
	CHECK(!p->g.buft_alloc_buffer(p->g.dev_buffer_type(p->dev), 4096));
	p->g.dev_memory(p->dev, &free_bytes, &total);
	CHECK(free_bytes == 0);
	p->g.synchronize(p->gpu);
	if (l->shared)
		p->g.buffer_free(l->shared);
	p->g.buffer_free(l->buffer);
	p->g.free(l->ctx);
	program_end(p);
	CHECK(own_cpu_ms() < AT_ONCE_MS);
	return NULL;
}

static void everything_fails_at_once(struct program *p, struct long_graph *l)
{
	struct dead d = { p, l };
	pthread_t t;

	CHECK(pthread_create(&t, NULL, everything_fails, &d) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

static void loss_while_computing(bool of_door)
{
	struct killer k = { 0 };
	struct long_graph l;
	struct program p;
	pthread_t t;

	program_start(&p, server.socket);
	long_graph_make(&l, &p);
	k.worker = server_worker(&server);
	k.victim = of_door ? server_door(&server) : k.worker;
	CHECK(k.worker > 0 && k.victim > 0);
	k.busy_from = process_cpu_ms(k.worker);
	CHECK(pthread_create(&t, NULL, kill_when_busy, &k) == 0);
	CHECK(p.g.graph_compute(p.gpu, l.graph) == ABI_STATUS_FAILED);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(clock_ms() - k.killed_at < NOTICED_WITHIN_MS);
	everything_fails_at_once(&p, &l);
	if (of_door)
		CHECK(process_ends(k.worker, NOTICED_WITHIN_MS)); /* it doesn't outlive its door */
}

SCENARIO(a_killed_worker_fails_the_graph_that_computes)
{
	(void)unused;
	loss_while_computing(false);
}

SCENARIO(a_killed_door_fails_the_graph_that_computes)
{
	(void)unused;
	loss_while_computing(true);
}

SCENARIO(a_killed_worker_is_noticed_by_the_next_call)
{
	struct long_graph l;
	struct program p;
	pid_t worker;

	(void)unused;
	program_start(&p, server.socket);
	long_graph_make(&l, &p);
	worker = server_worker(&server);
	kill(worker, SIGKILL);
	CHECK(process_ends(worker, NOTICED_WITHIN_MS));
	all_is_zero(&p, l.x);
	everything_fails_at_once(&p, &l);
}

SCENARIO(a_lost_write_fails_the_next_graph)
{
	struct net n;
	struct program p;
	pid_t worker;

	(void)unused;
	program_start(&p, server.socket);
	net_make(&n, &p, p.gpu, 64, 2, 1);
	net_input(&n, &p, 1);
	CHECK(p.g.graph_compute(p.gpu, n.graph) == ABI_STATUS_SUCCESS);
	worker = server_worker(&server);
	kill(worker, SIGKILL);
	CHECK(process_ends(worker, NOTICED_WITHIN_MS));
	net_input(&n, &p, 2);
	graph_fails(&p, n.graph, n.output);
	net_free(&n, &p);
	program_end(&p);
}

static void nets_make(struct net *gpu, struct net *cpu, struct program *p)
{
	program_start(p, server.socket);
	net_make(gpu, p, p->gpu, 64, 2, 1);
	net_make(cpu, p, p->cpu, 64, 2, 1);
	net_input(gpu, p, 2);
	net_input(cpu, p, 2);
	nets_agree(gpu, p->gpu, cpu, p->cpu, p);
}

static void other_program(void *pipes)
{
	const int *ready = pipes, *go = ready + 2;
	struct net gpu, cpu;
	struct program p;
	char c = 'x';

	nets_make(&gpu, &cpu, &p);
	CHECK(write(ready[1], &c, 1) == 1);
	CHECK(read(go[0], &c, 1) == 1); /* the first's worker is dead now */
	for (int i = 0; i < 20; i++)
		nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

SCENARIO(another_programs_killed_worker_is_nobodys_business)
{
	struct net gpu, cpu;
	struct program p;
	int pipes[4];
	pid_t other, ours;
	char c;

	(void)unused;
	CHECK(pipe(pipes) == 0 && pipe(pipes + 2) == 0);
	other = child_start(other_program, pipes); /* a program of its own: nothing is loaded here yet */
	CHECK(read(pipes[0], &c, 1) == 1);
	nets_make(&gpu, &cpu, &p);
	ours = server_worker(&server);
	CHECK(ours > 0);
	kill(ours, SIGKILL);
	CHECK(process_ends(ours, NOTICED_WITHIN_MS));
	CHECK(write(pipes[3], &c, 1) == 1);
	graph_fails(&p, gpu.graph, gpu.output);
	CHECK(child_end(other) == 0);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

/* The child must not speak on its parent's connection. */
SCENARIO(a_forked_child_fails_and_its_parent_goes_on)
{
	struct net gpu, cpu;
	struct program p;

	(void)unused;
	nets_make(&gpu, &cpu, &p);
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			uint8_t bytes[64] = { 1, 2, 3 };

			p.g.tensor_set(gpu.input, bytes, 0, sizeof bytes);
			graph_fails(&p, gpu.graph, gpu.output);
			CHECK(!p.g.buft_alloc_buffer(p.g.dev_buffer_type(p.dev), 4096));
			p.g.buffer_clear(gpu.buffer, 1);
			net_free(&gpu, &p);
			p.g.backend_free(p.gpu);
			_exit(0);
		}
		for (int round = 0; round < 20; round++)
			nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
		CHECK(child_end(pid) == 0);
		net_input(&gpu, &p, (uint32_t)i);
		net_input(&cpu, &p, (uint32_t)i);
		nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	}
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

struct family {
	pid_t worker, child;
};

/* A program that ends while a child of its goes on; the child tells of neither by itself. */
static void parent_that_ends(void *pipe_end)
{
	struct family f;
	struct net n;
	struct program p;

	program_start(&p, server.socket);
	net_make(&n, &p, p.gpu, 64, 2, 1);
	net_input(&n, &p, 1);
	CHECK(p.g.graph_compute(p.gpu, n.graph) == ABI_STATUS_SUCCESS);
	f.worker = server_worker(&server);
	f.child = fork();
	CHECK(f.worker > 0 && f.child >= 0);
	if (f.child == 0) {
		for (;;)
			pause();
	}
	CHECK(write(*(int *)pipe_end, &f, sizeof f) == sizeof f);
	_exit(0);
}

static bool maps_blobs(pid_t pid)
{
	char path[64], *maps;
	bool found;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	maps = file_text(path);
	CHECK(maps);
	found = strstr(maps, "/memfd:") != NULL;
	free(maps);
	return found;
}

SCENARIO(a_forked_child_keeps_nothing_of_its_parents)
{
	struct family f;
	int ends[2];
	bool ended, mapped;

	(void)unused;
	CHECK(pipe(ends) == 0);
	CHECK(child_run(parent_that_ends, &ends[1]) == 0);
	CHECK(read(ends[0], &f, sizeof f) == sizeof f);
	ended = process_ends(f.worker, NOTICED_WITHIN_MS);
	mapped = maps_blobs(f.child);
	CHECK(kill(f.child, SIGKILL) == 0); /* so it was there */
	CHECK(ended && !mapped);
}

static void child_asks(void *unused)
{
	struct program p;
	pid_t pid;

	(void)unused;
	program_start(&p, server.socket);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(!p.g.dev_init(p.dev, NULL));
		CHECK(!p.g.buft_alloc_buffer(p.g.dev_buffer_type(p.dev), 4096));
		CHECK(!p.g.dev_init(p.dev, NULL));
		_exit(0);
	}
	CHECK(child_end(pid) == 0);
	program_end(&p);
}

static void a_forked_child_that_asks_for_the_device_is_told_why_it_has_none(void **state)
{
	const char *wanted = "ggml-virtgpu: no device: this process was forked from the one that has it";
	char *heard, *line;

	(void)state;
	assert_int_equal(child_run_heard(child_asks, NULL, &heard), 0);
	line = strstr(heard, wanted);
	assert_non_null(line);
	assert_null(strstr(line + 1, wanted));
	free(heard);
}

SCENARIO(a_stopped_server_is_noticed)
{
	struct server own;
	struct long_graph l;
	struct program p;

	(void)unused;
	CHECK(server_start(&own, NULL));
	program_start(&p, own.socket);
	long_graph_make(&l, &p);
	server_stop(&own);
	CHECK(p.g.graph_compute(p.gpu, l.graph) == ABI_STATUS_FAILED);
	everything_fails_at_once(&p, &l);
}

/* As a device does that is reset: whatever is mapped of the host's memory can't be touched any more. It's
 * the system's doing: TSan would take mmap() for a write to it, in a race with all that touches it. */
static void blobs_vanish(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int nothing = memfd_create("nothing", MFD_CLOEXEC);
	char line[512];

	CHECK(maps && nothing >= 0);
	while (fgets(line, sizeof line, maps)) {
		unsigned long from, to;

		if (strstr(line, "apir-blob") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			CHECK(syscall(SYS_mmap, from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				      nothing, 0L) == (long)from);
	}
	fclose(maps);
	close(nothing);
}

/* As on a system that doesn't tell whether memory can be taken away. */
static void seals_untold(void)
{
	const struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_GET_SEALS, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	filter_thread(lines, ARRAY_SIZE(lines));
}

struct vanishing {
	long after_us;
	atomic_bool done;
};

static void *vanish_later(void *arg)
{
	struct vanishing *v = arg;

	usleep((useconds_t)v->after_us);
	blobs_vanish();
	v->done = true;
	return NULL;
}

/* Writes, graphs and reads, small and large, up to the end: each either works or is an error with zeros. */
static void works_until_it_vanishes(void *arg)
{
	struct vanishing *v = arg;
	const size_t large = (size_t)9 << 20;
	uint8_t *bytes = malloc(large);
	struct abi_buffer *buffer;
	struct abi_tensor *t;
	struct net gpu, cpu;
	struct program p;
	pthread_t thread;
	bool over;

	seals_untold();
	program_start(&p, server.socket);
	CHECK(!p.f.backend_dev_host_buffer_type(p.dev)); /* a program's own memory doesn't */
	net_make(&gpu, &p, p.gpu, 64, 2, 1);
	net_make(&cpu, &p, p.cpu, 64, 2, 1);
	t = p.g.new_tensor_4d(gpu.ctx, 0, (int64_t)(large / sizeof(float)), 1, 1, 1);
	buffer = p.f.backend_alloc_ctx_tensors(gpu.ctx, p.gpu);
	CHECK(buffer);
	CHECK(pthread_create(&thread, NULL, vanish_later, v) == 0);
	do {
		over = v->done;
		memset(bytes, 0x5a, large);
		p.g.tensor_set(t, bytes, 0, large);
		net_input(&gpu, &p, 2);
		(void)p.g.graph_compute(p.gpu, gpu.graph);
		p.g.tensor_get(t, bytes, 0, large);
		for (size_t i = 0; i < large; i++)
			CHECK(bytes[i] == 0x5a || bytes[i] == 0);
	} while (!over);
	CHECK(pthread_join(thread, NULL) == 0);
	graph_fails(&p, gpu.graph, gpu.output);
	all_is_zero(&p, t);
	CHECK(!p.g.buft_alloc_buffer(p.g.dev_buffer_type(p.dev), 4096));
	p.g.buffer_free(buffer);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
	free(bytes);
}

static void memory_that_vanishes_is_an_error_never_a_signal(void **state)
{
	(void)state;
	for (long round = 0; round < 20; round++) {
		struct vanishing v = { .after_us = round * round * 200 };

		assert_int_equal(child_run(works_until_it_vanishes, &v), 0);
	}
}

/* Our host seals what it makes: nobody can shrink it, whatever becomes of the host. */
SCENARIO(memory_that_nobody_can_take_away_needs_no_handler)
{
	struct sigaction before, now;
	struct net gpu, cpu;
	struct program p;

	(void)unused;
	CHECK(sigaction(SIGBUS, NULL, &before) == 0);
	nets_make(&gpu, &cpu, &p);
	CHECK(sigaction(SIGBUS, NULL, &now) == 0);
	CHECK(now.sa_handler == before.sa_handler && now.sa_flags == before.sa_flags);
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_worker_fails_the_graph_that_computes),
		cmocka_unit_test(a_killed_door_fails_the_graph_that_computes),
		cmocka_unit_test(a_killed_worker_is_noticed_by_the_next_call),
		cmocka_unit_test(a_lost_write_fails_the_next_graph),
		cmocka_unit_test(another_programs_killed_worker_is_nobodys_business),
		cmocka_unit_test(a_forked_child_fails_and_its_parent_goes_on),
		cmocka_unit_test(a_forked_child_keeps_nothing_of_its_parents),
		cmocka_unit_test(a_forked_child_that_asks_for_the_device_is_told_why_it_has_none),
		cmocka_unit_test(a_stopped_server_is_noticed),
		cmocka_unit_test(memory_that_vanishes_is_an_error_never_a_signal),
		cmocka_unit_test(memory_that_nobody_can_take_away_needs_no_handler),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
