/* SPDX-License-Identifier: MIT */
/* The virglrenderer door: a VMM that is linked with nothing but our library, without the real one, or with one that does
 * what the distribution's can't be made to do. */
#include "tests/support/cm.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "proto/apir_wire.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/scenario.h"
#include "tests/virgl/vmm.h"

/* A started renderer and a context of capset 10 with its reply blob. */
static void open_context(int flags, struct vmm_blob *reply)
{
	CHECK(vmm_start(flags));
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, reply) == 0);
}

SCENARIO(without_the_real_library_apir_works)
{
	struct vmm_blob reply;
	struct capture c;
	char *heard;

	(void)unused;
	capture_begin(&c);
	open_context(VIRGL_FLAG_ASYNC_FENCES, &reply);
	heard = capture_end(&c);
	CHECK(strstr(heard, "warning: virglrenderer is not there, only APIR works: /nonexistent/libvirglrenderer.so"));
	free(heard);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	vmm_blob_drop(&reply);
	virgl_renderer_context_destroy(1);
	vmm_stop();
}

/* Nothing is copied from where there is nothing: a sanitized build (undefined) tells. */
SCENARIO(a_vmm_without_callbacks_may_start)
{
	uint32_t version = 7, size = 7;

	(void)unused;
	CHECK(virgl_renderer_init(NULL, 0, NULL) == 0);
	virgl_renderer_get_cap_set(APIR_CAPSET_APIR, &version, &size);
	CHECK(version == 1 && size == 24);
	virgl_renderer_cleanup(NULL);
}

/* What our thread reads is nothing that is being written: a sanitized build (thread) tells. */
SCENARIO(a_vmm_may_stop_and_start_again_while_our_thread_looks_at_what_is_done)
{
	(void)unused;
	CHECK(virgl_apir_configure_kv(0, "ggml.threads", "1") == 0); /* there is the thread */
	for (int i = 0; i < 20; i++) {
		CHECK(virgl_renderer_init(NULL, i & 1 ? VIRGL_FLAG_ASYNC_FENCES : 0, NULL) == 0);
		virgl_renderer_reset(); /* which wakes it */
		usleep(1000);
		virgl_renderer_cleanup(NULL);
	}
}

#define HEARD_NOTHING "cannot hear of finished work: Communication error on send\n"

static bool said(const char *what)
{
	char *text = file_text("/proc/self/fd/2");
	bool found = text && strstr(text, what);

	free(text);
	return found;
}

/* Another library than the one that we are linked with. */
static void hear_nothing(void *unused)
{
	void *deaf = dlopen(test_path("TEST_VIRGL_DEAF"), RTLD_NOW | RTLD_LOCAL);
	void *f = deaf ? dlsym(deaf, "virgl_apir_configure_kv") : NULL;
	int (*configure)(uint32_t, const char *, const char *);
	void (*reset)(void);

	(void)unused;
	CHECK(f);
	memcpy(&configure, &f, sizeof f);
	f = dlsym(deaf, "virgl_renderer_reset");
	CHECK(f);
	memcpy(&reset, &f, sizeof f);
	CHECK(configure(0, "ggml.threads", "1") == 0);
	reset();
	for (int i = 0; i < PATIENCE_MS && !said(HEARD_NOTHING); i++)
		usleep(1000);
}

static void what_keeps_it_from_hearing_of_finished_work_is_told(void **state)
{
	char *heard;

	(void)state;
	assert_int_equal(child_run_heard(hear_nothing, NULL, &heard), 0);
	assert_non_null(strstr(heard, HEARD_NOTHING));
	free(heard);
}

SCENARIO(capset_10_is_always_offered)
{
	uint32_t version = 7, size = 7, caps[40];

	(void)unused;
	CHECK(vmm_start(0));
	virgl_renderer_get_cap_set(APIR_CAPSET_APIR, &version, &size);
	CHECK(version == 1 && size == 24);
	memset(caps, 0xff, sizeof caps);
	virgl_renderer_fill_caps(APIR_CAPSET_APIR, 1, caps);
	CHECK(caps[0] == 1 && caps[1] == 1 && !caps[2] && !caps[3] && !caps[4] && !caps[5] && caps[6] == UINT32_MAX);
	virgl_renderer_get_cap_set(2, &version, &size);
	CHECK(version == 0 && size == 0);
	vmm_stop();
}

static void capset_4_is_apirs(void)
{
	struct vmm_blob reply;
	uint32_t version = 7, size = 7, caps[40];

	CHECK(vmm_start(VIRGL_FLAG_VENUS));
	virgl_renderer_get_cap_set(APIR_CAPSET_VENUS, &version, &size);
	CHECK(version == 1 && size == sizeof caps);
	memset(caps, 0xff, sizeof caps);
	virgl_renderer_fill_caps(APIR_CAPSET_VENUS, 1, caps);
	CHECK(caps[0] == 1 && caps[1] == 1);
	for (size_t i = 2; i < 40; i++)
		CHECK(caps[i] == 0);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_VENUS, 4, "test") == 0);
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, &reply) == 0);
	CHECK(vmm_devices(1, &reply, APIR_VENUS_TYPE_BASE) == 1);
	vmm_stop();
}

SCENARIO(without_venus_capset_4_is_apirs)
{
	(void)unused;
	capset_4_is_apirs();
}

SCENARIO(other_capsets_are_refused_without_the_real_library)
{
	(void)unused;
	CHECK(vmm_start(0));
	CHECK(virgl_renderer_context_create_with_flags(1, 2, 4, "test") == EINVAL);
	CHECK(virgl_renderer_context_create(1, 4, "test") == EINVAL);
	CHECK(virgl_renderer_context_create_with_flags(0, APIR_CAPSET_APIR, 4, "test") == EINVAL);
	CHECK(virgl_renderer_context_create_with_flags(1, 0x100 | APIR_CAPSET_APIR, 4, "test") == EINVAL);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_VENUS, 4, "test") == EINVAL);
	vmm_stop();
}

/* Submits `LOADLIBRARY`, which takes a while, with a fence behind it. */
static _Atomic uint32_t *slow_command(const struct vmm_blob *reply, uint64_t fence)
{
	uint32_t cmd[3] = { APIR_LOADLIBRARY, 0, reply->res };
	_Atomic uint32_t *word = reply->ptr;

	*word = 0;
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 3) == 0);
	CHECK(virgl_renderer_context_create_fence(1, 1, 5, fence) == 0);
	return word;
}

/* The worker stands still meanwhile, so that "not yet" is certain. */
static void fence_waits_for_its_work(int flags)
{
	const uint32_t version[2] = { 0, 2 };
	struct vmm_blob reply;
	_Atomic uint32_t *word;
	int64_t start;
	pid_t worker;

	open_context(flags, &reply);
	CHECK(vmm_command(1, &reply, APIR_HANDSHAKE, 0, version, sizeof version) == APIR_HANDSHAKE_MAGIC);
	worker = vmm_worker();
	CHECK(worker && kill(worker, SIGSTOP) == 0);
	start = clock_ms();
	word = slow_command(&reply, 77);
	CHECK(clock_ms() - start < 100);
	CHECK(!vmm_heard(1, 5, 77, 300) && *word == 0);
	CHECK(kill(worker, SIGCONT) == 0);
	CHECK(vmm_heard(1, 5, 77, PATIENCE_MS));
	CHECK(*word == APIR_LOAD_OK + 1);
	CHECK(vmm.n_heard == 1);
	vmm_stop();
}

SCENARIO(an_asynchronous_fence_is_told_when_its_work_is_done)
{
	(void)unused;
	fence_waits_for_its_work(VIRGL_FLAG_ASYNC_FENCES);
	CHECK(!pthread_equal(vmm.told_by, pthread_self()));
}

SCENARIO(a_polled_fence_is_told_in_a_poll_after_its_work)
{
	(void)unused;
	fence_waits_for_its_work(0);
	CHECK(pthread_equal(vmm.told_by, pthread_self()));
}

SCENARIO(polled_fences_make_the_poll_descriptors_readable)
{
	struct vmm_blob reply;
	struct pollfd p[2];

	(void)unused;
	open_context(0, &reply);
	p[0] = (struct pollfd){ .fd = virgl_renderer_get_poll_fd(), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = virgl_renderer_context_get_poll_fd(1), .events = POLLIN };
	CHECK(p[0].fd >= 0 && p[1].fd >= 0 && p[0].fd != p[1].fd);
	CHECK(poll(p, 2, 50) == 0);
	CHECK(virgl_renderer_context_create_fence(1, 0, 3, 9) == 0);
	CHECK(poll(p, 1, PATIENCE_MS) == 1 && poll(p + 1, 1, PATIENCE_MS) == 1);
	CHECK(vmm.n_heard == 0);
	virgl_renderer_context_poll(2);
	CHECK(vmm.n_heard == 0);
	virgl_renderer_context_poll(1);
	CHECK(vmm.n_heard == 1 && vmm.heard[0].ctx == 1 && vmm.heard[0].ring == 3 && vmm.heard[0].fence == 9);
	CHECK(poll(p + 1, 1, 0) == 0);
	virgl_renderer_poll();
	CHECK(poll(p, 1, 0) == 0 && vmm.n_heard == 1);
	vmm_stop();
}

/* A fence of the global timeline belongs to the command before it. */
static void global_fence_waits(int flags)
{
	const uint32_t version[2] = { 0, 2 };
	uint32_t cmd[5] = { APIR_HANDSHAKE, 0, 0, 0, 2 };
	struct vmm_blob reply;
	pid_t worker;

	open_context(flags, &reply);
	CHECK(vmm_command(1, &reply, APIR_HANDSHAKE, 0, version, sizeof version) == APIR_HANDSHAKE_MAGIC);
	worker = vmm_worker();
	CHECK(virgl_renderer_create_fence(1, 0) == 0); /* behind a submission that is done */
	CHECK(vmm_heard(0, 0, 1, PATIENCE_MS));
	CHECK(kill(worker, SIGSTOP) == 0);
	cmd[2] = reply.res;
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	virgl_renderer_force_ctx_0(); /* another command */
	CHECK(virgl_renderer_create_fence(2, 0) == 0);
	CHECK(vmm_heard(0, 0, 2, PATIENCE_MS));
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(3, 0) == 0);
	CHECK(virgl_renderer_create_fence(4, 0) == 0);
	CHECK(!vmm_heard(0, 0, 3, 200) && !vmm_heard(0, 0, 4, 0));
	CHECK(kill(worker, SIGCONT) == 0);
	CHECK(vmm_heard(0, 0, 4, PATIENCE_MS));
	CHECK(vmm.n_heard == 4 && vmm.heard[2].fence == 3 && vmm.heard[3].fence == 4);
	vmm_stop();
}

SCENARIO(a_global_fence_waits_for_the_submission_before_it)
{
	(void)unused;
	global_fence_waits(VIRGL_FLAG_ASYNC_FENCES);
}

SCENARIO(a_polled_global_fence_waits_too)
{
	(void)unused;
	global_fence_waits(0);
}

SCENARIO(a_dead_worker_loses_its_context_only)
{
	struct vmm_blob one, two;
	uint32_t cmd[3] = { APIR_LOADLIBRARY, 0, 0 };
	pid_t first;

	(void)unused;
	open_context(VIRGL_FLAG_ASYNC_FENCES, &one);
	CHECK(vmm_devices(1, &one, 0) == 1);
	first = vmm_worker();
	CHECK(virgl_renderer_context_create_with_flags(2, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(vmm_blob(2, APIR_REPLY_BLOB_SIZE, &two) == 0);
	CHECK(kill(first, SIGSTOP) == 0);
	CHECK(virgl_renderer_context_create_fence(1, 0, 0, 5) == 0);
	CHECK(kill(first, SIGKILL) == 0);
	CHECK(vmm_heard(1, 0, 5, PATIENCE_MS));
	cmd[2] = one.res;
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 3) != 0);
	CHECK(virgl_renderer_context_create_fence(1, 0, 0, 6) == 0);
	CHECK(vmm_heard(1, 0, 6, PATIENCE_MS));
	CHECK(vmm_devices(2, &two, 0) == 1);
	virgl_renderer_context_destroy(1);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, &one) == 0);
	CHECK(vmm_devices(1, &one, 0) == 1);
	vmm_stop();
}

SCENARIO(blobs_map_anywhere_at_an_address_and_by_descriptor)
{
	struct virgl_renderer_resource_info info = { .fd = 7 };
	uint32_t type = 0, map_info = 0;
	struct vmm_blob b;
	uint64_t size;
	struct stat st;
	void *at, *again;
	int fd = -1;

	(void)unused;
	open_context(0, &b);
	CHECK(b.size == APIR_REPLY_BLOB_SIZE);
	memcpy(b.ptr, "blob", 5);
	CHECK(virgl_renderer_resource_map(b.res, &again, &size) == -EINVAL);
	at = mmap(NULL, b.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(virgl_renderer_resource_map_fixed(b.res, at) == 0);
	CHECK(!strcmp(at, "blob"));
	munmap(at, b.size);
	CHECK(virgl_renderer_resource_export_blob(b.res, &type, &fd) == 0 && type == VIRGL_BLOB_FD_SHM);
	CHECK(fstat(fd, &st) == 0 && (uint64_t)st.st_size == b.size && ftruncate(fd, 0) < 0);
	close(fd);
	CHECK(virgl_renderer_resource_get_map_info(b.res, &map_info) == 0 && map_info == VIRGL_MAP_CACHED);
	CHECK(virgl_renderer_resource_get_info((int)b.res, &info) == 0 && info.handle == b.res && info.fd == -1);
	CHECK(virgl_renderer_resource_unmap(b.res) == 0);
	CHECK(virgl_renderer_resource_unmap(b.res) == -EINVAL);
	virgl_renderer_resource_unref(b.res);
	CHECK(virgl_renderer_resource_map(b.res, &again, &size) == -EINVAL);
	CHECK(virgl_renderer_resource_map_fixed(b.res, at) == -EOPNOTSUPP);
	CHECK(virgl_renderer_resource_export_blob(b.res, &type, &fd) == EINVAL);
	CHECK(virgl_renderer_resource_get_info((int)b.res, &info) == EINVAL);
	vmm_stop();
}

SCENARIO(wrong_blobs_and_commands_are_refused)
{
	static uint32_t big[APIR_CMD_MAX / 4 + 1];
	struct virgl_renderer_resource_create_blob_args args = {
		.res_handle = 900, .ctx_id = 1, .blob_mem = VIRGL_BLOB_MEM_HOST3D, .size = 4096
	};
	struct vmm_blob b;

	(void)unused;
	open_context(0, &b);
	args.blob_id = 1;
	CHECK(virgl_renderer_resource_create_blob(&args) == -EINVAL);
	args.blob_id = 0;
	args.res_handle = 0;
	CHECK(virgl_renderer_resource_create_blob(&args) == -EINVAL);
	args.res_handle = b.res;
	CHECK(virgl_renderer_resource_create_blob(&args) == -EINVAL);
	args.res_handle = 900;
	args.size = 0;
	CHECK(virgl_renderer_resource_create_blob(&args) == -EINVAL);
	args.size = UINT64_MAX;
	CHECK(virgl_renderer_resource_create_blob(&args) < 0);
	args.size = 4096;
	args.blob_mem = 1; /* the guest's own memory */
	CHECK(virgl_renderer_resource_create_blob(&args) < 0);
	args.blob_mem = VIRGL_BLOB_MEM_HOST3D;
	args.ctx_id = 9;
	CHECK(virgl_renderer_resource_create_blob(&args) < 0);
	args.ctx_id = 1;
	CHECK(virgl_renderer_resource_create_blob(&args) == 0);
	CHECK(virgl_renderer_submit_cmd(big, 1, -1) == EINVAL);
	CHECK(virgl_renderer_submit_cmd(big, 1, APIR_CMD_MAX / 4 + 1) == EINVAL);
	CHECK(virgl_renderer_submit_cmd(big, 9, 3) == EINVAL);
	CHECK(virgl_renderer_submit_cmd(big, 1, 0) == 0);
	CHECK(virgl_renderer_context_create_fence(9, 0, 0, 1) == -EINVAL);
	CHECK(vmm_devices(1, &b, 0) == 1);
	vmm_stop();
}

SCENARIO(after_reset_and_cleanup_everything_is_gone_and_new_contexts_work)
{
	struct vmm_blob b;

	(void)unused;
	for (int round = 0; round < 3; round++) {
		pid_t worker;
		uint64_t size;
		void *at;

		open_context(VIRGL_FLAG_ASYNC_FENCES, &b);
		CHECK(vmm_devices(1, &b, 0) == 1);
		worker = vmm_worker();
		if (round == 1)
			virgl_renderer_reset();
		else
			vmm_stop();
		CHECK(process_ends(worker, PATIENCE_MS));
		CHECK(virgl_renderer_resource_map(b.res, &at, &size) == -EINVAL);
		if (round == 1)
			vmm_stop();
	}
	CHECK(vmm.n_heard == 0);
}

SCENARIO(keys_may_be_set_before_init_and_win_over_variables)
{
	struct vmm_blob b;

	(void)unused;
	setenv("VIRGL_APIR_BACKEND_LIBRARY", "/nonexistent/backend.so", 1);
	CHECK(virgl_apir_configure_kv(0, "apir.load_library.path", test_path("TEST_BACKEND")) == 0);
	CHECK(virgl_apir_configure_kv(0, "", "x") == -EINVAL);
	CHECK(virgl_apir_configure_kv(0, NULL, "x") == -EINVAL);
	open_context(0, &b);
	CHECK(vmm_devices(1, &b, 0) == 1);
	vmm_stop();
	open_context(0, &b);
	/* for this context only, and read when the library is loaded */
	CHECK(virgl_apir_configure_kv(1, "apir.load_library.path", "/nonexistent/other.so") == 0);
	CHECK(vmm_devices(1, &b, 0) == -1);
	vmm_stop();
}

SCENARIO(the_worker_gets_none_of_our_preload)
{
	struct vmm_blob b;

	(void)unused;
	setenv("LD_PRELOAD", "/nonexistent/preload.so", 1);
	open_context(0, &b);
	CHECK(vmm_devices(1, &b, 0) == 1);
	CHECK(!process_has_env(vmm_worker(), "LD_PRELOAD="));
	vmm_stop();
}

SCENARIO(a_missing_worker_is_told_and_survived)
{
	struct capture c;
	char *heard;
	int err;

	(void)unused;
	setenv("VIRGL_APIR_WORKER", "/nonexistent/worker", 1);
	CHECK(vmm_start(0));
	capture_begin(&c);
	err = virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test");
	heard = capture_end(&c);
	CHECK(err == ENOENT);
	CHECK(strstr(heard, "cannot start the worker '/nonexistent/worker': No such file or directory"));
	CHECK(strstr(heard, "VIRGL_APIR_WORKER"));
	free(heard);
	vmm_stop();
}

/* With a real library that has Venus, a context of capset 4 is undecided. */
static void open_undecided(const char *mode, struct vmm_blob *reply)
{
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	setenv("FAKE_VIRGL", mode, 1);
	CHECK(vmm_start(VIRGL_FLAG_VENUS));
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_VENUS, 4, "test") == 0);
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, reply) == 0);
}

SCENARIO(with_venus_capset_4_is_the_real_librarys_and_10_is_ours)
{
	uint32_t version, size, caps[40];
	struct vmm_blob reply;

	(void)unused;
	open_undecided("", &reply);
	virgl_renderer_get_cap_set(APIR_CAPSET_VENUS, &version, &size);
	CHECK(version == 0 && size == 160);
	virgl_renderer_fill_caps(APIR_CAPSET_VENUS, 1, caps);
	CHECK(caps[0] == 0x44444444);
	virgl_renderer_get_cap_set(APIR_CAPSET_APIR, &version, &size);
	CHECK(version == 1 && size == 24);
	vmm_stop();
}

SCENARIO(routed_capset_4_is_apirs_for_any_value_of_the_variable)
{
	static const char *const values[] = { "", "0", "1" };

	(void)unused;
	for (size_t i = 0; i < 3; i++) {
		pid_t child;
		int status;

		setenv("VIRGL_ROUTE_VENUS_TO_APIR", values[i], 1);
		setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
		child = fork();
		if (child == 0) {
			capset_4_is_apirs();
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
}

SCENARIO(an_undecided_context_becomes_apirs_by_a_handshake_and_its_blobs_are_adopted)
{
	struct vmm_blob reply, late;

	(void)unused;
	open_undecided("", &reply);
	CHECK(!vmm_worker());
	CHECK(vmm_devices(1, &reply, APIR_VENUS_TYPE_BASE) == 1);
	CHECK(vmm_worker());
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, &late) == 0);
	CHECK(vmm_command(1, &late, APIR_VENUS_TYPE_BASE + APIR_FORWARD, 1, NULL, 0) == APIR_FORWARD_OK);
	vmm_blob_drop(&late);
	vmm_blob_drop(&reply);
	virgl_renderer_context_destroy(1);
	vmm_stop();
}

SCENARIO(an_undecided_context_with_another_first_command_stays_the_real_librarys)
{
	uint32_t handshake[5] = { APIR_VENUS_TYPE_BASE, 0, 0, 0, 2 }, other[5] = { 0 },
		 almost[6] = { APIR_VENUS_TYPE_BASE };
	struct vmm_blob reply;

	(void)unused;
	open_undecided("", &reply);
	handshake[2] = reply.res;
	CHECK(virgl_renderer_submit_cmd(other, 1, 5) == 8); /* the fake's count of commands */
	CHECK(virgl_renderer_submit_cmd(handshake, 1, 5) == 9);
	CHECK(virgl_renderer_context_create_with_flags(2, APIR_CAPSET_VENUS, 4, "test") == 0);
	CHECK(virgl_renderer_submit_cmd(almost, 2, 6) == 10); /* of another size */
	CHECK(!vmm_worker());
	vmm_stop();
}

static void cannot_adopt(const char *mode, const char *why)
{
	uint32_t handshake[5] = { APIR_VENUS_TYPE_BASE, 0, 0, 0, 2 };
	struct vmm_blob reply;
	struct capture c;
	char *heard;

	open_undecided(mode, &reply);
	handshake[2] = reply.res;
	capture_begin(&c);
	virgl_renderer_submit_cmd(handshake, 1, 5);
	usleep(300000);
	heard = capture_end(&c);
	CHECK(*(_Atomic uint32_t *)reply.ptr == 0);
	CHECK(strstr(heard, why));
	free(heard);
	vmm_stop();
}

SCENARIO(blobs_that_are_no_shared_memory_are_refused_with_the_cure)
{
	(void)unused;
	cannot_adopt("device",
		"error: context 1: its blobs can't be shared with a worker: Operation not supported: set "
		"VIRGL_ROUTE_VENUS_TO_APIR");
}

/* A worker that could shrink them could end the VMM. */
SCENARIO(blobs_that_could_be_shrunk_are_refused_with_the_cure)
{
	(void)unused;
	cannot_adopt("unsealable",
		"error: context 1: its blobs can't be shared with a worker: Operation not permitted: set "
		"VIRGL_ROUTE_VENUS_TO_APIR");
}

static void starts_with(const char *mode, const char *line, bool real_works)
{
	uint32_t version, size;
	struct vmm_blob reply;
	struct capture c;
	char *heard;

	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	setenv("FAKE_VIRGL", mode, 1);
	capture_begin(&c);
	CHECK(vmm_start(VIRGL_FLAG_VENUS));
	heard = capture_end(&c);
	CHECK(strstr(heard, line));
	free(heard);
	virgl_renderer_get_cap_set(APIR_CAPSET_VENUS, &version, &size);
	CHECK(version == 1 && size == 160);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_VENUS, 4, "test") == 0);
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, &reply) == 0);
	CHECK(vmm_devices(1, &reply, APIR_VENUS_TYPE_BASE) == 1);
	CHECK((virgl_renderer_submit_cmd(&version, 9, 1) == 8) == real_works);
	vmm_stop();
}

SCENARIO(a_real_library_that_starts_without_venus_only_is_used_without)
{
	(void)unused;
	starts_with("novenus", "warning: virglrenderer's own start failed (-1): trying without Venus", true);
}

SCENARIO(a_real_library_that_does_not_start_leaves_apir_alone)
{
	(void)unused;
	starts_with("nostart", "warning: virglrenderer's own start failed (-1): only APIR works", false);
}

SCENARIO(a_library_that_is_no_virglrenderer_leaves_apir_alone)
{
	struct vmm_blob reply;
	struct capture c;
	char *heard;

	(void)unused;
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_BACKEND"), 1);
	capture_begin(&c);
	open_context(0, &reply);
	heard = capture_end(&c);
	CHECK(strstr(heard,
		"libggml-virtgpu-backend.so' (VIRGL_APIR_RENDERER_LIBRARY) is no virglrenderer: only APIR works"));
	free(heard);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	vmm_stop();
}

/* The real library's fences and APIR's are of one timeline, told in order. */
static void timelines_meet(int flags)
{
	const uint32_t version[2] = { 0, 2 };
	uint32_t cmd[5] = { APIR_HANDSHAKE, 0, 0, 0, 2 }, up_to;
	struct vmm_blob reply;

	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	open_context(flags, &reply);
	cmd[2] = reply.res;
	CHECK(vmm_command(1, &reply, APIR_HANDSHAKE, 0, version, sizeof version) == APIR_HANDSHAKE_MAGIC);
	CHECK(virgl_renderer_create_fence(10, 0) == 0); /* the submission's before, which is done */
	CHECK(vmm_heard(0, 0, 10, PATIENCE_MS));
	CHECK(virgl_renderer_create_fence(11, 0) == 0); /* the real library's */
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(12, 0) == 0);
	CHECK(virgl_renderer_create_fence(13, 0) == 0);
	CHECK(!vmm_heard(0, 0, 12, 300)); /* its work is done, but 11 isn't */
	up_to = 11;
	virgl_renderer_submit_cmd(&up_to, 99, 1);
	CHECK(vmm_heard(0, 0, 12, PATIENCE_MS));
	CHECK(!vmm_heard(0, 0, 13, 100));
	up_to = 13;
	virgl_renderer_submit_cmd(&up_to, 99, 1);
	CHECK(vmm_heard(0, 0, 13, PATIENCE_MS));
	CHECK(vmm.n_heard == 4);
	for (uint32_t i = 0; i < 4; i++)
		CHECK(vmm.heard[i].fence == 10 + i);
	vmm_stop();
}

SCENARIO(a_global_fence_waits_for_the_real_librarys_before_it)
{
	(void)unused;
	timelines_meet(VIRGL_FLAG_ASYNC_FENCES);
}

SCENARIO(a_polled_global_fence_waits_for_the_real_librarys_before_it)
{
	(void)unused;
	timelines_meet(0);
}

SCENARIO(a_fence_that_the_real_library_refuses_holds_up_nobody)
{
	uint32_t cmd[5] = { APIR_HANDSHAKE, 0, 0, 0, 2 };
	struct vmm_blob reply;
	pid_t worker;

	(void)unused;
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	setenv("FAKE_VIRGL", "nofence", 1);
	open_context(VIRGL_FLAG_ASYNC_FENCES, &reply);
	cmd[2] = reply.res;
	worker = vmm_worker();
	CHECK(kill(worker, SIGSTOP) == 0);
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(1, 0) == 0);
	CHECK(virgl_renderer_create_fence(2, 0) == EINVAL);
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(3, 0) == 0);
	CHECK(kill(worker, SIGCONT) == 0);
	CHECK(vmm_heard(0, 0, 3, PATIENCE_MS) && vmm_heard(0, 0, 1, 0));
	vmm_stop();
}

/* Whether fences come by themselves or by polls: nobody polls here. */
SCENARIO(a_worker_that_dies_is_gone_in_its_guests_word)
{
	const _Atomic uint32_t *word;
	struct vmm_blob reply;
	pid_t worker;

	(void)unused;
	open_context(0, &reply);
	word = vmm_beat(1, &reply);
	CHECK(word && vmm_beats(word) && vmm_beats(word));
	worker = vmm_worker();
	CHECK(kill(worker, SIGSTOP) == 0);
	CHECK(kill(worker, SIGKILL) == 0);
	CHECK(vmm_says_gone(word));
	vmm_stop();
}

/* What came before the refused one is still pending. */
SCENARIO(a_refused_fence_does_not_hide_the_one_before_it)
{
	const uint32_t version[2] = { 0, 2 };
	uint32_t cmd[5] = { APIR_HANDSHAKE, 0, 0, 0, 2 }, up_to = 5;
	struct vmm_blob reply;

	(void)unused;
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	open_context(VIRGL_FLAG_ASYNC_FENCES, &reply);
	cmd[2] = reply.res;
	CHECK(vmm_command(1, &reply, APIR_HANDSHAKE, 0, version, sizeof version) == APIR_HANDSHAKE_MAGIC);
	virgl_renderer_force_ctx_0();
	CHECK(virgl_renderer_create_fence(5, 0) == 0);
	setenv("FAKE_VIRGL", "nofence", 1);
	CHECK(virgl_renderer_create_fence(6, 0) == EINVAL);
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(7, 0) == 0);
	CHECK(!vmm_heard(0, 0, 7, 300));
	virgl_renderer_submit_cmd(&up_to, 99, 1);
	CHECK(vmm_heard(0, 0, 7, PATIENCE_MS));
	CHECK(vmm.n_heard == 2 && vmm.heard[0].fence == 5);
	/* and one that is refused with nothing before it leaves nothing to wait for */
	CHECK(virgl_renderer_create_fence(8, 0) == EINVAL);
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(9, 0) == 0);
	CHECK(vmm_heard(0, 0, 9, PATIENCE_MS));
	vmm_stop();
}

/* A VMM frees what its fences belong to. */
SCENARIO(after_reset_no_fence_of_before_is_told)
{
	uint32_t cmd[5] = { APIR_HANDSHAKE, 0, 0, 0, 2 };
	struct vmm_blob reply;
	size_t told;

	(void)unused;
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	open_context(VIRGL_FLAG_ASYNC_FENCES, &reply);
	cmd[2] = reply.res;
	CHECK(kill(vmm_worker(), SIGSTOP) == 0);
	for (uint64_t i = 0; i < 2000; i++)
		CHECK(virgl_renderer_context_create_fence(1, 0, 0, i) == 0);
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(50000, 0) == 0);
	CHECK(virgl_renderer_create_fence(50001, 0) == 0);
	vmm.slow_us = 100;
	virgl_renderer_reset();
	told = vmm.n_heard; /* meanwhile is allowed */
	usleep(300000);
	CHECK(vmm.n_heard == told);
	vmm.slow_us = 0;
	/* and those that come are told, whatever their numbers */
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(vmm_blob(1, APIR_REPLY_BLOB_SIZE, &reply) == 0);
	cmd[2] = reply.res;
	CHECK(virgl_renderer_submit_cmd(cmd, 1, 5) == 0);
	CHECK(virgl_renderer_create_fence(1, 0) == 0);
	CHECK(vmm_heard(0, 0, 1, PATIENCE_MS));
	vmm_stop();
}

/* One VMM has a guest's buffers waiting for them, another has freed what they point to. */
static void destroyed_with_fences(bool polls_alone, int flags)
{
	struct vmm_blob reply;

	open_context(flags, &reply);
	if (polls_alone)
		CHECK(virgl_renderer_context_get_poll_fd(1) >= 0);
	CHECK(kill(vmm_worker(), SIGSTOP) == 0);
	CHECK(virgl_renderer_context_create_fence(1, 0, 0, 5) == 0);
	virgl_renderer_context_destroy(1);
	CHECK(vmm.n_heard == !polls_alone); /* before the return, or never */
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test") == 0);
	virgl_renderer_context_poll(1);
	virgl_renderer_poll();
	usleep(200000);
	virgl_renderer_poll();
	CHECK(vmm.n_heard == !polls_alone);
	vmm_stop();
}

SCENARIO(a_destroyed_contexts_fences_are_told_before_it_is_gone)
{
	(void)unused;
	destroyed_with_fences(false, VIRGL_FLAG_ASYNC_FENCES);
}

SCENARIO(a_destroyed_contexts_polled_fences_are_told_before_it_is_gone)
{
	(void)unused;
	destroyed_with_fences(false, 0);
}

SCENARIO(a_vmm_that_polls_contexts_hears_nothing_of_a_destroyed_one)
{
	(void)unused;
	destroyed_with_fences(true, 0);
}

/* The addresses of a blob that is still mapped may be a part of a guest's memory. */
static void addresses_are_not_used_again(bool by_reset)
{
	struct vmm_blob b;

	open_context(0, &b);
	if (by_reset)
		virgl_renderer_reset();
	else
		virgl_renderer_resource_unref(b.res);
	for (int i = 0; i < 64; i++) {
		char *at = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(at != MAP_FAILED);
		CHECK(at + b.size <= (char *)b.ptr || at >= (char *)b.ptr + b.size);
	}
	CHECK(msync(b.ptr, b.size, MS_ASYNC) == 0); /* there is something */
	vmm_stop();
}

SCENARIO(a_mapped_blobs_addresses_are_not_used_again_after_unref)
{
	(void)unused;
	addresses_are_not_used_again(false);
}

SCENARIO(a_mapped_blobs_addresses_are_not_used_again_after_reset)
{
	(void)unused;
	addresses_are_not_used_again(true);
}

SCENARIO(where_apir_cannot_start_a_guests_handshake_is_refused)
{
	uint32_t handshake[5] = { APIR_VENUS_TYPE_BASE, 0, 0, 0, 2 };
	struct rlimit files, few;
	struct capture c;
	char *heard;

	(void)unused;
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	CHECK(vmm_start(VIRGL_FLAG_VENUS));
	capture_begin(&c);
	CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
	few = (struct rlimit){ 3, files.rlim_max };
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_VENUS, 4, "test") == 0);
	CHECK(virgl_renderer_submit_cmd(handshake, 1, 5) == EINVAL);
	CHECK(virgl_renderer_context_create_with_flags(2, APIR_CAPSET_APIR, 4, "test") == ENOMEM);
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	heard = capture_end(&c);
	CHECK(strstr(heard, "error: APIR cannot start: Too many open files"));
	free(heard);
	vmm_stop();
}

SCENARIO(a_context_with_many_early_blobs_is_the_real_librarys)
{
	uint32_t handshake[5] = { APIR_VENUS_TYPE_BASE, 0, 0, 0, 2 };
	struct vmm_blob reply, more;

	(void)unused;
	open_undecided("", &reply);
	for (int i = 0; i < 16; i++)
		CHECK(vmm_blob(1, 4096, &more) == 0);
	handshake[2] = reply.res;
	CHECK(virgl_renderer_submit_cmd(handshake, 1, 5) == 8); /* the fake's count of commands */
	CHECK(!vmm_worker());
	vmm_stop();
}

SCENARIO(a_guest_cannot_take_the_vmms_descriptors)
{
	struct virgl_renderer_resource_create_blob_args args = {
		.res_handle = 1000, .ctx_id = 1, .blob_mem = VIRGL_BLOB_MEM_HOST3D, .size = 1
	};
	struct rlimit files = { 256, 256 };
	struct vmm_blob reply;
	int err = 0, fd;

	(void)unused;
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	open_context(VIRGL_FLAG_ASYNC_FENCES, &reply);
	for (; !err && args.res_handle < 2000; args.res_handle++)
		err = virgl_renderer_resource_create_blob(&args);
	CHECK(err == -EDQUOT && args.res_handle < 1066);
	fd = open("/dev/null", O_RDONLY);
	CHECK(fd >= 0);
	vmm_stop();
}

SCENARIO(a_guest_cannot_have_descriptors_wait_without_end)
{
	struct vmm_blob reply, other;
	int fd;

	(void)unused;
	open_context(VIRGL_FLAG_ASYNC_FENCES, &reply);
	CHECK(vmm_blob(1, 4096, &other) == 0);
	CHECK(kill(vmm_worker(), SIGSTOP) == 0);
	for (int i = 0; i < 500; i++) {
		virgl_renderer_ctx_detach_resource(1, (int)other.res);
		virgl_renderer_ctx_attach_resource(1, (int)other.res);
	}
	fd = open("/dev/null", O_RDONLY);
	CHECK(fd >= 0 && fd < 200);
	vmm_stop();
}

SCENARIO(a_context_number_is_one_contexts)
{
	struct vmm_blob reply;

	(void)unused;
	setenv("VIRGL_APIR_RENDERER_LIBRARY", test_path("TEST_VIRGL_FAKE"), 1);
	open_context(VIRGL_FLAG_VENUS, &reply);
	CHECK(virgl_renderer_context_create_with_flags(1, APIR_CAPSET_VENUS, 4, "test") == EINVAL);
	CHECK(virgl_renderer_context_create(1, 4, "test") == EINVAL);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	vmm_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_real_library_apir_works),
		cmocka_unit_test(a_vmm_without_callbacks_may_start),
		cmocka_unit_test(a_vmm_may_stop_and_start_again_while_our_thread_looks_at_what_is_done),
		cmocka_unit_test(what_keeps_it_from_hearing_of_finished_work_is_told),
		cmocka_unit_test(capset_10_is_always_offered),
		cmocka_unit_test(without_venus_capset_4_is_apirs),
		cmocka_unit_test(other_capsets_are_refused_without_the_real_library),
		cmocka_unit_test(an_asynchronous_fence_is_told_when_its_work_is_done),
		cmocka_unit_test(a_polled_fence_is_told_in_a_poll_after_its_work),
		cmocka_unit_test(polled_fences_make_the_poll_descriptors_readable),
		cmocka_unit_test(a_global_fence_waits_for_the_submission_before_it),
		cmocka_unit_test(a_polled_global_fence_waits_too),
		cmocka_unit_test(a_dead_worker_loses_its_context_only),
		cmocka_unit_test(blobs_map_anywhere_at_an_address_and_by_descriptor),
		cmocka_unit_test(wrong_blobs_and_commands_are_refused),
		cmocka_unit_test(after_reset_and_cleanup_everything_is_gone_and_new_contexts_work),
		cmocka_unit_test(keys_may_be_set_before_init_and_win_over_variables),
		cmocka_unit_test(the_worker_gets_none_of_our_preload),
		cmocka_unit_test(a_missing_worker_is_told_and_survived),
		cmocka_unit_test(with_venus_capset_4_is_the_real_librarys_and_10_is_ours),
		cmocka_unit_test(routed_capset_4_is_apirs_for_any_value_of_the_variable),
		cmocka_unit_test(an_undecided_context_becomes_apirs_by_a_handshake_and_its_blobs_are_adopted),
		cmocka_unit_test(an_undecided_context_with_another_first_command_stays_the_real_librarys),
		cmocka_unit_test(blobs_that_are_no_shared_memory_are_refused_with_the_cure),
		cmocka_unit_test(blobs_that_could_be_shrunk_are_refused_with_the_cure),
		cmocka_unit_test(a_real_library_that_starts_without_venus_only_is_used_without),
		cmocka_unit_test(a_real_library_that_does_not_start_leaves_apir_alone),
		cmocka_unit_test(a_library_that_is_no_virglrenderer_leaves_apir_alone),
		cmocka_unit_test(a_global_fence_waits_for_the_real_librarys_before_it),
		cmocka_unit_test(a_polled_global_fence_waits_for_the_real_librarys_before_it),
		cmocka_unit_test(a_fence_that_the_real_library_refuses_holds_up_nobody),
		cmocka_unit_test(a_refused_fence_does_not_hide_the_one_before_it),
		cmocka_unit_test(after_reset_no_fence_of_before_is_told),
		cmocka_unit_test(a_destroyed_contexts_fences_are_told_before_it_is_gone),
		cmocka_unit_test(a_destroyed_contexts_polled_fences_are_told_before_it_is_gone),
		cmocka_unit_test(a_vmm_that_polls_contexts_hears_nothing_of_a_destroyed_one),
		cmocka_unit_test(a_mapped_blobs_addresses_are_not_used_again_after_unref),
		cmocka_unit_test(a_mapped_blobs_addresses_are_not_used_again_after_reset),
		cmocka_unit_test(where_apir_cannot_start_a_guests_handshake_is_refused),
		cmocka_unit_test(a_context_with_many_early_blobs_is_the_real_librarys),
		cmocka_unit_test(a_guest_cannot_take_the_vmms_descriptors),
		cmocka_unit_test(a_guest_cannot_have_descriptors_wait_without_end),
		cmocka_unit_test(a_worker_that_dies_is_gone_in_its_guests_word),
		cmocka_unit_test(a_context_number_is_one_contexts),
	};
	char cpu[512];

	snprintf(cpu, sizeof cpu, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	setenv("VIRGL_APIR_RENDERER_LIBRARY", "/nonexistent/libvirglrenderer.so", 1);
	setenv("VIRGL_APIR_WORKER", test_path("TEST_WORKER"), 1);
	setenv("VIRGL_APIR_BACKEND_LIBRARY", test_path("TEST_BACKEND"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", cpu, 1);
	unsetenv("VIRGL_ROUTE_VENUS_TO_APIR");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
