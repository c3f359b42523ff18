/* SPDX-License-Identifier: MIT */
/*
 * See apir.h. The component parses nothing that a guest wrote into shared memory: it copies small commands to the
 * context's worker and passes descriptors. When a worker is gone its context is lost, and only that.
 */
#include "apir/internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/self.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define LEAVE_GRACE_MS 2000 /* from hanging up on the workers to killing them, when the door itself ends */
#define MIN_BLOBS      16
#define MAX_BLOBS      32768 /* a worker may have some 65000 mappings, two for a buffer that is a blob */

/* Three quarters of what there is: a host that swaps for one guest's blobs, or ends others for them, serves nobody. */
static uint64_t bytes_default(void)
{
	struct memory m;

	return memory_look(&m) ? m.total / 4 * 3 : UINT64_C(64) << 30;
}

/*
 * The limit is the memory: a guest may make its buffers of blobs and free none. What each costs beside its bytes is a
 * descriptor here; half of what this process may have is left for all else.
 */
static uint32_t blobs_default(uint64_t bytes)
{
	uint64_t n = bytes / APIR_BLOB_GRANULE;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 2 < n)
		n = files.rlim_cur / 2;
	return n < MIN_BLOBS ? MIN_BLOBS : n > MAX_BLOBS ? MAX_BLOBS : (uint32_t)n;
}

/* The worker's program: as told, beside this one, or where it is installed. */
static int worker_find(struct apir *a, const char *told)
{
	const char *env = getenv("VIRGL_APIR_WORKER");
	char folder[PATH_MAX];

	if (!told && env && *env)
		told = env;
	if (told)
		return snprintf(a->worker, sizeof a->worker, "%s", told) < (int)sizeof a->worker ? 0 : -ENAMETOOLONG;
	if (self_folder(folder, sizeof folder) &&
		snprintf(a->worker, sizeof a->worker, "%s/ggml-virtgpu-worker", folder) < (int)sizeof a->worker &&
		access(a->worker, X_OK) == 0)
		return 0;
	snprintf(a->worker, sizeof a->worker, "%s", APIR_LIBEXECDIR "/ggml-virtgpu-worker");
	return 0;
}

int apir_create(struct apir **out, const struct apir_options *opt, const struct apir_listener *l, void *user)
{
	struct apir *a = calloc(1, sizeof *a);
	int err;

	if (!a)
		return -ENOMEM;
	*a = (struct apir){ .listener = l, .user = user };
	if (opt)
		a->limits = opt->limits;
	if (!a->limits.blob_bytes)
		a->limits.blob_bytes = bytes_default();
	if (!a->limits.blobs)
		a->limits.blobs = blobs_default(a->limits.blob_bytes);
	if (!a->limits.contexts || a->limits.contexts > MAX_CONTEXTS)
		a->limits.contexts = MAX_CONTEXTS;
	a->venus = getenv("VIRGL_ROUTE_VENUS_TO_APIR") != NULL;
	err = worker_find(a, opt ? opt->worker : NULL);
	if (!err)
		err = events_create(&a->events);
	if (err) {
		apir_destroy(a);
		return err;
	}
	*out = a;
	return 0;
}

/* Hangs up on every worker, gives them a moment to end by themselves, and ends the others. */
static void workers_end(struct apir *a)
{
	int64_t by = clock_ms() + LEAVE_GRACE_MS;

	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		link_hang_up(&a->contexts[i].link);
		beat_gone(&a->contexts[i].beat);
		beat_stop(&a->contexts[i].beat);
		free(a->contexts[i].fences);
		free(a->contexts[i].burst);
	}
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		struct link *l = &a->contexts[i].link;
		int64_t now = clock_ms();

		if (link_watch(l) < 0)
			continue;
		link_wait(l, now < by ? (int)(by - now) : 0);
		if (!link_reap(l)) {
			link_kill(l);
			link_wait(l, LEAVE_GRACE_MS);
			link_reap(l);
		}
	}
}

void apir_destroy(struct apir *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		if (a->contexts[i].state == CTX_FREE)
			a->contexts[i].link = (struct link){ .sock = -1, .server = -1, .process.watch = -1 };
	}
	workers_end(a);
	for (size_t i = 0; i < a->n_blobs; i++)
		close(a->blobs[i].fd);
	free(a->blobs);
	config_fini(&a->config);
	events_destroy(a->events);
	free(a);
}
