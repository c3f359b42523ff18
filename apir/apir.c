/* SPDX-License-Identifier: MIT */
/*
 * See apir.h. The component parses nothing that a guest wrote into shared memory: it copies small commands to the
 * context's worker and passes descriptors. When a worker is gone its context is lost, and only that.
 */
#include "apir/apir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "apir/blob.h"
#include "apir/config.h"
#include "apir/link.h"
#include "apir/log.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define MAX_CONTEXTS    64 /* a blob's attachments are one word of bits */
#define MAX_FENCES      16384
#define WORKER_GRACE_MS 6000 /* from hanging up on a worker to killing it */
#define LEAVE_GRACE_MS  2000 /* the same when the door itself ends */
#define DEFAULT_BLOBS   1024
#define DEFAULT_BYTES   (UINT64_C(64) << 30)

struct fence {
	uint32_t ring;
	uint64_t id;
};

/* A slot goes free -> live -> (lost ->) leaving -> free; leaving: the door destroyed it, the process is ending. */
enum context_state { CTX_FREE, CTX_LIVE, CTX_LOST, CTX_LEAVING };

struct context {
	enum context_state state;
	uint32_t id;
	char name[32];
	struct link link;
	bool untold;          /* lost, and the listener doesn't know yet */
	bool epoll_out;       /* we asked to be told when the socket takes more */
	struct fence *fences; /* pending, oldest first */
	size_t n_fences, room_fences;
	uint64_t blob_bytes;
	uint32_t blobs;
	uint64_t leave_by; /* CLOCK_MONOTONIC, ms */
	uint8_t *burst;    /* commands that apir_kick() will send; kept with the slot */
	size_t n_burst;
};

struct blob {
	uint32_t res_id; /* 0: free */
	int fd;
	uint64_t size;
	uint64_t attached; /* bit i: to contexts[i] */
};

struct apir {
	const struct apir_listener *listener;
	void *user;
	struct apir_limits limits;
	char worker[PATH_MAX];
	struct config config;
	bool venus;
	int epoll, wake, timer;
	struct context contexts[MAX_CONTEXTS];
	struct blob *blobs; /* limits.blobs of them */
	uint64_t blob_bytes;
};

/* epoll's words: a context's socket, its process, or one of our own descriptors */
enum { EV_SOCK = 0, EV_PROCESS = 1, EV_OWN = 2 };
#define EV(kind, i) ((uint64_t)(kind) << 32 | (uint32_t)(i))

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int watch(struct apir *a, int fd, uint32_t events, uint64_t word)
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

static struct context *context_find(const struct apir *a, uint32_t ctx_id)
{
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		const struct context *c = &a->contexts[i];

		if (c->id == ctx_id && (c->state == CTX_LIVE || c->state == CTX_LOST))
			return (struct context *)(uintptr_t)c;
	}
	return NULL;
}

static struct blob *blob_find(const struct apir *a, uint32_t res_id)
{
	for (size_t i = 0; res_id && i < a->limits.blobs; i++) {
		if (a->blobs[i].res_id == res_id)
			return &a->blobs[i];
	}
	return NULL;
}

/* Reports, oldest first, every fence that nobody will complete any more. */
static void fences_flush(struct apir *a, struct context *c)
{
	size_t n = c->n_fences;

	c->n_fences = 0;
	for (size_t i = 0; i < n; i++)
		a->listener->fence_done(a->user, c->id, c->fences[i].ring, c->fences[i].id);
}

/* The worker is gone (why: NULL), or to be given up: only this context dies. */
static void context_lose(struct apir *a, struct context *c, const char *why)
{
	char who[32], end[96];

	if (c->state != CTX_LIVE)
		return;
	log_error("context %" PRIu32 " (%s): %s: the context is lost, others go on", c->id,
		log_escape(who, sizeof who, c->name), why ? why : link_end(&c->link, end, sizeof end));
	c->state = CTX_LOST;
	c->untold = true;
	link_kill(&c->link);
	link_hang_up(&c->link);
	eventfd_write(a->wake, 1); /* the listener hears of it from apir_dispatch() */
}

/* Sends, or gives the context up; what happened is the listener's to hear, not the caller's. */
static int message_send(
	struct apir *a, struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.u64 = EV(EV_SOCK, c - a->contexts) };
	int err = link_send(&c->link, m, payload, size, fd);

	if (err < 0) {
		context_lose(a, c, err == -ENOBUFS ? "it floods its worker" : NULL);
		return err;
	}
	if (link_waits(&c->link) && !c->epoll_out && epoll_ctl(a->epoll, EPOLL_CTL_MOD, c->link.sock, &ev) == 0)
		c->epoll_out = true;
	return 0;
}

static int burst_send(struct apir *a, struct context *c)
{
	const struct worker_msg m = { .type = WORKER_SUBMIT };
	size_t n = c->n_burst;

	c->n_burst = 0;
	return n && c->state == CTX_LIVE ? message_send(a, c, &m, c->burst, n, -1) : 0;
}

/* Anything else goes behind the commands that came before it. */
static int context_send(
	struct apir *a, struct context *c, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err = burst_send(a, c);

	return err < 0 ? err : message_send(a, c, m, payload, size, fd);
}

void apir_kick(struct apir *a)
{
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		if (a->contexts[i].n_burst)
			burst_send(a, &a->contexts[i]);
	}
}

struct config_target {
	struct apir *a;
	struct context *c;
};

static int config_push(void *user, const char *key, const char *value)
{
	const struct config_target *t = user;
	struct worker_msg m = { .type = WORKER_CONFIG };
	size_t nk = strlen(key) + 1, nv = strlen(value) + 1;
	AUTO_FREE char *both = malloc(nk + nv);

	if (!both)
		return -ENOMEM;
	memcpy(both, key, nk);
	memcpy(both + nk, value, nv);
	return context_send(t->a, t->c, &m, both, nk + nv, -1);
}

int apir_configure(struct apir *a, uint32_t ctx_id, const char *key, const char *value)
{
	int err = config_set(&a->config, ctx_id, key, value);

	for (size_t i = 0; !err && i < MAX_CONTEXTS; i++) {
		struct context *c = &a->contexts[i];

		/* A key for all must not hide one for this context. */
		if (c->state == CTX_LIVE && (ctx_id == 0 || c->id == ctx_id))
			err = config_push(&(struct config_target){ a, c }, key, config_get(&a->config, c->id, key));
	}
	return err;
}

int apir_fd(const struct apir *a)
{
	return a->epoll;
}

bool apir_routes_venus(const struct apir *a)
{
	return a->venus;
}

void apir_route_venus(struct apir *a)
{
	a->venus = true;
}

int apir_capset(const struct apir *a, uint32_t capset_id, void *data, size_t size)
{
	struct apir_capset caps = { .version = 1, .supports_blob_resources = 1 };
	size_t full;

	if (capset_id == APIR_CAPSET_APIR)
		full = sizeof caps;
	else if (capset_id == APIR_CAPSET_VENUS && a->venus)
		full = APIR_CAPSET_VENUS_SIZE;
	else
		return -ENOENT;
	if (data) {
		memset(data, 0, size);
		memcpy(data, &caps, size < sizeof caps ? size : sizeof caps);
	}
	return (int)full;
}

int apir_context_create(struct apir *a, uint32_t ctx_id, const char *name)
{
	struct context *c = NULL;
	size_t live = 0;
	int err;

	if (!ctx_id || context_find(a, ctx_id))
		return -EEXIST;
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		if (a->contexts[i].state == CTX_FREE) {
			if (!c)
				c = &a->contexts[i];
		} else {
			live++;
		}
	}
	if (!c || live >= a->limits.contexts)
		return -EDQUOT;
	*c = (struct context){ .id = ctx_id, .fences = c->fences, .room_fences = c->room_fences, .burst = c->burst };
	snprintf(c->name, sizeof c->name, "%s", name && *name ? name : "unnamed");
	err = link_start(&c->link, a->worker, ctx_id);
	if (err < 0) {
		log_error("cannot start the worker '%s': %s: install it there", a->worker, strerror(-err));
		return err;
	}
	err = watch(a, c->link.sock, EPOLLIN, EV(EV_SOCK, c - a->contexts));
	if (!err && c->link.pidfd >= 0)
		err = watch(a, c->link.pidfd, EPOLLIN, EV(EV_PROCESS, c - a->contexts));
	c->state = CTX_LIVE;
	if (!err)
		err = config_each(&a->config, ctx_id, config_push, &(struct config_target){ a, c });
	if (err) {
		apir_context_destroy(a, ctx_id);
		return err;
	}
	log_info("context %" PRIu32 " (%s): worker %d", ctx_id, c->name, (int)c->link.pid);
	return 0;
}

/* When the earliest leaving worker must be gone: the timer rings. */
static void timer_set(struct apir *a)
{
	struct itimerspec t = { 0 };
	uint64_t first = 0;

	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		const struct context *c = &a->contexts[i];

		if (c->state == CTX_LEAVING && (!first || c->leave_by < first))
			first = c->leave_by;
	}
	t.it_value.tv_sec = (time_t)(first / 1000);
	t.it_value.tv_nsec = (long)(first % 1000) * 1000000;
	timerfd_settime(a->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void context_reap(struct apir *a, struct context *c)
{
	if (!link_reap(&c->link))
		return;
	if (c->state == CTX_LEAVING)
		c->state = CTX_FREE;
	else
		context_lose(a, c, NULL);
}

void apir_context_destroy(struct apir *a, uint32_t ctx_id)
{
	struct context *c = context_find(a, ctx_id);
	uint64_t bit;

	if (!c)
		return;
	bit = UINT64_C(1) << (c - a->contexts);
	for (size_t i = 0; i < a->limits.blobs; i++)
		a->blobs[i].attached &= ~bit;
	burst_send(a, c);
	link_flush(&c->link);
	link_hang_up(&c->link);
	fences_flush(a, c);
	config_forget(&a->config, ctx_id);
	c->state = CTX_LEAVING;
	c->leave_by = now_ms() + WORKER_GRACE_MS;
	context_reap(a, c);
	timer_set(a);
}

/* A free slot for a blob of `size` bytes, within the quota. */
static int blob_slot(struct apir *a, uint32_t res_id, uint64_t size, struct blob **out)
{
	struct blob *b = NULL;

	if (!res_id || !size)
		return -EINVAL;
	if (blob_find(a, res_id))
		return -EEXIST;
	for (size_t i = 0; !b && i < a->limits.blobs; i++) {
		if (!a->blobs[i].res_id)
			b = &a->blobs[i];
	}
	if (!b || !range_ok(a->blob_bytes, size, a->limits.blob_bytes)) {
		log_warn("blob %" PRIu32 " of %" PRIu64 " bytes is over the quota (%" PRIu32 " blobs, %" PRIu64
			 " bytes)",
			res_id, size, a->limits.blobs, a->limits.blob_bytes);
		return -EDQUOT;
	}
	*out = b;
	return 0;
}

static void blob_fill(struct apir *a, struct blob *b, uint32_t res_id, int fd, uint64_t size)
{
	*b = (struct blob){ .res_id = res_id, .fd = fd, .size = size };
	a->blob_bytes += size;
}

int apir_blob_create(struct apir *a, uint32_t res_id, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), rounded = round_up(size, page);
	struct blob *b;
	int err = blob_slot(a, res_id, rounded, &b), fd;

	if (err)
		return err;
	fd = blob_memfd(rounded);
	if (fd < 0)
		return fd;
	blob_fill(a, b, res_id, fd, rounded);
	return 0;
}

int apir_blob_adopt(struct apir *a, uint32_t res_id, int fd)
{
	AUTO_CLOSE int ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct blob *b;
	uint64_t size;
	int err;

	if (ours < 0)
		return -errno;
	err = blob_memfd_seal(ours, &size);
	if (!err)
		err = blob_slot(a, res_id, size, &b);
	if (!err)
		blob_fill(a, b, res_id, fd_steal(&ours), size);
	return err;
}

int apir_blob_fd(const struct apir *a, uint32_t res_id, uint64_t *size)
{
	const struct blob *b = blob_find(a, res_id);

	if (!b)
		return -ENOENT;
	*size = b->size;
	return b->fd;
}

int apir_blob_attach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	struct context *c = context_find(a, ctx_id);
	struct blob *b = blob_find(a, res_id);
	struct worker_msg m = { .type = WORKER_BLOB_ADD, .id = res_id };
	uint64_t bit;

	if (!c || !b)
		return -ENOENT;
	bit = UINT64_C(1) << (c - a->contexts);
	if (b->attached & bit)
		return 0;
	b->attached |= bit;
	m.value = b->size;
	if (c->state == CTX_LIVE)
		context_send(a, c, &m, NULL, 0, b->fd);
	return 0;
}

static void blob_detach(struct apir *a, struct context *c, struct blob *b)
{
	struct worker_msg m = { .type = WORKER_BLOB_DEL, .id = b->res_id };
	uint64_t bit = UINT64_C(1) << (c - a->contexts);

	if (!(b->attached & bit))
		return;
	b->attached &= ~bit;
	if (c->state == CTX_LIVE)
		context_send(a, c, &m, NULL, 0, -1);
}

int apir_blob_detach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	struct context *c = context_find(a, ctx_id);
	struct blob *b = blob_find(a, res_id);

	if (!c || !b)
		return -ENOENT;
	blob_detach(a, c, b);
	return 0;
}

int apir_blob_unref(struct apir *a, uint32_t res_id)
{
	struct blob *b = blob_find(a, res_id);

	if (!b)
		return -ENOENT;
	for (size_t i = 0; i < MAX_CONTEXTS; i++)
		blob_detach(a, &a->contexts[i], b);
	a->blob_bytes -= b->size;
	close(b->fd);
	*b = (struct blob){ 0 };
	return 0;
}

int apir_submit(struct apir *a, uint32_t ctx_id, uint32_t ring, const void *cmd, size_t size)
{
	struct context *c = context_find(a, ctx_id);
	struct worker_cmd head = { .ring = ring, .size = (uint32_t)size };
	size_t padded;
	int err;

	if (!c || c->state != CTX_LIVE)
		return -ENOENT;
	if (size > APIR_CMD_MAX)
		return -EMSGSIZE;
	if (size == 0) /* somebody only wants its fence */
		return 0;
	padded = round_up(size, 8);
	if (c->n_burst + sizeof head + padded > WORKER_PAYLOAD_MAX) {
		err = burst_send(a, c);
		if (err < 0)
			return err == -EPIPE ? -ENOENT : err;
	}
	if (!c->burst && !(c->burst = malloc(WORKER_PAYLOAD_MAX)))
		return -ENOMEM;
	memcpy(c->burst + c->n_burst, &head, sizeof head);
	memset(c->burst + c->n_burst + sizeof head + padded - 8, 0, 8);
	memcpy(c->burst + c->n_burst + sizeof head, cmd, size);
	c->n_burst += sizeof head + padded;
	return 0;
}

int apir_fence(struct apir *a, uint32_t ctx_id, uint32_t ring, uint64_t fence_id)
{
	struct context *c = context_find(a, ctx_id);
	struct worker_msg m = { .type = WORKER_FENCE, .id = ring, .value = fence_id };

	if (!c)
		return -ENOENT;
	if (c->n_fences == c->room_fences) {
		size_t room = c->room_fences ? c->room_fences * 2 : 64;
		struct fence *f = room <= MAX_FENCES ? realloc(c->fences, room * sizeof *f) : NULL;

		if (!f) {
			context_lose(a, c, "it has too many fences pending");
			return -ENOENT;
		}
		c->fences = f;
		c->room_fences = room;
	}
	c->fences[c->n_fences++] = (struct fence){ ring, fence_id };
	if (c->state == CTX_LIVE)
		context_send(a, c, &m, NULL, 0, -1);
	if (c->state == CTX_LOST && c->n_fences)
		eventfd_write(a->wake, 1); /* reported from apir_dispatch() */
	return 0;
}

static void fence_done(struct apir *a, struct context *c, uint32_t ring, uint64_t id)
{
	for (size_t i = 0; i < c->n_fences; i++) {
		if (c->fences[i].ring == ring && c->fences[i].id == id) {
			c->n_fences--;
			memmove(&c->fences[i], &c->fences[i + 1], (c->n_fences - i) * sizeof *c->fences);
			a->listener->fence_done(a->user, c->id, ring, id);
			return;
		}
	}
	log_debug("context %" PRIu32 ": its worker completed a fence that isn't pending", c->id);
}

static void socket_serve(struct apir *a, struct context *c, uint32_t events)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = EV(EV_SOCK, c - a->contexts) };
	struct worker_msg m;
	int r = 0;

	/* Bounded, so that one chatty worker can't keep the door from its other work. */
	for (int i = 0; i < 256 && (r = link_recv(&c->link, &m)) > 0; i++) {
		if (m.type == WORKER_FENCE_DONE)
			fence_done(a, c, m.id, m.value);
	}
	if (r >= 0 && (events & EPOLLOUT)) {
		r = link_flush(&c->link);
		if (r == 0 && !link_waits(&c->link) && epoll_ctl(a->epoll, EPOLL_CTL_MOD, c->link.sock, &ev) == 0)
			c->epoll_out = false;
	}
	if (r < 0)
		context_lose(a, c, NULL);
}

static void own_serve(struct apir *a, uint32_t which)
{
	uint64_t n;

	if (read(which ? a->timer : a->wake, &n, sizeof n) < 0)
		return;
	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		struct context *c = &a->contexts[i];

		if (c->state == CTX_LOST) {
			fences_flush(a, c);
			if (c->untold)
				a->listener->context_lost(a->user, c->id);
			c->untold = false;
		}
		if (c->state == CTX_LEAVING && c->leave_by <= now_ms()) {
			link_kill(&c->link);
			c->leave_by = now_ms() + WORKER_GRACE_MS;
		}
	}
	timer_set(a);
}

int apir_dispatch(struct apir *a)
{
	struct epoll_event evs[16];
	int n = epoll_wait(a->epoll, evs, ARRAY_SIZE(evs), 0);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		uint32_t kind = (uint32_t)(evs[i].data.u64 >> 32), which = (uint32_t)evs[i].data.u64;
		struct context *c = &a->contexts[which];

		if (kind == EV_OWN)
			own_serve(a, which);
		else if (kind == EV_SOCK && c->state == CTX_LIVE)
			socket_serve(a, c, evs[i].events);
		else if (kind == EV_PROCESS)
			context_reap(a, c);
	}
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
