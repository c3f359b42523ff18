/* SPDX-License-Identifier: MIT */
/*
 * A host that may less than we are used to: filters of system calls as older container runtimes have them, limits of files
 * and descriptors; and `run` that is killed, or whose door is stopped. What can be done without is done without; else a line says what is missing.
 */
#include "tests/support/cm.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "proto/util.h"
#include "tests/serve/client.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/server.h"

/* From now on, for this process and what it starts: these calls fail. */
static void forbid(const long *calls, size_t n, int err)
{
	struct sock_filter code[32] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	struct sock_fprog filter = { .filter = code };
	size_t at = 1;

	for (size_t i = 0; i < n; i++) {
		code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err);
	}
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter.len = (unsigned short)at;
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static const long newer[] = { SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pidfd_getfd, SYS_signalfd, SYS_signalfd4,
	SYS_close_range };

static void serves_under(void *err)
{
	struct server server;
	struct vtest v;
	pid_t worker;

	forbid(newer, ARRAY_SIZE(newer), *(int *)err);
	CHECK(server_start(&server, NULL));
	CHECK(client_open(&v, server.socket) == 0);
	worker = server_worker(&server);
	CHECK(worker);
	CHECK(client_blob(&v, 4096) == 0);
	vtest_close(&v);
	for (int i = 0; i < 20000 && kill(worker, 0) == 0; i++) /* without a pidfd */
		usleep(1000);
	CHECK(kill(worker, 0) < 0 && errno == ESRCH);
	CHECK(client_open(&v, server.socket) == 0);
	worker = server_worker(&server);
	kill(worker, SIGKILL);
	CHECK(server_said(&server, "its worker was ended by signal 9 (Killed)"));
	vtest_close(&v);
	server_stop(&server);
}

static void without_newer_system_calls_it_serves(void **state)
{
	static int errors[] = { EPERM, ENOSYS };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		assert_int_equal(child_run(serves_under, &errors[i]), 0);
}

static void without_memfd(void *unused)
{
	static const long memfd[] = { SYS_memfd_create };
	struct server server;
	struct vtest v;

	(void)unused;
	forbid(memfd, 1, EPERM);
	CHECK(server_start(&server, NULL));
	CHECK(client_open(&v, server.socket) == 0);
	CHECK(client_blob(&v, 4096) == -ENOMEM);
	CHECK(server_said(&server,
		"of 4096 bytes can't be made: Operation not permitted: something forbids memfd_create here: a filter "
		"of system calls (a container's seccomp profile), maybe"));
	CHECK(vtest_ping(&v) == 0);
	vtest_close(&v);
	server_stop(&server);
}

static void without_memfd_create_a_line_says_so(void **state)
{
	(void)state;
	assert_int_equal(child_run(without_memfd, NULL), 0);
}

static void with_small_files(void *unused)
{
	const struct rlimit small = { 65536, 65536 };
	struct server server;
	struct vtest v;

	(void)unused;
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0); /* this process makes no files */
	CHECK(server_start(&server, NULL));
	CHECK(client_open(&v, server.socket) == 0);
	CHECK(client_blob(&v, 4096) == 0);
	CHECK(client_blob(&v, 1 << 20) == -ENOMEM);
	CHECK(server_said(&server,
		"of 1048576 bytes can't be made: File too large: raise the limit of file sizes (RLIMIT_FSIZE) of the "
		"process that serves this guest"));
	CHECK(vtest_ping(&v) == 0);
	CHECK(client_blob(&v, 4096) == 0);
	vtest_close(&v);
	server_stop(&server);
}

static void where_files_are_limited_a_line_says_so_and_the_door_lives(void **state)
{
	(void)state;
	assert_int_equal(child_run(with_small_files, NULL), 0);
}

static void with_few_files(void *unused)
{
	const struct rlimit few = { 40, 40 };
	struct server server;
	struct vtest v;
	int err = 0;

	(void)unused;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	CHECK(server_start(&server, NULL));
	CHECK(client_open(&v, server.socket) == 0);
	for (int i = 0; i < 60 && !err; i++)
		err = client_blob(&v, 4096);
	CHECK(err == -ENOMEM);
	CHECK(vtest_ping(&v) == 0);
	vtest_close(&v);
	server_stop(&server);
}

static void where_descriptors_are_few_a_blob_is_refused_and_the_door_lives(void **state)
{
	(void)state;
	assert_int_equal(child_run(with_few_files, NULL), 0);
}

static bool empty(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	bool none = true;

	CHECK(d);
	while ((e = readdir(d)))
		none &= e->d_name[0] == '.';
	closedir(d);
	return none;
}

static pid_t run_start(const char *tmp, pid_t *command)
{
	pid_t run;

	setenv("TMPDIR", tmp, 1);
	run = fork();
	if (run == 0) {
		execl(test_path("TEST_CLI"), "ggml-virtgpu", "run", "--plugin", "none", "--ggml", "/nonexistent",
			"--backend", test_path("TEST_BACKEND"), "--", "/bin/sleep", "60", (char *)NULL);
		_exit(127);
	}
	*command = 0;
	for (int i = 0; i < 20000 && !*command; i++) {
		*command = process_child(run, "sleep");
		usleep(1000);
	}
	CHECK(*command && !empty(tmp));
	return run;
}

static void run_in(void *tmp)
{
	pid_t command, run = run_start(tmp, &command);

	kill(run, SIGKILL);
	waitpid(run, NULL, 0);
	for (int i = 0; i < 20000 && !empty(tmp); i++)
		usleep(1000);
	CHECK(empty(tmp));
	kill(command, SIGKILL);
}

static void run_that_is_killed_leaves_no_file(void **state)
{
	char tmp[] = "/tmp/test-run-XXXXXX";
	int status;

	(void)state;
	assert_non_null(mkdtemp(tmp));
	status = child_run(run_in, tmp);
	assert_int_equal(rmdir(tmp), 0);
	assert_int_equal(status, 0);
}

/* Whatever became of its doors: it gives them 8 s. */
static void run_with_a_stopped_door(void *tmp)
{
	pid_t command, run = run_start(tmp, &command), door = 0;
	struct vtest v;
	glob_t found;
	char pattern[128];

	snprintf(pattern, sizeof pattern, "%s/*/socket", (char *)tmp);
	CHECK(glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1);
	CHECK(vtest_connect(&v, found.gl_pathv[0]) == 0);
	globfree(&found);
	for (int i = 0; i < 20000 && !door; i++) {
		door = process_child(run, "ggml-virtgpu");
		usleep(1000);
	}
	CHECK(door > 0);
	kill(door, SIGSTOP);
	kill(command, SIGKILL);
	CHECK(process_ends(run, 40000));
	kill(door, SIGKILL);
	vtest_close(&v);
	CHECK(empty(tmp));
}

static void run_ends_though_its_door_stands_still(void **state)
{
	char tmp[] = "/tmp/test-run-XXXXXX";
	int status;

	(void)state;
	assert_non_null(mkdtemp(tmp));
	status = child_run(run_with_a_stopped_door, tmp);
	assert_int_equal(rmdir(tmp), 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_newer_system_calls_it_serves),
		cmocka_unit_test(without_memfd_create_a_line_says_so),
		cmocka_unit_test(where_files_are_limited_a_line_says_so_and_the_door_lives),
		cmocka_unit_test(where_descriptors_are_few_a_blob_is_refused_and_the_door_lives),
		cmocka_unit_test(run_that_is_killed_leaves_no_file),
		cmocka_unit_test(run_ends_though_its_door_stands_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
