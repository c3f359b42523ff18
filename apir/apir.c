/* SPDX-License-Identifier: MIT */
/*
 * See apir.h. The component parses nothing that a guest wrote into shared memory: it copies small commands to the
 * context's worker and passes descriptors. Here numbers become contexts and blobs.
 */
#include "apir/apir.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "apir/capset.h"
#include "apir/context.h"
#include "platform/clock.h"
#include "platform/self.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

struct apir {
	struct context_owner owner;
	uint32_t most_contexts;
	char worker[PATH_MAX];
	struct config config;
	bool venus;
	struct context contexts[CONTEXTS_MAX];
	struct blob_table blobs;
};

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
	const struct apir_limits limits = opt ? opt->limits : (struct apir_limits){ 0 };
	struct apir *a = calloc(1, sizeof *a);
	int err;

	if (!a)
		return -ENOMEM;
	a->owner = (struct context_owner){ .listener = l, .user = user };
	for (unsigned i = 0; i < CONTEXTS_MAX; i++)
		context_init(&a->contexts[i], &a->owner, i);
	blob_table_init(&a->blobs, limits.blob_bytes, limits.blobs);
	a->most_contexts = limits.contexts && limits.contexts < CONTEXTS_MAX ? limits.contexts : CONTEXTS_MAX;
	a->venus = getenv("VIRGL_ROUTE_VENUS_TO_APIR") != NULL;
	err = worker_find(a, opt ? opt->worker : NULL);
	if (!err)
		err = events_create(&a->owner.events);
	if (err) {
		apir_destroy(a);
		return err;
	}
	*out = a;
	return 0;
}

void apir_destroy(struct apir *a)
{
	int64_t by = clock_ms() + CONTEXT_END_MS;

	if (!a)
		return;
	for (size_t i = 0; i < CONTEXTS_MAX; i++)
		context_hang_up(&a->contexts[i]);
	for (size_t i = 0; i < CONTEXTS_MAX; i++)
		context_end(&a->contexts[i], by);
	blob_table_fini(&a->blobs);
	config_fini(&a->config);
	events_destroy(a->owner.events);
	free(a);
}

int apir_fd(const struct apir *a)
{
	return events_fd(a->owner.events);
}

int apir_dispatch(struct apir *a)
{
	struct event evs[EVENTS_MAX];
	int n = events_take(a->owner.events, evs);

	for (int i = 0; i < n; i++) {
		enum context_event kind = (enum context_event)(evs[i].word >> 32);
		struct context *c = &a->contexts[evs[i].word % CONTEXTS_MAX];

		if (evs[i].word == EVENTS_OWN) {
			a->owner.alarm = 0;
			for (size_t k = 0; k < CONTEXTS_MAX; k++)
				context_tick(&a->contexts[k], &a->blobs);
		} else if (kind == CONTEXT_SOCKET) {
			context_serve(c, &a->blobs, evs[i].writable);
		} else {
			context_reap(c);
		}
	}
	return n < 0 ? n : 0;
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
	return capset_id == APIR_CAPSET_VENUS && !a->venus ? -ENOENT : capset_fill(capset_id, data, size);
}

/* What the door knows by this number; NULL: none. */
static struct context *context_find(struct apir *a, uint32_t ctx_id)
{
	for (size_t i = 0; i < CONTEXTS_MAX; i++) {
		if (context_is(&a->contexts[i], ctx_id))
			return &a->contexts[i];
	}
	return NULL;
}

int apir_context_create(struct apir *a, uint32_t ctx_id, const char *name)
{
	struct context *c = NULL;
	size_t live = 0;
	int err;

	if (!ctx_id || context_find(a, ctx_id))
		return -EEXIST;
	for (size_t i = CONTEXTS_MAX; i-- > 0;) {
		if (a->contexts[i].state == CTX_FREE)
			c = &a->contexts[i];
		else
			live++;
	}
	if (!c || live >= a->most_contexts)
		return -EDQUOT;
	err = context_start(c, ctx_id, name, &a->config, a->worker);
	if (err)
		apir_context_destroy(a, ctx_id);
	return err;
}

void apir_context_destroy(struct apir *a, uint32_t ctx_id)
{
	struct context *c = context_find(a, ctx_id);

	if (!c)
		return;
	context_leave(c, &a->blobs);
	config_forget(&a->config, ctx_id);
}

int apir_configure(struct apir *a, uint32_t ctx_id, const char *key, const char *value)
{
	int err = config_set(&a->config, ctx_id, key, value);

	for (size_t i = 0; !err && i < CONTEXTS_MAX; i++) {
		struct context *c = &a->contexts[i];

		/* A key for all must not hide one for this context. */
		if (c->state == CTX_LIVE && (ctx_id == 0 || c->id == ctx_id))
			err = context_configure(c, key, config_get(&a->config, c->id, key));
	}
	return err;
}

void apir_kick(struct apir *a)
{
	for (size_t i = 0; i < CONTEXTS_MAX; i++)
		context_kick(&a->contexts[i]);
}

int apir_submit(struct apir *a, uint32_t ctx_id, uint32_t ring, const void *cmd, size_t size)
{
	struct context *c = context_find(a, ctx_id);

	return c ? context_submit(c, ring, cmd, size) : -ENOENT;
}

int apir_fence(struct apir *a, uint32_t ctx_id, uint32_t ring, uint64_t fence_id)
{
	struct context *c = context_find(a, ctx_id);

	return c ? context_fence(c, ring, fence_id) : -ENOENT;
}

/* Bytes of blobs that were dropped, and that workers may still have. */
static uint64_t bytes_leaving(const struct apir *a)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < CONTEXTS_MAX; i++)
		bytes += a->contexts[i].leaving;
	return bytes;
}

int apir_blob_create(struct apir *a, uint32_t res_id, uint64_t size)
{
	return blob_create(&a->blobs, res_id, size, bytes_leaving(a));
}

int apir_blob_adopt(struct apir *a, uint32_t res_id, int fd)
{
	return blob_adopt(&a->blobs, res_id, fd, bytes_leaving(a));
}

int apir_blob_fd(const struct apir *a, uint32_t res_id, uint64_t *size)
{
	const struct blob *b = blob_find(&a->blobs, res_id);

	if (!b)
		return -ENOENT;
	*size = b->size;
	return b->fd;
}

int apir_blob_attach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	struct context *c = context_find(a, ctx_id);
	struct blob *b = blob_find(&a->blobs, res_id);

	if (!c || !b)
		return -ENOENT;
	context_attach(c, b);
	return 0;
}

int apir_blob_detach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	struct context *c = context_find(a, ctx_id);
	struct blob *b = blob_find(&a->blobs, res_id);

	if (!c || !b)
		return -ENOENT;
	context_detach(c, b);
	return 0;
}

int apir_blob_unref(struct apir *a, uint32_t res_id)
{
	struct blob *b = blob_find(&a->blobs, res_id);

	if (!b)
		return -ENOENT;
	for (size_t i = 0; i < CONTEXTS_MAX; i++)
		context_detach(&a->contexts[i], b);
	blob_drop(&a->blobs, b);
	return 0;
}
