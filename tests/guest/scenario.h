/* SPDX-License-Identifier: MIT */
/* Tests whose bodies run in child processes, with the group's server. */
#ifndef TESTS_GUEST_SCENARIO_H
#define TESTS_GUEST_SCENARIO_H

#include "tests/guest/program.h"
#include "tests/support/scenario.h"
#include "tests/support/server.h"

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
