/* SPDX-License-Identifier: MIT */
/* Processes that a worker leaves behind: fake_ggml.c's fake_breeds starts them, and writes their numbers to a file. */
#ifndef TESTS_SUPPORT_BREED_H
#define TESTS_SUPPORT_BREED_H

#include <stdbool.h>
#include <sys/types.h>

#define BREED 3 /* a child, a daemon of its own session with no descriptor, and a daemon's child */

struct breed {
	char path[64];
	pid_t pids[BREED];
};

/* Of fake_outruns: each is followed by another, without pause, for as long as the file is there, or at most so long. */
#define OUTRUNNERS 64
#define OUTRUN_S   15

/* For workers started from now on. */
bool breed_begin(struct breed *b);
/* Waits until all are there and alive. */
bool breed_lives(struct breed *b);
/* Whether none is left after at most so long. */
bool breed_ends(const struct breed *b, int ms);
void breed_forget(struct breed *b);

#endif
