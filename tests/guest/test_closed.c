/* SPDX-License-Identifier: MIT */
/*
 * Started with stdin, stdout or stderr closed, in every combination: a program with the plugin, and the server. What they
 * print must not go where the number's new owner is.
 */
#include "tests/guest/scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/process.h"

#define ALL 8 /* combinations of three */

static void prints_much(void)
{
	for (int i = 0; i < 100; i++) {
		(void)!write(STDOUT_FILENO, "text, text, text, text\n", 23);
		(void)!write(STDERR_FILENO, "error, error, error\n", 20);
	}
}

static void program_closed(unsigned closed)
{
	struct program p;
	struct net gpu, cpu;

	for (int fd = 0; fd < 3; fd++) {
		if (closed & 1u << fd)
			close(fd);
	}
	program_start(&p, server.socket);
	prints_much();
	net_make(&gpu, &p, p.gpu, 64, 2, 1);
	net_make(&cpu, &p, p.cpu, 64, 2, 1);
	net_input(&gpu, &p, 2);
	net_input(&cpu, &p, 2);
	prints_much();
	nets_agree(&gpu, p.gpu, &cpu, p.cpu, &p);
	prints_much();
	for (int fd = 0; fd < 3; fd++) {
		bool is_open = fcntl(fd, F_GETFD) >= 0;

		CHECK(closed & 1u << fd ? !is_open : is_open);
	}
	net_free(&gpu, &p);
	net_free(&cpu, &p);
	program_end(&p);
}

static void programs_each(void *number)
{
	program_closed(*(unsigned *)number);
}

static void a_program_without_stdin_stdout_or_stderr_computes(void **state)
{
	(void)state;
	for (unsigned closed = 0; closed < ALL; closed++) {
		print_message("closed: %u\n", closed);
		assert_int_equal(child_run(programs_each, &closed), 0);
	}
}

/* Its own, and those of its door and worker: what was closed is nothing's. */
static void std_is_null(pid_t pid, unsigned closed)
{
	char link[256];

	for (int fd = 0; fd < 3; fd++) {
		process_fd_link(pid, fd, link, sizeof link);
		CHECK(!(closed & 1u << fd) || !strcmp(link, "/dev/null"));
	}
}

static void server_each(void *number)
{
	const unsigned closed = *(unsigned *)number;
	struct program p;
	struct net n;

	CHECK(server_start_closed(&server, closed));
	program_start(&p, server.socket);
	std_is_null(server.pid, closed);
	std_is_null(server_door(&server), closed);
	std_is_null(server_worker(&server), closed & 4 ? 7 : 1);
	net_make(&n, &p, p.gpu, 64, 2, 1);
	net_input(&n, &p, 2);
	CHECK(p.g.graph_compute(p.gpu, n.graph) == ABI_STATUS_SUCCESS);
	net_free(&n, &p);
	program_end(&p);
	server_stop(&server);
}

static void a_server_without_stdin_stdout_or_stderr_serves(void **state)
{
	(void)state;
	for (unsigned closed = 0; closed < ALL; closed++) {
		print_message("closed: %u\n", closed);
		assert_int_equal(child_run(server_each, &closed), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_program_without_stdin_stdout_or_stderr_computes, server_up, server_down),
		cmocka_unit_test(a_server_without_stdin_stdout_or_stderr_serves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
