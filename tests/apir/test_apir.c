/* SPDX-License-Identifier: MIT */
/* The APIR component with the real worker: its promises to doors. */
#include "tests/support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apir/link.h"
#include "platform/memory.h"
#include "proto/apir_wire.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"
#include "tests/support/host.h"
#include "tests/support/process.h"

static struct host *h;

static int open_plain(void **state)
{
	(void)state;
	h = host_open(NULL, HOST_BARE);
	return h ? 0 : -1;
}

static int close_host(void **state)
{
	(void)state;
	host_close(h);
	h = NULL;
	return 0;
}

static void unknown_and_taken_ids_are_refused(void **state)
{
	uint64_t size;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 0, "zero"), -EEXIST);
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	assert_int_equal(apir_context_create(h->apir, 1, "again"), -EEXIST);
	assert_int_equal(apir_submit(h->apir, 2, 0, "", 1), -ENOENT);
	assert_int_equal(apir_fence(h->apir, 2, 0, 1), -ENOENT);
	assert_int_equal(apir_blob_create(h->apir, 0, 4096), -EINVAL);
	assert_int_equal(apir_blob_create(h->apir, 5, 0), -EINVAL);
	assert_int_equal(apir_blob_create(h->apir, 5, UINT64_MAX), -EINVAL); /* rounding it up wraps */
	assert_int_equal(apir_blob_create(h->apir, 5, 4096), 0);
	assert_int_equal(apir_blob_create(h->apir, 5, 4096), -EEXIST);
	assert_int_equal(apir_blob_fd(h->apir, 6, &size), -ENOENT);
	assert_int_equal(apir_blob_attach(h->apir, 1, 6), -ENOENT);
	assert_int_equal(apir_blob_attach(h->apir, 2, 5), -ENOENT);
	assert_int_equal(apir_blob_detach(h->apir, 1, 6), -ENOENT);
	assert_int_equal(apir_blob_unref(h->apir, 6), -ENOENT);
	assert_int_equal(apir_submit(h->apir, 1, 0, "", APIR_CMD_MAX + 1), -EMSGSIZE);
	apir_context_destroy(h->apir, 9);
	assert_true(host_fence(h, 1));
}

static void a_missing_worker_is_an_error_of_the_context(void **state)
{
	struct apir_options opt = { .worker = "/nowhere/ggml-virtgpu-worker" };
	static const struct apir_listener deaf;
	struct apir *a;

	(void)state;
	assert_int_equal(apir_create(&a, &opt, &deaf, NULL), 0);
	assert_int_equal(apir_context_create(a, 1, "one"), -ENOENT);
	assert_int_equal(apir_submit(a, 1, 0, "", 1), -ENOENT);
	assert_int_equal(apir_context_create(a, 1, "one"), -ENOENT); /* the id is free again */
	apir_destroy(a);
}

static void blobs_are_sealed(void **state)
{
	uint64_t size = 0;
	char *p;
	int fd;

	(void)state;
	assert_int_equal(apir_blob_create(h->apir, 1, 10000), 0);
	fd = apir_blob_fd(h->apir, 1, &size);
	assert_true(fd >= 0);
	assert_int_equal(size, 12288);
	errno = 0;
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	errno = 0;
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(errno, EPERM);
	errno = 0;
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	for (uint64_t i = 0; i < size; i++)
		assert_int_equal(p[i], 0);
	p[size - 1] = 1;
	munmap(p, size);
}

static void quotas_hold(void **state)
{
	struct apir_limits limits = { .blob_bytes = 1 << 20, .blobs = 4, .contexts = 2 };
	struct host *q = host_open(&limits, HOST_BARE);

	(void)state;
	assert_non_null(q);
	assert_int_equal(apir_blob_create(q->apir, 1, (1 << 20) + 1), -EDQUOT);
	assert_int_equal(apir_blob_create(q->apir, 1, UINT64_C(1) << 62), -EDQUOT);
	assert_int_equal(apir_blob_create(q->apir, 1, 1 << 20), 0);
	assert_int_equal(apir_blob_create(q->apir, 2, 1), -EDQUOT);
	assert_int_equal(apir_blob_unref(q->apir, 1), 0);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(apir_blob_create(q->apir, i, 4096), 0);
	assert_int_equal(apir_blob_create(q->apir, 5, 4096), -EDQUOT);
	assert_int_equal(apir_context_create(q->apir, 1, "one"), 0);
	assert_int_equal(apir_context_create(q->apir, 2, "two"), 0);
	assert_int_equal(apir_context_create(q->apir, 3, "three"), -EDQUOT);
	assert_true(host_fence(q, 1) && host_fence(q, 2));
	host_close(q);
}

/* While its worker doesn't look, what a guest gives up waits in the worker's socket, alive. */
static void what_was_given_up_counts_until_its_worker_let_go(void **state)
{
	struct apir_limits limits = { .blob_bytes = 1 << 20 };
	struct host *q = host_open(&limits, HOST_BARE);
	int made = 0;
	pid_t first;

	(void)state;
	assert_non_null(q);
	assert_int_equal(apir_context_create(q->apir, 1, "one"), 0);
	assert_true(host_fence(q, 1));
	kill(host_worker(q), SIGSTOP);
	while (made < 20 && apir_blob_create(q->apir, 1, 1 << 20) == 0) {
		assert_int_equal(apir_blob_attach(q->apir, 1, 1), 0);
		if (made % 2)
			assert_int_equal(apir_blob_detach(q->apir, 1, 1), 0);
		assert_int_equal(apir_blob_unref(q->apir, 1), 0);
		made++;
	}
	kill(host_worker(q), SIGCONT);
	assert_int_equal(made, 2);
	assert_int_equal(apir_fence(q->apir, 1, UINT32_MAX - 1, 1), -EINVAL);
	/* It hears of all, and there is room again, as often as one likes. */
	for (int i = 0; i < 5; i++) {
		assert_true(host_fence(q, 1));
		assert_int_equal(apir_blob_create(q->apir, 1, 1 << 20), 0);
		assert_int_equal(apir_blob_attach(q->apir, 1, 1), 0);
		assert_int_equal(apir_blob_unref(q->apir, 1), 0);
	}
	/* So it is with a context that is to go, until it is gone. */
	assert_true(host_fence(q, 1));
	assert_int_equal(apir_blob_create(q->apir, 1, 1 << 20), 0);
	assert_int_equal(apir_blob_attach(q->apir, 1, 1), 0);
	first = host_worker(q);
	kill(first, SIGSTOP);
	apir_context_destroy(q->apir, 1);
	assert_int_equal(apir_blob_unref(q->apir, 1), 0);
	assert_int_equal(apir_blob_create(q->apir, 1, 1 << 20), 0);
	assert_int_equal(apir_context_create(q->apir, 2, "two"), 0);
	assert_int_equal(apir_blob_attach(q->apir, 2, 1), 0);
	kill(host_worker(q), SIGSTOP);
	assert_int_equal(apir_blob_unref(q->apir, 1), 0);
	assert_int_equal(apir_blob_create(q->apir, 1, 1 << 20), -EDQUOT);
	kill(first, SIGKILL);
	kill(host_worker(q), SIGKILL);
	assert_true(host_loses(q, 2));
	for (int i = 0; i < 500 && apir_blob_create(q->apir, 1, 1 << 20); i++)
		host_step(q, 20);
	assert_int_equal(apir_blob_create(q->apir, 1, 1 << 20), -EEXIST);
	host_close(q);
}

/* A guest that makes its buffers of blobs and frees none has many: what ends that is the memory. */
static void many_small_blobs_are_bounded_by_their_bytes(void **state)
{
	const uint32_t n = 4096, size = 16384;
	struct apir_limits limits = { .blob_bytes = (uint64_t)n * size };
	struct rlimit files;
	struct host *q;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	if (files.rlim_max < 4 * n || setrlimit(RLIMIT_NOFILE, &files) < 0) {
		print_message("this needs %u descriptors\n", 4 * n);
		skip();
	}
	q = host_open(&limits, HOST_BARE);
	assert_non_null(q);
	assert_int_equal(apir_context_create(q->apir, 1, "one"), 0);
	for (uint32_t i = 1; i <= n; i++)
		assert_int_equal(apir_blob_create(q->apir, i, size), 0);
	assert_int_equal(apir_blob_create(q->apir, n + 1, 1), -EDQUOT);
	assert_true(host_fence(q, 1)); /* the context is alive */
	/* any of them can go and come again */
	for (uint32_t i = 1; i <= n; i += 3) {
		assert_int_equal(apir_blob_unref(q->apir, i), 0);
		assert_int_equal(apir_blob_unref(q->apir, i), -ENOENT);
	}
	for (uint32_t i = 1; i <= n; i++)
		assert_int_equal(apir_blob_create(q->apir, i, size), i % 3 == 1 ? 0 : -EEXIST);
	assert_int_equal(apir_blob_create(q->apir, n + 1, 1), -EDQUOT);
	host_close(q);
}

static void fences_are_done_in_order(void **state)
{
	const size_t n = 2000;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	for (uint64_t i = 1; i <= n; i++)
		assert_int_equal(apir_fence(h->apir, 1, (uint32_t)(i % 3), i * 10), 0);
	h->last_fence = n * 10;
	assert_true(host_fence(h, 1));
	assert_int_equal(h->n_done, n + 1);
	for (uint64_t i = 1; i <= n; i++) {
		assert_int_equal(h->done[i - 1].fence, i * 10);
		assert_int_equal(h->done[i - 1].ring, i % 3);
		assert_int_equal(h->done[i - 1].ctx, 1);
	}
}

static void a_killed_worker_costs_its_own_context_only(void **state)
{
	pid_t first;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	first = host_worker(h);
	assert_true(first > 0);
	assert_int_equal(apir_context_create(h->apir, 2, "two"), 0);
	assert_true(host_fence(h, 1) && host_fence(h, 2));

	kill(first, SIGSTOP);
	h->n_done = 0;
	for (uint64_t i = 101; i <= 110; i++)
		assert_int_equal(apir_fence(h->apir, 1, 0, i), 0);
	kill(first, SIGKILL);
	assert_true(host_loses(h, 1));
	assert_int_equal(h->n_done, 10); /* all that pended, in order, before the loss */
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(h->done[i].fence, 101 + i);
	assert_int_equal(h->n_lost, 1);

	assert_int_equal(apir_submit(h->apir, 1, 0, "", 1), -ENOENT);
	assert_int_equal(apir_fence(h->apir, 1, 0, 111), 0); /* reported by the next dispatch */
	assert_true(host_step(h, 0));
	assert_int_equal(h->done[10].fence, 111);
	assert_int_equal(h->n_lost, 1);

	assert_true(host_fence(h, 2));
	apir_context_destroy(h->apir, 1);
	assert_int_equal(apir_context_create(h->apir, 1, "one again"), 0);
	h->n_lost = 0;
	assert_true(host_fence(h, 1));
}

static void a_flood_loses_its_own_context_only(void **state)
{
	static const uint8_t cmd[APIR_CMD_MAX];
	int err = 0, sent = 0;
	pid_t first;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	first = host_worker(h);
	assert_int_equal(apir_context_create(h->apir, 2, "two"), 0);
	assert_true(host_fence(h, 1) && host_fence(h, 2));
	kill(first, SIGSTOP); /* it takes nothing any more */
	while (!err && sent < 10000) {
		err = apir_submit(h->apir, 1, 0, cmd, sizeof cmd);
		sent++;
	}
	assert_true(err == -ENOBUFS || err == -ENOENT);
	assert_true(sent < 1000);
	assert_true(host_loses(h, 1));
	assert_true(process_ends(first, HOST_PATIENCE_MS));
	assert_true(host_fence(h, 2));
}

static void a_flood_of_fences_loses_its_own_context_only(void **state)
{
	int err = 0, sent = 0;
	pid_t first;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	first = host_worker(h);
	assert_int_equal(apir_context_create(h->apir, 2, "two"), 0);
	assert_true(host_fence(h, 1) && host_fence(h, 2));
	kill(first, SIGSTOP);
	while (!err && sent < 100000)
		err = apir_fence(h->apir, 1, 0, (uint64_t)++sent);
	assert_int_equal(err, -ENOENT);
	assert_true(sent <= 16385);
	assert_true(host_loses(h, 1));
	assert_true(host_fence(h, 2));
}

/* Commands that are no commands: dropped, survived. */
static void garbage_is_survived(void **state)
{
	static uint8_t garbage[APIR_CMD_MAX];

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	for (size_t n = 1; n <= 16; n++)
		assert_int_equal(apir_submit(h->apir, 1, 0, garbage, n), 0);
	memset(garbage, 0xff, sizeof garbage);
	assert_int_equal(apir_submit(h->apir, 1, 0, garbage, sizeof garbage), 0);
	assert_true(host_fence(h, 1));
}

static void the_worker_has_a_clean_environment(void **state)
{
	pid_t worker;

	(void)state;
	setenv("LD_PRELOAD", "", 1);
	setenv("SECRET_TOKEN", "hush", 1);
	setenv("PATHOLOGICAL", "1", 1);
	setenv("DISPLAY", ":0", 1);
	setenv("CUDA_VISIBLE_DEVICES", "", 1);
	setenv("GGML_VK_VISIBLE_DEVICES", "0", 1);
	setenv("LD_LIBRARY_PATH", "/nowhere", 1);
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	worker = host_worker(h);
	assert_true(host_fence(h, 1));
	assert_false(process_has_env(worker, "LD_PRELOAD"));
	assert_false(process_has_env(worker, "SECRET_TOKEN"));
	assert_false(process_has_env(worker, "PATHOLOGICAL"));
	assert_false(process_has_env(worker, "DISPLAY"));
	assert_true(process_has_env(worker, "CUDA_VISIBLE_DEVICES="));
	assert_true(process_has_env(worker, "GGML_VK_VISIBLE_DEVICES="));
	assert_true(process_has_env(worker, "LD_LIBRARY_PATH="));
	unsetenv("LD_PRELOAD");
	unsetenv("LD_LIBRARY_PATH");
}

static void the_worker_has_no_descriptors_of_the_door(void **state)
{
	char link[256], own[64];
	pid_t worker;
	int inherited[8];

	(void)state;
	/* Some that a careless spawn would pass on. */
	for (size_t i = 0; i < 8; i++)
		inherited[i] = open("/etc/passwd", O_RDONLY);
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	worker = host_worker(h);
	assert_int_equal(apir_context_create(h->apir, 2, "two"), 0);
	for (uint32_t i = 1; i <= 10; i++) {
		assert_int_equal(apir_blob_create(h->apir, i, 4096), 0);
		assert_int_equal(apir_blob_attach(h->apir, 1, i), 0);
	}
	assert_true(host_fence(h, 1));
	process_fd_link(worker, 0, link, sizeof link);
	assert_string_equal(link, "/dev/null");
	process_fd_link(worker, 3, link, sizeof link);
	assert_int_equal(strncmp(link, "socket:", 7), 0);
	snprintf(own, sizeof own, "/proc/%d/oom_score_adj", (int)worker);
	process_fd_link(worker, 4, link, sizeof link);
	assert_string_equal(link, own);
	assert_int_equal(process_fds_but(worker, 5, "/memfd:apir-blob"), 0);
	for (size_t i = 0; i < 8; i++)
		close(inherited[i]);
}

static void the_worker_is_limited(void **state)
{
	struct rlimit r;
	pid_t worker;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	worker = host_worker(h);
	assert_true(host_fence(h, 1));
	assert_int_equal(prlimit(worker, RLIMIT_CORE, NULL, &r), 0);
	assert_true(r.rlim_cur == 0 && r.rlim_max == 0);
	assert_int_equal(prlimit(worker, RLIMIT_NOFILE, NULL, &r), 0);
	assert_true(r.rlim_max <= 1024);
	assert_int_equal(prlimit(worker, RLIMIT_NPROC, NULL, &r), 0);
	assert_true(r.rlim_max <= 4096);
	assert_int_equal(process_status(worker, "NoNewPrivs"), 1);
	assert_true(getpgid(worker) == worker);
}

static long oom_of(pid_t pid, const char *file)
{
	char path[64], *text;
	long v;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	text = file_text(path);
	assert_non_null(text);
	v = strtol(text, NULL, 10);
	free(text);
	return v;
}

/* What a guest writes to isn't its worker's, by the kernel's books. */
static void the_worker_whose_guest_holds_more_goes_first(void **state)
{
	struct memory m;
	pid_t modest, greedy;

	(void)state;
	assert_true(memory_look(&m));
	assert_int_equal(apir_context_create(h->apir, 1, "greedy"), 0);
	greedy = host_worker(h);
	assert_int_equal(apir_context_create(h->apir, 2, "modest"), 0);
	modest = host_worker(h);
	assert_int_equal(apir_blob_create(h->apir, 1, m.total / 10), 0);
	assert_int_equal(apir_blob_attach(h->apir, 1, 1), 0);
	assert_true(host_fence(h, 1) && host_fence(h, 2));
	assert_true(oom_of(modest, "oom_score_adj") >= 800);
	assert_true(oom_of(greedy, "oom_score") > oom_of(modest, "oom_score") + 20);
	assert_int_equal(apir_blob_unref(h->apir, 1), 0);
	assert_true(host_fence(h, 1));
	assert_int_equal(oom_of(greedy, "oom_score_adj"), oom_of(modest, "oom_score_adj"));
}

static void blobs_fit_into_memory_by_default(void **state)
{
	struct memory m;

	(void)state;
	assert_true(memory_look(&m));
	assert_int_equal(apir_blob_create(h->apir, 1, m.total), -EDQUOT);
	assert_int_equal(apir_blob_create(h->apir, 1, m.total / 2), 0);
	assert_int_equal(apir_blob_create(h->apir, 2, m.total / 2), -EDQUOT);
}

static void a_destroyed_context_ends_its_worker(void **state)
{
	pid_t worker, keeper;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	worker = host_worker(h);
	keeper = (pid_t)process_status(worker, "PPid");
	assert_true(host_fence(h, 1));
	assert_int_equal(process_status(keeper, "PPid"), getpid());
	apir_context_destroy(h->apir, 1);
	assert_true(process_ends(worker, HOST_PATIENCE_MS));
	while (process_status(keeper, "PPid") == getpid()) /* until it is reaped */
		assert_true(host_step(h, HOST_PATIENCE_MS));
	assert_int_equal(h->n_lost, 0);
}

static void a_stubborn_worker_is_killed_with_its_host(void **state)
{
	pid_t worker;

	(void)state;
	assert_int_equal(apir_context_create(h->apir, 1, "one"), 0);
	worker = host_worker(h);
	assert_true(host_fence(h, 1));
	kill(worker, SIGSTOP);
	close_host(NULL);
	assert_true(process_ends(worker, 0));
}

/* A door that is killed can't hang up politely: the kernel does. */
static void door_that_waits(void *pipe_end)
{
	struct host *own = host_open(NULL, HOST_BARE);
	pid_t worker;

	CHECK(own && apir_context_create(own->apir, 1, "one") == 0);
	worker = host_worker(own);
	CHECK(host_fence(own, 1));
	CHECK(write(*(int *)pipe_end, &worker, sizeof worker) == sizeof worker);
	pause();
}

static void the_worker_ends_when_its_door_is_killed(void **state)
{
	int ends[2];
	pid_t door, worker = 0;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	door = child_start(door_that_waits, &ends[1]);
	assert_int_equal(read(ends[0], &worker, sizeof worker), sizeof worker);
	assert_true(worker > 0 && !process_ends(worker, 0));
	kill(door, SIGKILL);
	assert_int_equal(child_end(door), 128 + SIGKILL);
	assert_true(process_ends(worker, 5000));
	close(ends[0]);
	close(ends[1]);
}

static void capsets_are_offered_as_configured(void **state)
{
	struct apir_capset caps;
	uint8_t venus[200];

	(void)state;
	memset(venus, 0xff, sizeof venus);
	assert_int_equal(apir_capset(h->apir, APIR_CAPSET_VENUS, venus, sizeof venus), -ENOENT);
	assert_int_equal(apir_capset(h->apir, 1, venus, sizeof venus), -ENOENT);
	assert_int_equal(apir_capset(h->apir, APIR_CAPSET_APIR, NULL, 0), sizeof caps);
	assert_int_equal(apir_capset(h->apir, APIR_CAPSET_APIR, &caps, sizeof caps), sizeof caps);
	assert_int_equal(caps.version, 1);
	assert_int_equal(caps.supports_blob_resources, 1);
	apir_route_venus(h->apir);
	assert_int_equal(apir_capset(h->apir, APIR_CAPSET_VENUS, venus, sizeof venus), APIR_CAPSET_VENUS_SIZE);
	assert_memory_equal(venus, &caps, sizeof caps);
	for (size_t i = sizeof caps; i < sizeof venus; i++)
		assert_int_equal(venus[i], 0);
}

static void venus_is_routed_with_any_value_of_the_variable(void **state)
{
	static const char *const values[] = { "", "0", "1" };

	(void)state;
	assert_false(apir_routes_venus(h->apir));
	for (size_t i = 0; i < 3; i++) {
		struct host *v;

		setenv("VIRGL_ROUTE_VENUS_TO_APIR", values[i], 1);
		v = host_open(NULL, HOST_BARE);
		assert_true(v && apir_routes_venus(v->apir));
		host_close(v);
	}
	unsetenv("VIRGL_ROUTE_VENUS_TO_APIR");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_plain, close_host)

/* A process of that number; 0: here we may not choose, or it is another's. */
static pid_t process_of_number(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	long made;

	do
		made = syscall(SYS_clone3, &args, sizeof args);
	while (made < 0 && errno == EEXIST && kill(pid, 0) == 0 && usleep(1000) == 0);
	if (made == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		kill(getpid(), SIGSTOP); /* raise() would take the number that the C library has noted */
		for (;;)
			pause();
	}
	return made < 0 ? 0 : (pid_t)made;
}

enum { SKIPPED = 77 };

static void where_numbers_can_be_chosen(void (*run)(void *))
{
	int status = child_run(run, NULL);

	if (status == SKIPPED) {
		print_message("process numbers can't be chosen here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

/* Somebody else's child has it, stopped; 0 when that is still so after a word from us. */
static _Noreturn void number_watch(pid_t number, int ready, int go)
{
	pid_t other = process_of_number(number);
	int status, continued;
	char byte;

	if (!other)
		_exit(SKIPPED);
	CHECK(waitpid(other, &status, WUNTRACED) == other && WIFSTOPPED(status));
	CHECK(write(ready, "x", 1) == 1 && read(go, &byte, 1) == 1);
	continued = waitpid(other, &status, WCONTINUED | WNOHANG);
	kill(other, SIGKILL);
	_exit(continued != 0);
}

/* As with a VMM that ignores SIGCHLD: who ends is forgotten at once, and the number is another's. */
static void kill_what_is_another(void *unused)
{
	int ready[2], go[2], status;
	struct link l;
	pid_t watcher;
	char byte;

	(void)unused;
	signal(SIGCHLD, SIG_IGN);
	CHECK(pipe(ready) == 0 && pipe(go) == 0);
	CHECK(link_start(&l, test_path("TEST_WORKER"), 1) == 0);
	kill(l.process.keeper, SIGKILL);
	CHECK(process_ends(l.process.keeper, 10000));
	signal(SIGCHLD, SIG_DFL);
	watcher = fork();
	if (watcher == 0)
		number_watch(l.process.keeper, ready[1], go[0]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1) {
		link_kill(&l);
		CHECK(write(go[1], "x", 1) == 1);
	}
	CHECK(waitpid(watcher, &status, 0) == watcher && WIFEXITED(status));
	_exit(WEXITSTATUS(status));
}

/* Or it is another child of ours, which lives on. */
static void reap_what_is_another(void *unused)
{
	char text[256];
	struct link l;
	pid_t other;
	int status;

	(void)unused;
	alarm(60);
	signal(SIGCHLD, SIG_IGN);
	CHECK(link_start(&l, test_path("TEST_WORKER"), 1) == 0);
	kill(l.process.keeper, SIGKILL);
	CHECK(process_ends(l.process.keeper, 10000));
	signal(SIGCHLD, SIG_DFL);
	other = process_of_number(l.process.keeper);
	if (!other)
		_exit(SKIPPED);
	CHECK(!strcmp(link_end(&l, text, sizeof text), "its worker hung up"));
	kill(other, SIGKILL);
	CHECK(process_ends(other, 10000));
	CHECK(link_reap(&l));
	CHECK(waitpid(other, &status, WNOHANG) == other && WIFSIGNALED(status));
}

static void a_process_that_has_a_dead_workers_number_is_neither_waited_for_nor_reaped(void **state)
{
	(void)state;
	where_numbers_can_be_chosen(reap_what_is_another);
}

static void a_process_that_has_a_dead_workers_number_is_sent_nothing(void **state)
{
	(void)state;
	where_numbers_can_be_chosen(kill_what_is_another);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_and_taken_ids_are_refused),
		TEST(a_missing_worker_is_an_error_of_the_context),
		TEST(blobs_are_sealed),
		TEST(quotas_hold),
		TEST(what_was_given_up_counts_until_its_worker_let_go),
		TEST(many_small_blobs_are_bounded_by_their_bytes),
		TEST(fences_are_done_in_order),
		TEST(a_killed_worker_costs_its_own_context_only),
		TEST(a_flood_loses_its_own_context_only),
		TEST(a_flood_of_fences_loses_its_own_context_only),
		TEST(garbage_is_survived),
		TEST(the_worker_has_a_clean_environment),
		TEST(the_worker_has_no_descriptors_of_the_door),
		TEST(the_worker_is_limited),
		TEST(the_worker_whose_guest_holds_more_goes_first),
		TEST(blobs_fit_into_memory_by_default),
		TEST(a_destroyed_context_ends_its_worker),
		TEST(a_stubborn_worker_is_killed_with_its_host),
		cmocka_unit_test(a_process_that_has_a_dead_workers_number_is_sent_nothing),
		cmocka_unit_test(a_process_that_has_a_dead_workers_number_is_neither_waited_for_nor_reaped),
		TEST(the_worker_ends_when_its_door_is_killed),
		TEST(capsets_are_offered_as_configured),
		TEST(venus_is_routed_with_any_value_of_the_variable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
