/* SPDX-License-Identifier: MIT */
/* A VMM that may not start programs gets its workers from a running `ggml-virtgpu serve --workers`. */
#include "tests/support/cm.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "proto/util.h"
#include "proto/worker_wire.h"
#include "tests/support/breed.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/scenario.h"
#include "tests/support/server.h"
#include "tests/virgl/vmm.h"

static struct server server;

static int server_up(void **state)
{
	(void)state;
	if (!server_start(&server, NULL))
		return -1;
	return setenv("VIRGL_APIR_SERVER", server.workers, 1);
}

static int server_down(void **state)
{
	(void)state;
	server_stop(&server);
	return 0;
}

/* From now on this process can't start others: what QEMU's `-sandbox on,spawn=deny` does. */
static void spawning_forbid(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_vfork, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { ARRAY_SIZE(code), code };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void open_context(uint32_t ctx, struct vmm_blob *reply)
{
	CHECK(virgl_renderer_context_create_with_flags(ctx, APIR_CAPSET_APIR, 4, "test") == 0);
	CHECK(vmm_blob(ctx, APIR_REPLY_BLOB_SIZE, reply) == 0);
}

SCENARIO(a_vmm_that_may_not_start_programs_computes_by_a_server)
{
	struct vmm_blob reply;

	(void)unused;
	spawning_forbid();
	CHECK(vmm_start(VIRGL_FLAG_ASYNC_FENCES));
	open_context(1, &reply);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	CHECK(!vmm_worker() && server_worker(&server));
	vmm_stop();
}

SCENARIO(without_a_server_such_a_vmm_is_told_the_cure)
{
	struct capture c;
	char *heard;
	int err;

	(void)unused;
	unsetenv("VIRGL_APIR_SERVER");
	spawning_forbid();
	CHECK(vmm_start(0));
	capture_begin(&c);
	err = virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test");
	heard = capture_end(&c);
	CHECK(err == EPERM);
	CHECK(strstr(heard, "this process may not start programs; VIRGL_APIR_SERVER names a server that does"));
	free(heard);
	vmm_stop();
}

SCENARIO(the_key_names_the_server_too)
{
	struct vmm_blob reply;

	(void)unused;
	setenv("VIRGL_APIR_SERVER", "/nonexistent/variable", 1);
	CHECK(virgl_apir_configure_kv(0, "apir.server.path", server.workers) == 0);
	CHECK(vmm_start(0));
	open_context(1, &reply);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	vmm_stop();
}

SCENARIO(a_server_that_is_not_there_is_told_and_survived)
{
	struct capture c;
	char *heard;
	int err;

	(void)unused;
	setenv("VIRGL_APIR_SERVER", "/nonexistent/workers", 1);
	CHECK(vmm_start(0));
	capture_begin(&c);
	err = virgl_renderer_context_create_with_flags(1, APIR_CAPSET_APIR, 4, "test");
	heard = capture_end(&c);
	CHECK(err == ENOENT);
	CHECK(strstr(heard,
		"cannot get a worker from the server at '/nonexistent/workers' (VIRGL_APIR_SERVER): No such file "
		"or directory: start `ggml-virtgpu serve --workers` there"));
	free(heard);
	vmm_stop();
}

/* Who may ask for a worker must not choose the code that it runs. */
SCENARIO(the_libraries_are_the_servers_choice)
{
	struct vmm_blob reply;

	(void)unused;
	setenv("VIRGL_APIR_BACKEND_LIBRARY", "/nonexistent/backend.so", 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", "/nonexistent/ggml.so", 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "nonexistent", 1);
	CHECK(virgl_apir_configure_kv(0, "ggml.library.init", "nonexistent") == 0);
	CHECK(virgl_apir_configure_kv(0, "ggml.threads", "2") == 0);
	CHECK(vmm_start(0));
	open_context(1, &reply);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	vmm_stop();
}

SCENARIO(a_servers_worker_that_dies_loses_its_context_only)
{
	struct vmm_blob one, two;

	(void)unused;
	CHECK(vmm_start(VIRGL_FLAG_ASYNC_FENCES));
	open_context(1, &one);
	CHECK(vmm_devices(1, &one, 0) == 1);
	CHECK(kill(server_worker(&server), SIGSTOP) == 0);
	CHECK(virgl_renderer_context_create_fence(1, 0, 0, 5) == 0);
	CHECK(kill(server_worker(&server), SIGKILL) == 0);
	CHECK(vmm_heard(1, 0, 5, PATIENCE_MS));
	open_context(2, &two);
	CHECK(vmm_devices(2, &two, 0) == 1);
	vmm_stop();
}

/* Stopped before, so that it can say nothing itself: the VMM's component does. */
SCENARIO(a_servers_worker_that_dies_is_gone_in_its_guests_word)
{
	const _Atomic uint32_t *word;
	struct vmm_blob reply;

	(void)unused;
	CHECK(vmm_start(VIRGL_FLAG_ASYNC_FENCES));
	open_context(1, &reply);
	word = vmm_beat(1, &reply);
	CHECK(word && vmm_beats(word) && vmm_beats(word));
	CHECK(kill(server_worker(&server), SIGSTOP) == 0);
	CHECK(kill(server_worker(&server), SIGKILL) == 0);
	CHECK(vmm_says_gone(word));
	vmm_stop();
}

SCENARIO(a_context_that_goes_takes_its_worker_along)
{
	struct vmm_blob reply;
	pid_t worker;

	(void)unused;
	CHECK(vmm_start(0));
	open_context(1, &reply);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	worker = server_worker(&server);
	virgl_renderer_context_destroy(1);
	CHECK(process_ends(worker, PATIENCE_MS));
	vmm_stop();
}

static void stay_with_a_worker(void *unused)
{
	struct vmm_blob reply;

	(void)unused;
	CHECK(vmm_start(0));
	open_context(1, &reply);
	CHECK(vmm_devices(1, &reply, 0) == 1);
	pause();
}

static void a_vmm_that_dies_takes_its_workers_along(void **state)
{
	pid_t vmm_pid = child_start(stay_with_a_worker, NULL), worker = 0;

	(void)state;
	for (int i = 0; i < 200 && !worker; i++) {
		usleep(10000);
		worker = server_worker(&server);
	}
	assert_true(worker > 0);
	assert_int_equal(kill(vmm_pid, SIGKILL), 0);
	assert_int_equal(child_end(vmm_pid), 128 + SIGKILL);
	assert_true(process_ends(worker, PATIENCE_MS));
}

/* A worker that has been taken over, as far as starting processes goes: by a server whose library does that. */
static void stay_with_a_breed(void *other)
{
	const struct server *breeding = other;
	struct vmm_blob reply;

	setenv("VIRGL_APIR_SERVER", breeding->workers, 1);
	CHECK(vmm_start(VIRGL_FLAG_ASYNC_FENCES));
	open_context(1, &reply);
	CHECK(vmm_devices(1, &reply, 0) == -1);
	pause();
}

static void what_a_servers_worker_started_ends_with(pid_t (*victim)(const struct server *))
{
	struct server breeding;
	struct breed breed;
	pid_t vmm_pid;

	assert_true(breed_begin(&breed));
	assert_true(server_start_on(&breeding, test_path("TEST_FAKE"), "APIR_LLAMA_CPP_GGML_LIBRARY_REG=fake_breeds"));
	vmm_pid = child_start(stay_with_a_breed, &breeding);
	assert_true(breed_lives(&breed));
	kill(victim ? victim(&breeding) : vmm_pid, SIGKILL);
	assert_true(breed_ends(&breed, PATIENCE_MS));
	kill(vmm_pid, SIGKILL);
	child_end(vmm_pid);
	server_stop(&breeding);
	breed_forget(&breed);
}

static void what_a_servers_worker_started_ends_with_it(void **state)
{
	(void)state;
	what_a_servers_worker_started_ends_with(server_worker);
}

static void what_a_servers_worker_started_ends_with_its_door(void **state)
{
	(void)state;
	what_a_servers_worker_started_ends_with(server_door);
}

static void what_a_servers_worker_started_ends_with_its_vmm(void **state)
{
	(void)state;
	what_a_servers_worker_started_ends_with(NULL);
}

static int knock(const void *message, size_t size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	ssize_t n;

	strcpy(a.sun_path, server.workers);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(send(fd, message, size, 0), (ssize_t)size);
	n = recv(fd, &byte, 1, 0);
	close(fd);
	return (int)n;
}

static void nonsense_is_hung_up_on(void **state)
{
	const struct worker_request no_descriptor = { WORKER_REQUEST_MAGIC, 1 };

	(void)state;
	assert_int_equal(knock("nonsense", 8), 0);
	assert_int_equal(knock(&no_descriptor, sizeof no_descriptor), 0);
	assert_int_equal(child_run(a_vmm_that_may_not_start_programs_computes_by_a_server_run, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vmm_that_may_not_start_programs_computes_by_a_server),
		cmocka_unit_test(without_a_server_such_a_vmm_is_told_the_cure),
		cmocka_unit_test(the_key_names_the_server_too),
		cmocka_unit_test(a_server_that_is_not_there_is_told_and_survived),
		cmocka_unit_test(the_libraries_are_the_servers_choice),
		cmocka_unit_test(a_servers_worker_that_dies_loses_its_context_only),
		cmocka_unit_test(a_servers_worker_that_dies_is_gone_in_its_guests_word),
		cmocka_unit_test(a_context_that_goes_takes_its_worker_along),
		cmocka_unit_test(a_vmm_that_dies_takes_its_workers_along),
		cmocka_unit_test(what_a_servers_worker_started_ends_with_it),
		cmocka_unit_test(what_a_servers_worker_started_ends_with_its_door),
		cmocka_unit_test(what_a_servers_worker_started_ends_with_its_vmm),
		cmocka_unit_test(nonsense_is_hung_up_on),
	};

	setenv("VIRGL_APIR_RENDERER_LIBRARY", "/nonexistent/libvirglrenderer.so", 1);
	setenv("VIRGL_APIR_WORKER", test_path("TEST_WORKER"), 1);
	return cmocka_run_group_tests(tests, server_up, server_down);
}
