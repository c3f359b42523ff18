/* SPDX-License-Identifier: MIT */
/* A test whose body runs in a child process, with the group's server. */
#ifndef TESTS_GUEST_SCENARIO_H
#define TESTS_GUEST_SCENARIO_H

#include "tests/support/cm.h"
#include "tests/guest/program.h"
#include "tests/support/server.h"

#define SCENARIO(name)                                                                                                 \
	static void name##_run(void *unused);                                                                          \
	static void name(void **state)                                                                                 \
	{                                                                                                              \
		(void)state;                                                                                           \
		assert_int_equal(child_run(name##_run, NULL), 0);                                                      \
	}                                                                                                              \
	static void name##_run(void *unused)

static struct server server;

static inline int server_up(void **state)
{
	(void)state;
	return server_start(&server, NULL) ? 0 : -1;
}

static inline int server_down(void **state)
{
	(void)state;
	server_stop(&server);
	return 0;
}

#endif
