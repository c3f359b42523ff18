/* SPDX-License-Identifier: MIT */
/* A host and one guest of it that is ready to compute: for test programs that need no more. */
#ifndef TESTS_PROTOCOL_FIXTURE_H
#define TESTS_PROTOCOL_FIXTURE_H

#include "tests/protocol/harness.h"

static struct host *h;
static struct guest g;

static inline int open_ready(void **state)
{
	(void)state;
	h = host_open(NULL, HOST_GGML);
	return h && guest_open(&g, h, 1) && guest_ready(&g) ? 0 : -1;
}

static inline int close_all(void **state)
{
	(void)state;
	guest_close(&g);
	host_close(h);
	return 0;
}

#endif
