/* SPDX-License-Identifier: MIT */
/*
 * See apir.h. The component parses nothing that a guest wrote into shared memory: it copies small commands to the
 * context's worker and passes descriptors. When a worker is gone its context is lost, and only that.
 */
#include "apir/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "proto/util.h"

#define LEAVE_GRACE_MS 2000 /* from hanging up on the workers to killing them, when the door itself ends */
#define DEFAULT_BLOBS  1024
#define DEFAULT_BYTES  (UINT64_C(64) << 30)

int watch(struct apir *a, int fd, uint32_t events, uint64_t word)
{
	struct epoll_event ev = { .events = events, .data.u64 = word };

	return epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* The worker's program: as told, beside this one, or where it is installed. */
static int worker_find(struct apir *a, const char *told)
{
	char self[PATH_MAX], *slash;
	ssize_t n;

	if (told)
		return snprintf(a->worker, sizeof a->worker, "%s", told) < (int)sizeof a->worker ? 0 : -ENAMETOOLONG;
	n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash &&
			snprintf(a->worker, sizeof a->worker, "%.*s/ggml-virtgpu-worker", (int)(slash - self), self) <
				(int)sizeof a->worker &&
			access(a->worker, X_OK) == 0)
			return 0;
	}
	snprintf(a->worker, sizeof a->worker, "%s", APIR_LIBEXECDIR "/ggml-virtgpu-worker");
	return 0;
}

int apir_create(struct apir **out, const struct apir_options *opt, const struct apir_listener *l, void *user)
{
	struct apir *a = calloc(1, sizeof *a);
	int err;

	if (!a)
		return -ENOMEM;
	*a = (struct apir){ .listener = l, .user = user, .epoll = -1, .wake = -1, .timer = -1 };
	if (opt)
		a->limits = opt->limits;
	if (!a->limits.blobs)
		a->limits.blobs = DEFAULT_BLOBS;
	if (!a->limits.blob_bytes)
		a->limits.blob_bytes = DEFAULT_BYTES;
	if (!a->limits.contexts || a->limits.contexts > MAX_CONTEXTS)
		a->limits.contexts = MAX_CONTEXTS;
	a->venus = getenv("VIRGL_ROUTE_VENUS_TO_APIR") != NULL;
	a->blobs = calloc(a->limits.blobs, sizeof *a->blobs);
	err = a->blobs ? worker_find(a, opt ? opt->worker : NULL) : -ENOMEM;
	if (!err) {
		a->epoll = epoll_create1(EPOLL_CLOEXEC);
		a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		a->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (a->epoll < 0 || a->wake < 0 || a->timer < 0)
			err = -errno;
	}
	if (!err)
		err = watch(a, a->wake, EPOLLIN, EV(EV_OWN, 0));
	if (!err)
		err = watch(a, a->timer, EPOLLIN, EV(EV_OWN, 1));
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
	uint64_t by = now_ms() + LEAVE_GRACE_MS;

	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		link_hang_up(&a->contexts[i].link);
		free(a->contexts[i].fences);
		free(a->contexts[i].burst);
	}
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		struct link *l = &a->contexts[i].link;
		struct pollfd p = { .fd = l->pidfd, .events = POLLIN };
		uint64_t now = now_ms();

		if (l->pidfd < 0)
			continue;
		poll(&p, 1, now < by ? (int)(by - now) : 0);
		if (!link_reap(l)) {
			link_kill(l);
			poll(&p, 1, LEAVE_GRACE_MS);
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
			a->contexts[i].link = (struct link){ .sock = -1, .pidfd = -1 };
	}
	workers_end(a);
	for (size_t i = 0; a->blobs && i < a->limits.blobs; i++) {
		if (a->blobs[i].res_id)
			close(a->blobs[i].fd);
	}
	free(a->blobs);
	config_fini(&a->config);
	if (a->epoll >= 0)
		close(a->epoll);
	if (a->wake >= 0)
		close(a->wake);
	if (a->timer >= 0)
		close(a->timer);
	free(a);
}
