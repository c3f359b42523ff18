/* SPDX-License-Identifier: MIT */
/*
 * The device's host buffer type: memory of the program's that the host copies straight from and to. The program sees no
 * difference to ggml's own CPU buffers, whatever happens to the host; what can't be had is such a one.
 */
#include "tests/guest/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "platform/memory.h"
#include "proto/util.h"
#include "tests/support/capture.h"
#include "tests/support/cgroup.h"

#define MIB   ((size_t)1 << 20)
#define LARGE (9 * MIB + 4) /* in several pieces, where it goes in pieces */

static union abi_buft *host_type(const struct program *p)
{
	union abi_buft *buft = p->f.backend_dev_host_buffer_type(p->dev);

	CHECK(buft);
	return buft;
}

/* Memory that both sides have. */
static struct abi_buffer *memory_make(const struct program *p, size_t size)
{
	struct abi_buffer *b = p->g.buft_alloc_buffer(host_type(p), size);

	CHECK(b && p->g.buffer_get_type(b) == host_type(p) && p->g.buffer_get_size(b) == size);
	return b;
}

static uint8_t *memory_of(const struct program *p, struct abi_buffer *b)
{
	return p->g.buffer_get_base(b);
}

/* Bytes on the device. */
struct remote {
	struct abi_context *ctx;
	struct abi_buffer *buffer;
	struct abi_tensor *t;
};

static void remote_make(struct remote *r, const struct program *p, size_t size)
{
	r->ctx = program_context(p);
	r->t = p->g.new_tensor_4d(r->ctx, 0, (int64_t)(size / 4), 1, 1, 1);
	r->buffer = p->f.backend_alloc_ctx_tensors(r->ctx, p->gpu);
	CHECK(r->buffer);
}

static void remote_free(const struct remote *r, const struct program *p)
{
	p->g.buffer_free(r->buffer);
	p->g.free(r->ctx);
}

/* Others with each round. */
static void pattern_fill(uint8_t *bytes, size_t n, uint32_t round)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256 + round * 31);
}

static void is_pattern(const uint8_t *bytes, size_t n, uint32_t round)
{
	for (size_t i = 0; i < n; i++)
		CHECK(bytes[i] == (uint8_t)(i * 7 + i / 256 + round * 31));
}

static void all_are(const uint8_t *bytes, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++)
		CHECK(bytes[i] == value);
}

/* So much is mapped of what this program and the host share. */
static int blobs_mapped(void)
{
	char *maps = file_text("/proc/self/maps");
	int n = 0;

	CHECK(maps);
	for (const char *at = maps; (at = strstr(at, "apir-blob")); at++)
		n++;
	free(maps);
	return n;
}

static const struct program *in_host_memory;

static struct abi_buffer *alloc_in_host_memory(struct abi_context *ctx, struct abi_backend *unused)
{
	(void)unused;
	return in_host_memory->f.backend_alloc_ctx_tensors_from_buft(ctx, host_type(in_host_memory));
}

SCENARIO(ggmls_own_cpu_computes_in_it_as_in_its_own_memory)
{
	struct program p, there;
	struct net shared, own;
	union abi_buft *buft;
	struct abi_props props;
	struct abi_buffer *b;

	(void)unused;
	program_start(&p, server.socket);
	buft = host_type(&p);
	p.g.dev_get_props(p.dev, &props);
	CHECK(props.host_buffer);
	CHECK(!strcmp(p.g.buft_name(buft), "VirtGPU0_Host"));
	CHECK(p.g.buft_is_host(buft) && p.g.buft_get_alignment(buft) == p.g.buft_get_alignment(p.g.cpu_buffer_type()));
	CHECK(!p.f.backend_dev_supports_buft(p.dev, buft));
	CHECK(p.f.backend_dev_supports_buft(p.g.reg_dev_get(p.cpu_reg, 0), buft));
	b = memory_make(&p, MIB + 1);
	CHECK((uintptr_t)memory_of(&p, b) % p.g.buft_get_alignment(buft) == 0 && p.g.buffer_is_host(b));
	all_are(memory_of(&p, b), MIB + 1, 0);
	p.g.buffer_clear(b, 0x5a);
	all_are(memory_of(&p, b), MIB + 1, 0x5a);
	p.g.buffer_free(b);

	there = p;
	there.f.backend_alloc_ctx_tensors = alloc_in_host_memory;
	in_host_memory = &p;
	net_make(&shared, &there, p.cpu, 64, 4, 1);
	net_make(&own, &p, p.cpu, 64, 4, 1);
	CHECK(p.g.buffer_get_type(shared.buffer) == buft);
	for (uint32_t i = 0; i < 5; i++) {
		net_input(&shared, &p, i);
		net_input(&own, &p, i);
		nets_agree(&shared, p.cpu, &own, p.cpu, &p);
	}
	net_free(&shared, &p);
	net_free(&own, &p);
	program_end(&p);
}

SCENARIO(what_is_set_from_it_is_what_was_there_then)
{
	static const size_t sizes[] = { 4, 600, 70000, 5 * MIB, LARGE }, places[] = { 0, 1, 4099 };
	struct abi_buffer *b;
	struct remote r;
	struct program p;
	uint8_t *m, *got = malloc(LARGE);
	uint32_t round = 0;

	(void)unused;
	CHECK(got);
	program_start(&p, server.socket);
	remote_make(&r, &p, LARGE);
	b = memory_make(&p, LARGE + 8192);
	m = memory_of(&p, b);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
			pattern_fill(m + places[k], sizes[i], ++round);
			p.g.tensor_set(r.t, m + places[k], 0, sizes[i]);
			memset(m, 0xee, LARGE + 8192);
			p.g.tensor_get(r.t, got, 0, sizes[i]);
			is_pattern(got, sizes[i], round);
		}
	}
	/* A part of it, to a part of the tensor; asynchronously it is no other. */
	pattern_fill(m + 777, 5000, 99);
	p.gpu->iface.set_tensor_async(p.gpu, r.t, m + 777, 1000, 5000);
	memset(m, 0xee, LARGE);
	p.g.tensor_get(r.t, got, 1000, 5000);
	is_pattern(got, 5000, 99);
	p.g.buffer_free(b);
	remote_free(&r, &p);
	program_end(&p);
	free(got);
}

/* Nothing beside it, and through no other memory: so many pieces would have needed more of that. */
SCENARIO(what_is_read_into_it_comes_there_and_nowhere_else)
{
	static const size_t sizes[] = { 4, 600, 70000, 5 * MIB, LARGE }, places[] = { 1, 64, 4099 };
	struct abi_buffer *b;
	struct remote r;
	struct program p;
	uint8_t *m, *bytes = malloc(LARGE);
	int blobs;

	(void)unused;
	CHECK(bytes);
	program_start(&p, server.socket);
	remote_make(&r, &p, LARGE);
	b = memory_make(&p, LARGE + 3 * 4096);
	m = memory_of(&p, b);
	pattern_fill(bytes, LARGE, 3);
	pattern_fill(m, LARGE, 3);
	p.gpu->iface.get_tensor_async(p.gpu, r.t, m + LARGE, 0, 4); /* what an answer takes is there */
	p.g.synchronize(p.gpu);
	blobs = blobs_mapped();
	p.g.tensor_set(r.t, m, 0, LARGE);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < 2 * ARRAY_SIZE(places); k++) {
			uint8_t *at = m + places[k / 2];

			memset(m, 0xee, LARGE + 3 * 4096);
			if (k % 2)
				p.g.tensor_get(r.t, at, 0, sizes[i]);
			else
				p.g.tensor_get_async(p.gpu, r.t, at, 0, sizes[i]);
			p.g.synchronize(p.gpu);
			CHECK(!memcmp(at, bytes, sizes[i]));
			all_are(m, (size_t)(at - m), 0xee);
			all_are(at + sizes[i], 4096, 0xee);
		}
	}
	CHECK(blobs_mapped() == blobs);
	p.g.tensor_get(r.t, bytes, 0, LARGE); /* as it goes through this */
	CHECK(blobs_mapped() > blobs);
	p.g.buffer_free(b);
	remote_free(&r, &p);
	program_end(&p);
	free(bytes);
}

#define BORDERED ((size_t)64 << 10)
#define PAGE     ((size_t)4096)

static bool page_make(uint8_t *at)
{
	uint8_t *got = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return got == at;
}

/* What lies within such memory from `m` on, or up to there, and beyond in a page of the program's own. */
static void border_cross(const struct remote *r, const struct program *p, uint8_t *m, size_t n)
{
	uint8_t got[2000];

	CHECK(n == sizeof got);
	for (uint32_t before = 0; before <= n; before += 250) {
		pattern_fill(m - before, n, before);
		p->g.tensor_set(r->t, m - before, 0, n);
		memset(m - before, 0xee, n);
		p->g.tensor_get(r->t, got, 0, n);
		is_pattern(got, n, before);
		p->g.tensor_get(r->t, m - before, 0, n);
		is_pattern(m - before, n, before);
		memset(m - before, 0xee, n);
		p->g.tensor_get_async(p->gpu, r->t, m - before, 0, n);
		p->g.synchronize(p->gpu);
		is_pattern(m - before, n, before);
	}
}

/* The system maps them one below the other, once the gaps that it finds are full: what lay above one is free when that has gone,
 * and below the last nothing lies. */
SCENARIO(what_lies_within_it_only_in_part_travels_whole)
{
	enum { N = 2000, MANY = 60 };
	bool in_front = false, behind = false;
	struct abi_buffer *all[MANY];
	struct remote r;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, N);
	for (int i = 0; i < MANY; i++)
		all[i] = memory_make(&p, BORDERED);
	for (int i = MANY - 1; i > 0; i -= 2) {
		uint8_t *m = memory_of(&p, all[i]);

		p.g.buffer_free(all[i - 1]);
		if (!in_front && page_make(m - PAGE)) {
			border_cross(&r, &p, m, N);
			in_front = true;
		}
		if (!behind && page_make(m + BORDERED)) {
			border_cross(&r, &p, m + BORDERED, N);
			behind = true;
		}
		p.g.buffer_free(all[i]);
	}
	CHECK(in_front && behind);
	remote_free(&r, &p);
	program_end(&p);
}

/* Whoever has the addresses next keeps what he wrote there. */
SCENARIO(it_may_be_freed_while_it_is_read_into)
{
	struct remote r;
	struct net n;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, LARGE);
	net_make(&n, &p, p.gpu, 256, 8, 1);
	for (uint32_t i = 0; i < 20; i++) {
		struct abi_buffer *b = memory_make(&p, LARGE);
		uint8_t *m = memory_of(&p, b), *next;

		net_input(&n, &p, i);
		CHECK(p.g.graph_compute_async(p.gpu, n.graph) == ABI_STATUS_SUCCESS);
		p.g.tensor_get_async(p.gpu, r.t, m, 0, LARGE);
		p.g.tensor_get_async(p.gpu, n.output, m + 5, 0, 64);
		p.g.buffer_free(b);
		next = mmap(m, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		CHECK(next == m);
		memset(next, 0x77, LARGE);
		p.g.synchronize(p.gpu);
		p.g.tensor_get(r.t, next, 0, 4);
		all_are(next + 4, LARGE - 4, 0x77);
		CHECK(munmap(next, LARGE) == 0);
	}
	net_free(&n, &p);
	remote_free(&r, &p);
	program_end(&p);
}

/* In order, whoever it is: while one stream computes others read, into places of their own. */
#define READERS 4
#define READS   50

struct reader {
	const struct program *p;
	const struct remote *r;
	uint8_t *at;
	size_t size;
};

static void *read_repeatedly(void *arg)
{
	const struct reader *me = arg;
	struct abi_backend *stream = me->p->g.dev_init(me->p->dev, NULL);

	CHECK(stream);
	for (int i = 0; i < READS; i++) {
		memset(me->at, 0xee, me->size);
		me->p->g.tensor_get_async(stream, me->r->t, me->at, 0, me->size);
		me->p->g.synchronize(stream);
		is_pattern(me->at, me->size, 5);
		me->p->g.tensor_set(me->r->t, me->at, 0, me->size); /* what is there already */
		me->p->g.buffer_free(memory_make(me->p, 4096));
	}
	me->p->g.backend_free(stream);
	return NULL;
}

SCENARIO(threads_read_into_it_at_once)
{
	const size_t size = 300000;
	struct reader readers[READERS];
	pthread_t threads[READERS];
	struct abi_buffer *b;
	struct remote r;
	struct program p;
	uint8_t *m;

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, size);
	b = memory_make(&p, READERS * size);
	m = memory_of(&p, b);
	pattern_fill(m, size, 5);
	p.g.tensor_set(r.t, m, 0, size);
	for (size_t i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ &p, &r, m + i * size, size };
		CHECK(pthread_create(&threads[i], NULL, read_repeatedly, &readers[i]) == 0);
	}
	for (size_t i = 0; i < READERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	p.g.buffer_free(b);
	remote_free(&r, &p);
	program_end(&p);
}

static void worker_kill(void)
{
	pid_t worker = server_worker(&server);

	CHECK(worker > 1 && kill(worker, SIGKILL) == 0);
	CHECK(process_ends(worker, 5000));
}

SCENARIO(what_a_killed_host_does_not_send_is_zeros_and_the_memory_stays)
{
	struct abi_buffer *b;
	struct remote r;
	struct program p;
	uint8_t *m;

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, MIB);
	b = memory_make(&p, 2 * MIB);
	m = memory_of(&p, b);
	pattern_fill(m, MIB, 1);
	p.g.tensor_set(r.t, m, 0, MIB);
	memset(m, 0xee, 2 * MIB);
	CHECK(kill(server_worker(&server), SIGSTOP) == 0);
	p.g.tensor_get_async(p.gpu, r.t, m + 1, 0, MIB);
	worker_kill();
	p.g.synchronize(p.gpu);
	all_are(m + 1, MIB, 0);
	memset(m, 0xee, 2 * MIB);
	p.g.tensor_get(r.t, m + 1, 0, MIB);
	all_are(m + 1, MIB, 0);
	memset(m, 0xee, 2 * MIB);
	p.g.tensor_get_async(p.gpu, r.t, m + 1, 0, MIB);
	p.g.synchronize(p.gpu);
	all_are(m + 1, MIB, 0);
	CHECK(m[0] == 0xee && m[MIB + 1] == 0xee);
	p.g.tensor_set(r.t, m, 0, MIB);
	p.g.buffer_free(b);
	/* The type is there as before; what it gives is ggml's own. */
	b = p.g.buft_alloc_buffer(host_type(&p), MIB);
	CHECK(b && p.g.buffer_get_type(b) == p.g.cpu_buffer_type());
	p.g.buffer_free(b);
	remote_free(&r, &p);
	program_end(&p);
}

/* As above, by a read that fails. */
SCENARIO(it_may_be_freed_while_a_killed_host_should_have_written_there)
{
	struct abi_buffer *b;
	struct remote r;
	struct program p;
	uint8_t *m, *next;

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, MIB);
	b = memory_make(&p, MIB);
	m = memory_of(&p, b);
	p.g.tensor_set(r.t, m, 0, MIB);
	CHECK(kill(server_worker(&server), SIGSTOP) == 0);
	p.g.tensor_get_async(p.gpu, r.t, m, 0, MIB);
	worker_kill();
	p.g.buffer_free(b);
	next = mmap(m, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(next == m);
	memset(next, 0x77, MIB);
	p.g.synchronize(p.gpu);
	all_are(next, MIB, 0x77);
	remote_free(&r, &p);
	program_end(&p);
}

static bool own_end(const struct program *p, size_t size)
{
	struct abi_buffer *b = p->g.buft_alloc_buffer(host_type(p), size);
	bool own = b && p->g.buffer_get_type(b) == p->g.cpu_buffer_type();

	CHECK(b);
	memory_of(p, b)[0] = 1;
	memory_of(p, b)[size - 1] = 2;
	p->g.buffer_free(b);
	return own;
}

static void program_computes(const struct program *p)
{
	struct net gpu, cpu;

	net_make(&gpu, p, p->gpu, 64, 4, 1);
	net_make(&cpu, p, p->cpu, 64, 4, 1);
	for (uint32_t i = 0; i < 3; i++) {
		net_input(&gpu, p, i);
		net_input(&cpu, p, i);
		nets_agree(&gpu, p->gpu, &cpu, p->cpu, p);
	}
	net_free(&gpu, p);
	net_free(&cpu, p);
}

static void run_with_too_large_ones(void *unused)
{
	struct abi_buffer *a, *b;
	struct memory there;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	CHECK(own_end(&p, 256 * MIB + 1));
	if (memory_look(&there) && there.total / 8 < 512 * MIB)
		return; /* less is too large here: see run_in_a_group() */
	a = memory_make(&p, 256 * MIB);
	b = memory_make(&p, 250 * MIB);
	CHECK(own_end(&p, 7 * MIB));
	CHECK(!own_end(&p, 6 * MIB));
	p.g.buffer_free(a);
	CHECK(!own_end(&p, 7 * MIB));
	p.g.buffer_free(b);
	program_computes(&p);
	program_end(&p);
}

static void run_with_a_limited_host(void *unused)
{
	const struct rlimit r = { MIB, MIB };
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	CHECK(!own_end(&p, 2 * MIB));
	CHECK(prlimit(server_door(&server), RLIMIT_FSIZE, &r, NULL) == 0);
	CHECK(own_end(&p, 2 * MIB));
	CHECK(!own_end(&p, MIB / 2));
	program_computes(&p);
	program_end(&p);
}

/* As many as it likes: what the program's graphs need is left. */
static void run_with_many(void *unused)
{
	enum { MANY = 2000 };
	static struct abi_buffer *all[MANY];
	const struct rlimit files = { 1024, 1024 }; /* as a service may have */
	struct server usual;
	struct remote r;
	struct program p;
	uint8_t *bytes = malloc(LARGE);

	(void)unused;
	CHECK(bytes && setrlimit(RLIMIT_NOFILE, &files) == 0);
	CHECK(server_start(&usual, NULL));
	program_start(&p, usual.socket);
	for (int i = 0; i < MANY; i++) {
		all[i] = p.g.buft_alloc_buffer(host_type(&p), 512);
		CHECK(all[i]);
		memset(memory_of(&p, all[i]), i, 512);
	}
	program_computes(&p);
	remote_make(&r, &p, LARGE);
	pattern_fill(bytes, LARGE, 1);
	p.g.tensor_set(r.t, bytes, 0, LARGE);
	memset(bytes, 0xee, LARGE);
	p.g.tensor_get(r.t, bytes, 0, LARGE);
	is_pattern(bytes, LARGE, 1);
	free(bytes);
	remote_free(&r, &p);
	for (int i = 0; i < MANY; i++) {
		all_are(memory_of(&p, all[i]), 512, (uint8_t)i);
		p.g.buffer_free(all[i]);
	}
	CHECK(!own_end(&p, MIB));
	program_end(&p);
	server_stop(&usual);
}

/* A host of little memory, in the same group. */
static void run_in_a_group(void *group)
{
	static struct abi_buffer *all[200];
	struct server little;
	struct program p;
	int n = 0;

	CHECK(cgroup_enter(group));
	CHECK(server_start(&little, NULL));
	program_start(&p, little.socket);
	for (size_t size = 32 * MIB; size >= 16384; size /= 2) {
		while (!own_end(&p, size))
			all[n++] = memory_make(&p, size);
	}
	CHECK(n > 0);
	program_computes(&p);
	while (n)
		p.g.buffer_free(all[--n]);
	program_end(&p);
	server_stop(&little);
}

static void run_quietly_with(void (*run)(void *), void *arg)
{
	char *heard;
	int status = child_run_heard(run, arg, &heard);

	if (status || strstr(heard, "shared memory") || strstr(heard, "not done"))
		fail_msg("status %d, heard: %s", status, heard);
	free(heard);
}

static void run_quietly(void (*run)(void *))
{
	run_quietly_with(run, NULL);
}

static void what_is_too_large_is_one_of_ggmls_own_without_a_word(void **state)
{
	(void)state;
	run_quietly(run_with_too_large_ones);
}

static void what_the_host_has_no_memory_for_is_one_of_ggmls_own_without_a_word(void **state)
{
	(void)state;
	run_quietly(run_with_a_limited_host);
}

static void many_leave_the_memory_that_everything_else_needs(void **state)
{
	(void)state;
	run_quietly(run_with_many);
}

static void where_there_is_little_memory_they_take_little_of_it(void **state)
{
	struct cgroup group;

	(void)state;
	if (!cgroup_make(&group, 512 * MIB)) {
		print_message("no cgroups of memory here that we may make\n");
		skip();
	}
	run_quietly_with(run_in_a_group, &group);
	cgroup_remove(&group);
}

SCENARIO(plain_apir_has_none)
{
	struct abi_props props;
	struct program p;

	(void)unused;
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	program_start(&p, server.socket);
	CHECK(!p.f.backend_dev_host_buffer_type(p.dev));
	p.g.dev_get_props(p.dev, &props);
	CHECK(!props.host_buffer);
	program_computes(&p);
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

/* By what the host's refusal is told with: within a call of the same thread, as a signal handler's. */
SCENARIO(it_may_be_freed_within_a_call)
{
	struct remote r;
	struct program p;
	float v[2];

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, 4096);
	victim = memory_make(&p, MIB);
	p.g.tensor_get_async(p.gpu, r.t, memory_of(&p, victim), 0, 4096);
	p.g.log_set(on_line, &p);
	r.buffer->iface.get_tensor(r.buffer, r.t, v, (size_t)1 << 30, sizeof v);
	p.g.log_set(NULL, NULL);
	CHECK(!victim);
	p.g.synchronize(p.gpu);
	CHECK(!own_end(&p, MIB));
	program_computes(&p);
	remote_free(&r, &p);
	program_end(&p);
}

SCENARIO(a_forked_child_may_free_it_and_its_parent_keeps_it)
{
	struct abi_buffer *b;
	struct remote r;
	struct program p;
	uint8_t *m;
	pid_t pid;

	(void)unused;
	program_start(&p, server.socket);
	remote_make(&r, &p, MIB);
	b = memory_make(&p, MIB);
	m = memory_of(&p, b);
	pattern_fill(m, MIB, 1);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		p.g.buffer_free(b);
		CHECK(own_end(&p, MIB));
		_exit(0);
	}
	CHECK(child_end(pid) == 0);
	is_pattern(m, MIB, 1);
	p.g.tensor_set(r.t, m, 0, MIB);
	memset(m, 0xee, MIB);
	p.g.tensor_get(r.t, m, 0, MIB);
	is_pattern(m, MIB, 1);
	p.g.buffer_free(b);
	remote_free(&r, &p);
	program_end(&p);
}

/* The host computes, but fails a graph whose input says so (wrap_refusing of wrap_ggml.c). */
SCENARIO(what_a_lost_graph_should_have_written_is_read_as_zeros)
{
	enum { N = 64 };
	static const float refused[N] = { 666 }, fine[N] = { 1 };
	struct abi_graph *graph;
	struct abi_buffer *b, *buffer;
	struct abi_context *ctx;
	struct abi_tensor *x, *y;
	struct server refusing;
	struct program p;
	float *m;

	(void)unused;
	CHECK(server_start_on(&refusing, test_path("TEST_WRAP"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_refusing"));
	program_start(&p, refusing.socket);
	ctx = program_context(&p);
	x = p.g.new_tensor_4d(ctx, 0, N, 1, 1, 1);
	y = p.f.scale(ctx, x, 11);
	graph = p.f.new_graph(ctx);
	p.f.build_forward_expand(graph, y);
	buffer = p.f.backend_alloc_ctx_tensors(ctx, p.gpu);
	CHECK(buffer);
	b = memory_make(&p, MIB);
	m = p.g.buffer_get_base(b);
	for (int asynchronously = 0; asynchronously < 2; asynchronously++) {
		p.g.tensor_set(x, fine, 0, sizeof fine);
		CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
		p.g.tensor_get_async(p.gpu, y, m, 0, N * sizeof *m);
		p.g.synchronize(p.gpu);
		CHECK(m[0] == 11);
		p.g.tensor_set(x, refused, 0, sizeof refused);
		CHECK(p.gpu->iface.graph_compute(p.gpu, graph) == ABI_STATUS_SUCCESS);
		memset(m, 0xee, N * sizeof *m);
		if (asynchronously)
			p.g.tensor_get_async(p.gpu, y, m, 0, N * sizeof *m);
		else
			p.g.tensor_get(y, m, 0, N * sizeof *m);
		p.g.synchronize(p.gpu);
		all_are((uint8_t *)m, N * sizeof *m, 0);
		CHECK(p.g.graph_compute(p.gpu, graph) == ABI_STATUS_FAILED); /* told */
	}
	p.g.buffer_free(b);
	p.g.buffer_free(buffer);
	p.g.free(ctx);
	program_end(&p);
	server_stop(&refusing);
}

/* By a driver of the tests' own, beside a library that calls itself CUDA. */
SCENARIO(where_the_device_can_it_copies_straight_from_and_to_it)
{
	struct abi_buffer *b;
	struct server cuda;
	struct remote r;
	struct program p;
	uint8_t *m, *got = malloc(8 * MIB);

	(void)unused;
	CHECK(got);
	setenv("LD_LIBRARY_PATH", test_path("TEST_CUDA_FAKE"), 1);
	CHECK(server_start_on(&cuda, test_path("TEST_WRAP"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=wrap_cuda"));
	program_start(&p, cuda.socket);
	remote_make(&r, &p, 8 * MIB);
	for (uint32_t round = 0; round < 3; round++) {
		b = memory_make(&p, 8 * MIB);
		m = memory_of(&p, b);
		pattern_fill(m, 8 * MIB, round);
		p.g.tensor_set(r.t, m, 0, 8 * MIB);
		p.g.tensor_get(r.t, got, 0, 8 * MIB);
		is_pattern(got, 8 * MIB, round);
		memset(m, 0xee, 8 * MIB);
		p.g.tensor_get_async(p.gpu, r.t, m, 0, 8 * MIB);
		p.g.synchronize(p.gpu);
		is_pattern(m, 8 * MIB, round);
		p.g.buffer_free(b);
	}
	program_computes(&p);
	CHECK(server_said(&cuda, "cuda: pinned 8388608") && server_said(&cuda, "cuda: unpinned 8388608"));
	CHECK(!strstr(cuda.said, "cuda: wrong"));
	remote_free(&r, &p);
	program_end(&p);
	server_stop(&cuda);
	free(got);
}

#define PIECES 4

/* As llama.cpp loads a model that it doesn't map: piece after piece through a few host buffers, each written again once its event
 * is over. */
SCENARIO(pieces_are_uploaded_while_others_are_written)
{
	struct abi_buffer *memory[PIECES];
	struct abi_event *events[PIECES];
	uint8_t *back = malloc(32 * MIB);
	struct program p;
	struct remote r;

	(void)unused;
	program_start(&p, server.socket);
	CHECK(back);
	for (int i = 0; i < PIECES; i++) {
		memory[i] = memory_make(&p, MIB);
		events[i] = p.f.backend_event_new(p.dev);
		CHECK(events[i]);
	}
	remote_make(&r, &p, 32 * MIB);
	for (uint32_t n = 0; n < 32; n++) {
		p.f.backend_event_synchronize(events[n % PIECES]);
		pattern_fill(memory_of(&p, memory[n % PIECES]), MIB, n);
		p.f.backend_tensor_set_async(p.gpu, r.t, memory_of(&p, memory[n % PIECES]), n * MIB, MIB);
		p.f.backend_event_record(events[n % PIECES], p.gpu);
	}
	p.g.synchronize(p.gpu);
	p.g.tensor_get(r.t, back, 0, 32 * MIB);
	for (uint32_t n = 0; n < 32; n++)
		is_pattern(back + n * MIB, MIB, n);
	for (int i = 0; i < PIECES; i++) {
		p.f.backend_event_free(events[i]);
		p.g.buffer_free(memory[i]);
	}
	remote_free(&r, &p);
	free(back);
	program_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_uploaded_while_others_are_written),
		cmocka_unit_test(ggmls_own_cpu_computes_in_it_as_in_its_own_memory),
		cmocka_unit_test(what_is_set_from_it_is_what_was_there_then),
		cmocka_unit_test(what_is_read_into_it_comes_there_and_nowhere_else),
		cmocka_unit_test(what_lies_within_it_only_in_part_travels_whole),
		cmocka_unit_test(it_may_be_freed_while_it_is_read_into),
		cmocka_unit_test(threads_read_into_it_at_once),
		cmocka_unit_test(what_a_killed_host_does_not_send_is_zeros_and_the_memory_stays),
		cmocka_unit_test(it_may_be_freed_while_a_killed_host_should_have_written_there),
		cmocka_unit_test(what_is_too_large_is_one_of_ggmls_own_without_a_word),
		cmocka_unit_test(what_the_host_has_no_memory_for_is_one_of_ggmls_own_without_a_word),
		cmocka_unit_test(many_leave_the_memory_that_everything_else_needs),
		cmocka_unit_test(where_there_is_little_memory_they_take_little_of_it),
		cmocka_unit_test(plain_apir_has_none),
		cmocka_unit_test(it_may_be_freed_within_a_call),
		cmocka_unit_test(a_forked_child_may_free_it_and_its_parent_keeps_it),
		cmocka_unit_test(what_a_lost_graph_should_have_written_is_read_as_zeros),
		cmocka_unit_test(where_the_device_can_it_copies_straight_from_and_to_it),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
