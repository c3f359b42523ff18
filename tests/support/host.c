/* SPDX-License-Identifier: MIT */
/* See host.h. */
#include "tests/support/host.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/transport/deadline.h"
#include "tests/support/process.h"

static void on_fence_done(void *user, uint32_t ctx, uint32_t ring, uint64_t fence)
{
	struct host *h = user;

	h->done[h->n_done % HOST_MAX_HEARD].ctx = ctx;
	h->done[h->n_done % HOST_MAX_HEARD].ring = ring;
	h->done[h->n_done % HOST_MAX_HEARD].fence = fence;
	h->n_done++;
}

static void on_context_lost(void *user, uint32_t ctx)
{
	struct host *h = user;

	h->lost[h->n_lost++ % 64] = ctx;
}

static const struct apir_listener listener = { .fence_done = on_fence_done, .context_lost = on_context_lost };

struct host *host_open(const struct apir_limits *limits, enum host_config config)
{
	struct apir_options opt = { .worker = test_path("TEST_WORKER") };
	struct host *h = calloc(1, sizeof *h);
	char path[512];
	int err;

	if (!h)
		return NULL;
	if (limits)
		opt.limits = *limits;
	err = apir_create(&h->apir, &opt, &listener, h);
	if (!err && config >= HOST_BACKEND)
		err = apir_configure(h->apir, 0, "apir.load_library.path", test_path("TEST_BACKEND"));
	if (!err && config == HOST_GGML)
		err = apir_configure(h->apir, 0, "ggml.threads", "1");
	if (!err && config == HOST_GGML) {
		snprintf(path, sizeof path, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
		err = apir_configure(h->apir, 0, "ggml.library.path", path);
	}
	if (!err)
		return h;
	fprintf(stderr, "no host: %s\n", strerror(-err));
	host_close(h);
	return NULL;
}

void host_close(struct host *h)
{
	if (!h)
		return;
	apir_destroy(h->apir);
	free(h);
}

bool host_step(struct host *h, int timeout_ms)
{
	struct pollfd p = { .fd = apir_fd(h->apir), .events = POLLIN };

	apir_kick(h->apir);
	return poll(&p, 1, timeout_ms) > 0 && apir_dispatch(h->apir) == 0;
}

bool host_has_lost(const struct host *h, uint32_t ctx)
{
	for (size_t i = 0; i < h->n_lost && i < 64; i++) {
		if (h->lost[i] == ctx)
			return true;
	}
	return false;
}

static bool fence_heard(const struct host *h, size_t from, uint32_t ctx, uint64_t fence)
{
	for (size_t i = from; i < h->n_done; i++) {
		if (h->done[i % HOST_MAX_HEARD].ctx == ctx && h->done[i % HOST_MAX_HEARD].fence == fence)
			return true;
	}
	return false;
}

bool host_fence(struct host *h, uint32_t ctx)
{
	int64_t deadline = deadline_after(HOST_PATIENCE_MS);
	uint64_t fence = ++h->last_fence;
	size_t from = h->n_done;

	if (apir_fence(h->apir, ctx, 63, fence) < 0)
		return false;
	while (!fence_heard(h, from, ctx, fence)) {
		if (!deadline_left(deadline, HOST_PATIENCE_MS))
			return false;
		host_step(h, deadline_left(deadline, HOST_PATIENCE_MS));
	}
	return !host_has_lost(h, ctx);
}

bool host_loses(struct host *h, uint32_t ctx)
{
	int64_t deadline = deadline_after(HOST_PATIENCE_MS);

	while (!host_has_lost(h, ctx) && deadline_left(deadline, HOST_PATIENCE_MS))
		host_step(h, deadline_left(deadline, HOST_PATIENCE_MS));
	return host_has_lost(h, ctx);
}

pid_t host_worker(const struct host *h)
{
	(void)h;
	return process_child(getpid(), "ggml-virtgpu-worker");
}
