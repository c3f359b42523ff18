/* SPDX-License-Identifier: MIT */
/* A door without a peer: the real APIR component with the real worker, and what its listener hears. */
#ifndef TESTS_SUPPORT_HOST_H
#define TESTS_SUPPORT_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "apir/apir.h"

#define HOST_MAX_HEARD   65536
#define HOST_PATIENCE_MS 20000

struct host {
	struct apir *apir;
	struct {
		uint32_t ctx, ring;
		uint64_t fence;
	} done[HOST_MAX_HEARD]; /* fences, as they were reported */
	size_t n_done;
	uint32_t lost[64]; /* contexts */
	size_t n_lost;
	uint64_t last_fence;
};

/* What is configured: nothing, the backend library under test, or that and ggml's CPU library. */
enum host_config { HOST_BARE, HOST_BACKEND, HOST_GGML };

/* limits may be NULL. The caller frees with host_close(). NULL: it could not be made, which was said. */
struct host *host_open(const struct apir_limits *limits, enum host_config config);
void host_close(struct host *h);

/* Dispatches until the fence is done or the context is lost: true, done and not lost. */
bool host_fence(struct host *h, uint32_t ctx);
/* Dispatches until the context is reported lost; false: not within the patience. */
bool host_loses(struct host *h, uint32_t ctx);
bool host_has_lost(const struct host *h, uint32_t ctx);
/* Dispatches once, having waited for work at most timeout_ms. False: there was none. */
bool host_step(struct host *h, int timeout_ms);
/* The newest worker. */
pid_t host_worker(const struct host *h);

#endif
