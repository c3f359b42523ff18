/* SPDX-License-Identifier: MIT */
/* What Linux tells of other processes. */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where the build has our programs and libraries: meson sets the variables. Ends the test where one is
 * missing. */
const char *test_path(const char *variable);

/* parent's newest child, or its keeper's, whose command begins with `name`; 0: none. */
pid_t process_child(pid_t parent, const char *name);
/* How many children it has, zombies too. */
size_t process_children(pid_t parent);
/* Whether it ends within timeout_ms; true also when it is no more. */
bool process_ends(pid_t pid, int timeout_ms);
/* Resident anonymous memory (heap and stacks, not files), bytes; 0: no such process. */
size_t process_memory(pid_t pid);
/* How many descriptors it has beyond `known`, whose links begin with something else than `prefix`. */
int process_fds_but(pid_t pid, int known, const char *prefix);
/* Where its descriptor leads, "" when it has none such. */
void process_fd_link(pid_t pid, int fd, char *out, size_t size);
/* Whether its environment has the variable ("NAME="). */
bool process_has_env(pid_t pid, const char *name);
/* The CPU time that it has used, ms; -1: no such process. */
long process_cpu_ms(pid_t pid);
/* A number from its /proc/PID/status; -1: none. */
long process_status(pid_t pid, const char *field);

#endif
