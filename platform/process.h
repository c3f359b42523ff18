/* SPDX-License-Identifier: MIT */
/* A child process: started with nothing but what it is given, watched by a descriptor, killed without a race. */
#ifndef PLATFORM_PROCESS_H
#define PLATFORM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct process {
	pid_t pid;
	int watch; /* readable once the process has ended; -1: reaped */
};

struct process_end {
	bool by_signal;
	int code; /* exit status, or the signal */
};

/* Starts the program at `path`, in a process group of its own, no signal blocked or handled. Its descriptors: 0 is
 * /dev/null, 1 and 2 are our stderr, `as` (at least 3) is our fd, which is borrowed, and above that there are none.
 * -ENOENT and the like from exec. */
int process_start(struct process *p, const char *path, char *const argv[], char *const env[], int fd, int as);
/* Waits at most ms; true when it has ended, or is reaped. */
bool process_wait(const struct process *p, int ms);
/* How it ended, without reaping it, after waiting at most ms. False: it hasn't, or nobody can tell. */
bool process_ended(const struct process *p, int ms, struct process_end *out);
/* True when it has ended, and is reaped. Doesn't wait. */
bool process_reap(struct process *p);
/* Ends it with SIGKILL; harmless when it has ended. It is still to be reaped. */
void process_kill(const struct process *p);

#endif
