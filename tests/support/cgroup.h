/* SPDX-License-Identifier: MIT */
/* A cgroup of the test's own, where this system lets it make one. */
#ifndef TESTS_SUPPORT_CGROUP_H
#define TESTS_SUPPORT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

struct cgroup {
	char path[256];
};

/* With a limit of memory, bytes (0: none needed, then any hierarchy does). False: not here. */
bool cgroup_make(struct cgroup *c, uint64_t limit);
/* This process, and what it starts from now on. False: it may not. */
bool cgroup_enter(const struct cgroup *c);
/* Waits for those in it to be gone. */
void cgroup_remove(const struct cgroup *c);

#endif
