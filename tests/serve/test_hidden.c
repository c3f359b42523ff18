/* SPDX-License-Identifier: MIT */
/*
 * What a worker that a guest has taken over would try on other guests' processes: its user's rights are theirs too. The
 * same attempts on a process that doesn't hide succeed, which shows that they are attempts.
 */
#include "tests/support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/serve/client.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tests/support/server.h"

#define NOBODY 65534

/* How many of the ways in are open. */
static int ways_into(pid_t pid)
{
	char path[64], byte;
	struct iovec here = { &byte, 1 }, there = { path, 1 };
	int open_ways = 0, fd;

	snprintf(path, sizeof path, "/proc/%d/fd/0", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 || (errno != EACCES && errno != EPERM && errno != ENOENT)) {
		fprintf(stderr, "%s: %s\n", path, fd < 0 ? strerror(errno) : "opened");
		open_ways++;
	}
	if (fd >= 0)
		close(fd);
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		fprintf(stderr, "%s: opened\n", path);
		open_ways++;
		close(fd);
	}
	/* The address means nothing there; who may is told so by another error than who may not. */
	if (process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || errno != EPERM) {
		fprintf(stderr, "%d: process_vm_readv\n", (int)pid);
		open_ways++;
	}
	fd = pidfd_open(pid, 0);
	if (fd >= 0 && (syscall(SYS_pidfd_getfd, fd, 0, 0) >= 0 || errno != EPERM)) {
		fprintf(stderr, "%d: pidfd_getfd\n", (int)pid);
		open_ways++;
	}
	if (fd >= 0)
		close(fd);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		fprintf(stderr, "%d: ptrace\n", (int)pid);
		open_ways++;
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	return open_ways;
}

#define ALL_WAYS 5

static void powers_none(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap);
	CHECK(!syscall(SYS_capset, &head, none));
}

/* The build, for this process and its children, where others can reach it: it may lie in a home. */
static void build_at(const char *folder)
{
	size_t n = strlen(test_path("TEST_CLI")) - strlen("/cli/ggml-virtgpu");
	char build[PATH_MAX], path[PATH_MAX];

	snprintf(build, sizeof build, "%.*s", (int)n, test_path("TEST_CLI"));
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount(build, folder, NULL, MS_BIND, NULL))
		return; /* in a container, say */
	for (char **e = environ; *e; e++) {
		const char *value = strchr(*e, '=');
		char name[64];

		if (strncmp(*e, "TEST_", 5) != 0 || !value || strncmp(value + 1, build, n) != 0)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(value - *e), *e);
		snprintf(path, sizeof path, "%s%s", folder, value + 1 + n);
		setenv(name, path, 1);
	}
}

/* Before anything is started: as root with no power but its number, or as somebody else. */
static bool become(bool somebody_else)
{
	if (!somebody_else) {
		powers_none();
		return true;
	}
	if (geteuid())
		return true;
	build_at("/mnt");
	CHECK(!setresgid(NOBODY, NOBODY, NOBODY) && !setresuid(NOBODY, NOBODY, NOBODY));
	prctl(PR_SET_DUMPABLE, 1);
	return access(test_path("TEST_CLI"), X_OK) == 0; /* where the build lies is nobody's to enter, maybe */
}

static pid_t program_wait(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static int oom_score_adj(pid_t pid)
{
	char path[64];
	int v = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &v) != 1)
		v = -1;
	if (f)
		fclose(f);
	return v;
}

static void of_serve(void *somebody_else)
{
	pid_t door, worker, silent, plain;
	struct server server;
	struct vtest v, w;

	CHECK(become(somebody_else));
	plain = program_wait((char *[]){ "/bin/sleep", "60", NULL });
	CHECK(server_start(&server, NULL));
	CHECK(vtest_connect(&w, server.workers) == 0);
	while (!(silent = server_door(&server)))
		usleep(1000);
	CHECK(client_open(&v, server.socket) == 0);
	door = server_door(&server);
	worker = server_worker(&server);
	CHECK(door && worker && silent && door != silent);
	CHECK(ways_into(plain) == ALL_WAYS);
	CHECK(ways_into(server.pid) == 0);
	CHECK(ways_into(door) == 0);
	CHECK(ways_into(silent) == 0);
	while (process_cpu_ms(worker) < 0)
		usleep(1000);
	CHECK(vtest_ping(&v) == 0);
	/* Its moment after exec is over once it has answered. */
	for (int i = 0; i < 2000 && ways_into(worker); i++)
		usleep(1000);
	CHECK(ways_into(worker) == 0);
	CHECK(oom_score_adj(worker) >= 800);                          /* which it had to say before it hid */
	CHECK(ways_into((pid_t)process_status(worker, "PPid")) == 0); /* its keeper */
	vtest_close(&v);
	vtest_close(&w);
	server_stop(&server);
	kill(plain, SIGKILL);
}

static void of_run(void *unused)
{
	char line[64] = "";
	int ends[2];
	pid_t run, command;

	(void)unused;
	powers_none();
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	run = fork();
	if (run == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDOUT_FILENO);
		execl(test_path("TEST_CLI"), "ggml-virtgpu", "run", "--plugin", "none", "--ggml", "/nonexistent",
			"--backend", test_path("TEST_BACKEND"), "--", "/bin/sh", "-c", "echo $$; exec sleep 60",
			(char *)NULL);
		_exit(127);
	}
	CHECK(read(ends[0], line, sizeof line - 1) > 0);
	command = (pid_t)strtol(line, NULL, 10);
	CHECK(command > 0);
	usleep(100000); /* its second exec */
	CHECK(ways_into(run) == 0);
	CHECK(ways_into(command) == ALL_WAYS);
	kill(run, SIGTERM);
	waitpid(run, NULL, 0);
}

static void hidden_or_skip(void)
{
	if (SANITIZED) {
		print_message("a sanitizer looks for itself\n");
		skip();
	}
}

static void serve_and_its_doors_and_workers_cannot_be_looked_into(void **state)
{
	(void)state;
	hidden_or_skip();
	assert_int_equal(child_run(of_serve, NULL), 0);
}

static void can_become(void *unused)
{
	(void)unused;
	CHECK(become(true));
}

static void nor_by_a_worker_of_an_ordinary_user(void **state)
{
	(void)state;
	hidden_or_skip();
	if (child_run(can_become, NULL)) {
		print_message("the build lies where others can't enter\n");
		skip();
	}
	assert_int_equal(child_run(of_serve, (void *)1), 0);
}

static void run_hides_and_its_command_does_not(void **state)
{
	(void)state;
	hidden_or_skip();
	assert_int_equal(child_run(of_run, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serve_and_its_doors_and_workers_cannot_be_looked_into),
		cmocka_unit_test(nor_by_a_worker_of_an_ordinary_user),
		cmocka_unit_test(run_hides_and_its_command_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
