/* SPDX-License-Identifier: MIT */
/* See breed.h. */
#include "tests/support/breed.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/process.h"

bool breed_begin(struct breed *b)
{
	int fd;

	*b = (struct breed){ .path = "/tmp/test-breed-XXXXXX" };
	fd = mkstemp(b->path);
	if (fd >= 0)
		close(fd);
	return fd >= 0 && setenv("GGML_TEST_BREED", b->path, 1) == 0;
}

bool breed_lives(struct breed *b)
{
	for (int tries = 0; tries < 20000; tries++) {
		FILE *f = fopen(b->path, "re");
		int n = 0;

		while (f && n < BREED && fscanf(f, "%d\n", &b->pids[n]) == 1)
			n++;
		if (f)
			fclose(f);
		if (n == BREED)
			break;
		usleep(1000);
	}
	for (int i = 0; i < BREED; i++) {
		if (b->pids[i] <= 1 || kill(b->pids[i], 0) < 0)
			return false;
	}
	return true;
}

bool breed_ends(const struct breed *b, int ms)
{
	bool all = true;

	for (int i = 0; i < BREED; i++) {
		bool gone = process_ends(b->pids[i], ms);

		if (!gone)
			fprintf(stderr, "process %d, number %d of its breed, lives on\n", (int)b->pids[i], i);
		all &= gone;
	}
	return all;
}

void breed_forget(struct breed *b)
{
	for (int i = 0; i < BREED; i++) {
		if (b->pids[i] > 1)
			kill(b->pids[i], SIGKILL);
	}
	unlink(b->path);
	unsetenv("GGML_TEST_BREED");
}
