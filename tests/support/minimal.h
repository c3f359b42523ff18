/* SPDX-License-Identifier: MIT */
/* A host that isn't ours, tests/doors/minimal.c, with the real backend library and ggml's CPU library. */
#ifndef TESTS_SUPPORT_MINIMAL_H
#define TESTS_SUPPORT_MINIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct minimal {
	pid_t pid;
	char dir[32], socket[64];
	FILE *says; /* its stderr */
};

/* What a client has asked it for. */
struct minimal_asked {
	size_t handshake_bytes;
	unsigned long calls, highest;
	unsigned warnings; /* that it does not tell the sizes of blobs */
};

/* Starts it and waits until it serves; kind: see minimal.c, NULL for none. */
bool minimal_start(struct minimal *m, const char *kind);
void minimal_stop(struct minimal *m);
/* What the client that leaves next, or has left, asked for. */
bool minimal_asked(struct minimal *m, struct minimal_asked *a);

#endif
