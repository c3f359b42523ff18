/* SPDX-License-Identifier: MIT */
/* Tests whose bodies run in child processes, with the group's server. */
#ifndef TESTS_GUEST_SCENARIO_H
#define TESTS_GUEST_SCENARIO_H

#include "tests/guest/program.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tests/support/scenario.h"
#include "tests/support/server.h"

static struct server server;

static inline int server_up(void **state)
{
	(void)state;
	return server_start(&server, NULL) ? 0 : -1;
}

static inline int server_down(void **state)
{
	(void)state;
	server_stop(&server);
	return 0;
}

/* More than the worker's other memory varies by, and given back to the system when it is freed. */
#define HOST_BUFFER_BYTES ((size_t)64 << 20)

static inline struct abi_buffer *host_buffer(const struct program *p)
{
	struct abi_buffer *b = p->g.buft_alloc_buffer(p->g.dev_buffer_type(p->dev), HOST_BUFFER_BYTES);

	CHECK(b);
	b->iface.clear(b, 1);
	return b;
}

/* Whether the worker's memory has grown by so many of them. */
static inline bool host_holds(const struct program *p, size_t base, size_t buffers)
{
	size_t free_bytes, total, held;

	p->g.dev_memory(p->dev, &free_bytes, &total); /* what was sent before is done */
	held = process_memory(server_worker(&server)) - base;
	return SHADOWED || (held + HOST_BUFFER_BYTES / 2) / HOST_BUFFER_BYTES == buffers;
}

#endif
