/* SPDX-License-Identifier: MIT */
/* Connections that say nothing, as many as there are places: who else gets in, and when they have to go. */
#include "tests/support/cm.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "proto/util.h"
#include "tests/serve/client.h"
#include "tests/support/cgroup.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/server.h"

#define CROWD       256
#define PATIENCE_MS 60000

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	CHECK(connect(fd, (const struct sockaddr *)&a, sizeof a) == 0);
	return fd;
}

static bool hangs_up(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0 && p.revents & (POLLIN | POLLHUP);
}

/* A crowd in that group (NULL: in ours), which says one byte when all are connected. */
static pid_t crowd_start(const char *socket, const struct cgroup *group)
{
	int ends[2];
	char byte;
	pid_t pid;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK(!group || cgroup_enter(group));
		for (int i = 0; i < CROWD; i++)
			connect_to(socket);
		CHECK(write(ends[1], "x", 1) == 1);
		pause();
	}
	close(ends[1]);
	CHECK(read(ends[0], &byte, 1) == 1);
	close(ends[0]);
	return pid;
}

static void crowd_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Whether somebody new gets a context now. */
static bool served(const char *socket)
{
	struct vtest v;
	int err = client_open(&v, socket);

	vtest_close(&v);
	return err == 0;
}

static void other_group(void *group)
{
	struct server server;
	pid_t crowd;

	CHECK(server_start(&server, NULL));
	crowd = crowd_start(server.socket, group);
	/* The last of them may still wait to be accepted: then ours waits behind them. */
	CHECK(served(server.socket));
	CHECK(process_children(server.pid) > CROWD / 4);
	crowd_end(crowd);
	server_stop(&server);
}

static void silent_connections_of_one_cgroup_leave_room_for_others(void **state)
{
	struct cgroup group;
	int status;

	(void)state;
	if (!cgroup_make(&group, 0)) {
		print_message("no cgroups here that we may make\n");
		skip();
	}
	status = child_run(other_group, &group);
	cgroup_remove(&group);
	assert_int_equal(status, 0);
}

static void same_group(void *unused)
{
	struct server server;
	pid_t crowd;
	int first;

	(void)unused;
	CHECK(server_start(&server, NULL));
	first = connect_to(server.socket);
	crowd = crowd_start(server.socket, NULL);
	CHECK(!served(server.socket));
	/* They hang on, and the server doesn't. */
	CHECK(hangs_up(first, PATIENCE_MS));
	for (int i = 0; i < PATIENCE_MS / 100 && process_children(server.pid); i++)
		usleep(100000);
	CHECK(served(server.socket));
	CHECK(server_said(&server, "connections are the share of "));
	CHECK(server_said(&server, "socket: client '' made no context within 10 s; hanging up"));
	crowd_end(crowd);
	close(first);
	server_stop(&server);
}

static void a_silent_connection_has_to_go(void **state)
{
	(void)state;
	assert_int_equal(child_run(same_group, NULL), 0);
}

/* Every byte of a message, but slowly; and messages without end. */
static void makes_no_context(void *unused)
{
	const uint32_t busy[2] = { 0, 0 };
	struct server server;
	struct vtest v;
	int64_t n = 0;
	int slow;

	(void)unused;
	CHECK(server_start(&server, NULL));
	slow = connect_to(server.socket);
	CHECK(vtest_connect(&v, server.socket) == 0);
	CHECK(vtest_send(&v, VTEST_CREATE_RENDERER, "busy", sizeof "busy") == 0);
	while (!hangs_up(slow, 50) && n++ < PATIENCE_MS / 50) {
		(void)!send(slow, "\0", 1, MSG_NOSIGNAL);
		if (vtest_send(&v, VTEST_RESOURCE_BUSY_WAIT, busy, sizeof busy) == 0)
			vtest_receive(&v, VTEST_RESOURCE_BUSY_WAIT, (uint32_t[1]){ 0 }, 4, 4);
	}
	CHECK(hangs_up(slow, 0));
	for (int i = 0; i < 100 && !vtest_hung_up(&v); i++)
		usleep(100000);
	CHECK(vtest_hung_up(&v));
	vtest_close(&v);
	close(slow);
	server_stop(&server);
}

static void one_that_is_slow_or_chats_has_to_go_too(void **state)
{
	(void)state;
	assert_int_equal(child_run(makes_no_context, NULL), 0);
}

/* With a context, or with a VM that boots, silence is nothing bad. */
static void may_be_silent(void *unused)
{
	struct server server;
	struct vtest v;
	int vm, silent;

	(void)unused;
	CHECK(server_start(&server, NULL));
	CHECK(client_open(&v, server.socket) == 0);
	vm = connect_to(server.vhost_user);
	silent = connect_to(server.socket);
	CHECK(hangs_up(silent, PATIENCE_MS));
	CHECK(!hangs_up(vm, 2000));
	CHECK(vtest_ping(&v) == 0);
	vtest_close(&v);
	close(vm);
	close(silent);
	server_stop(&server);
}

static void a_context_and_a_vm_may_be_silent(void **state)
{
	(void)state;
	assert_int_equal(child_run(may_be_silent, NULL), 0);
}

/* Made by a process that is gone when the server comes to it: whose it is nobody can tell. */
static void passed_on(void *unused)
{
	struct server server;
	int fds[2], status;

	(void)unused;
	CHECK(server_start(&server, NULL));
	CHECK(kill(server.pid, SIGSTOP) == 0);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		pid_t pid;

		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		snprintf(a.sun_path, sizeof a.sun_path, "%s", server.socket);
		pid = i ? 0 : fork();
		if (pid == 0)
			CHECK(connect(fds[i], (const struct sockaddr *)&a, sizeof a) == 0);
		if (pid == 0 && !i)
			_exit(0);
		CHECK(i || (waitpid(pid, &status, 0) == pid && status == 0));
	}
	CHECK(kill(server.pid, SIGCONT) == 0);
	CHECK(server_said(&server, "who connected is gone already: refused"));
	CHECK(hangs_up(fds[0], PATIENCE_MS));
	CHECK(!hangs_up(fds[1], 0)); /* ours goes on */
	close(fds[0]);
	close(fds[1]);
	server_stop(&server);
}

static void a_connection_that_was_passed_on_has_no_share_of_its_own(void **state)
{
	int pidfd = -1, pair[2];
	socklen_t len = sizeof pidfd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	if (getsockopt(pair[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &len) < 0) {
		print_message("this kernel can't tell\n");
		skip();
	}
	close(pidfd);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(child_run(passed_on, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silent_connections_of_one_cgroup_leave_room_for_others),
		cmocka_unit_test(a_silent_connection_has_to_go),
		cmocka_unit_test(one_that_is_slow_or_chats_has_to_go_too),
		cmocka_unit_test(a_context_and_a_vm_may_be_silent),
		cmocka_unit_test(a_connection_that_was_passed_on_has_no_share_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
