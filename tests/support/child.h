/* SPDX-License-Identifier: MIT */
/*
 * Tests in a process of their own: for what exists once a process (the plugin, the log) or ends it. A child
 * has no cmocka: it checks with CHECK(), which says where and ends it.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHECK(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                             \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

/* Runs fn(arg) in a child; its exit status: 0 when fn returned. 128 + n: signal n ended it. */
int child_run(void (*fn)(void *), void *arg);
/* The same, without waiting; child_end() waits for it. */
pid_t child_start(void (*fn)(void *), void *arg);
int child_end(pid_t pid);

/* What fn's process and its children write to stderr comes back as text, which the caller frees. */
int child_run_heard(void (*fn)(void *), void *arg, char **text);

/* In a child: where it is root's, it and its children are stopped by permissions from now on, as others are. */
void child_powers_drop(void);

#endif
