/* SPDX-License-Identifier: MIT */
/* A test whose body runs in a child process: what it loads or starts is one a process. */
#ifndef TESTS_SUPPORT_SCENARIO_H
#define TESTS_SUPPORT_SCENARIO_H

#include "tests/support/child.h"
#include "tests/support/cm.h"

#define SCENARIO(name)                                                                                                 \
	static void name##_run(void *unused);                                                                          \
	static void name(void **state)                                                                                 \
	{                                                                                                              \
		(void)state;                                                                                           \
		assert_int_equal(child_run(name##_run, NULL), 0);                                                      \
	}                                                                                                              \
	static void name##_run(void *unused)

#endif
