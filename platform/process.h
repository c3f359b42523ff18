/* SPDX-License-Identifier: MIT */
/*
 * A child program: started with nothing but what it is given, watched by a descriptor, ended with all that it has started.
 *
 * What is started is a keeper, the same file, which starts the program proper as its own child. It is there to be the parent
 * of whatever the program leaves behind, daemons too, and ends it: when the program has ended, when it is told to, and when
 * who started it is gone.
 */
#ifndef PLATFORM_PROCESS_H
#define PLATFORM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct process_end {
	bool by_signal;
	int code; /* exit status, or the signal */
};

struct process {
	pid_t pid;    /* the program's */
	pid_t keeper; /* our child's */
	int watch;    /* readable when there is news of its end; -1: reaped */
	int self;     /* the keeper itself, whoever has its number by now; -1: here nobody may have that */
	bool kept;    /* the keeper has said whose it is */
	bool ended;   /* the program has; `end` says how */
	bool gone;    /* and all that it had started, and the keeper */
	struct process_end end;
};

/* Starts the program at `path`, in a process group of its own, no signal blocked or handled. Its descriptors: 0 is
 * /dev/null, 1 and 2 are our stderr (or /dev/null), `as` (at least 3) is our fd, which is borrowed, and above that there are
 * none but the keeper's. -ENOENT and the like from exec. */
int process_start(struct process *p, const char *path, char *const argv[], char *const env[], int fd, int as);
/* In that program, before anything else: returns in the program proper, without the keeper's descriptor. 0, or -errno: it
 * was not started by process_start(). */
int process_keep(int as);
/* Waits at most ms (-1: as long as it takes); true when all of it has ended, or is reaped. */
bool process_wait(struct process *p, int ms);
/* How the program ended, without reaping it, after waiting at most ms. False: it hasn't, or nobody can tell. */
bool process_ended(struct process *p, int ms, struct process_end *out);
/* True when all of it has ended, and is reaped. Doesn't wait. */
bool process_reap(struct process *p);
/* Ends it and all that it has started with SIGKILL; harmless when it has ended. It is still to be reaped. */
void process_kill(struct process *p);

#endif
