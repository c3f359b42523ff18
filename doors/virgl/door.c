/* SPDX-License-Identifier: MIT */
/*
 * See door.h. The APIR component outlives virgl_renderer_cleanup(), since keys may be set before the next init and
 * workers on their way out are still to be seen off; the thread lives as long.
 */
#include "doors/virgl/door.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"
#include "log/log.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define MAX_BLOBS 32768

struct door door;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct events *events; /* what our thread waits for */

void door_lock(void)
{
	pthread_mutex_lock(&lock);
}

void door_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void door_wake(void)
{
	if (events)
		events_wake(events);
}

static void on_context_lost(void *user, uint32_t ctx_id)
{
	(void)user;
	(void)ctx_id; /* apir drops what comes for it, and has said so */
}

static void *thread_run(void *unused)
{
	struct pollfd p = { .fd = events_fd(events), .events = POLLIN };
	struct event taken[EVENTS_MAX];
	int err;

	(void)unused;
	for (;;) {
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return NULL;
		events_take(events, taken);
		door_lock();
		err = apir_dispatch(door.apir);
		if (err < 0)
			log_error("cannot hear of finished work: %s", strerror(-err));
		door_unlock();
		fences_tell();
	}
}

/* With all signals blocked: they are the VMM's. */
static int thread_start(void)
{
	sigset_t all, old;
	pthread_t t;
	int err;

	err = events_create(&events);
	if (!err)
		err = events_add(events, apir_fd(door.apir), 0);
	if (err)
		return err;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t, NULL, thread_run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_detach(t);
	return -err;
}

struct apir *door_apir(void)
{
	static const struct apir_listener listener = { .fence_done = fences_on_done, .context_lost = on_context_lost };
	struct apir_options options = { 0 };
	struct rlimit files;
	int err;

	if (door.apir || door.broken)
		return door.apir;
	log_name("virgl %d", (int)getpid());
	/* Each blob is a descriptor of the VMM's, which needs some itself. (QEMU allows itself all that it may have.) */
	options.limits.blobs = MAX_BLOBS;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 4 < MAX_BLOBS)
		options.limits.blobs = files.rlim_cur < 8 ? 1 : (uint32_t)(files.rlim_cur / 4);
	err = apir_create(&door.apir, &options, &listener, NULL);
	if (!err)
		err = thread_start();
	if (err) {
		log_error("APIR cannot start: %s", strerror(-err));
		events_destroy(events);
		events = NULL;
		apir_destroy(door.apir);
		door.apir = NULL;
		door.broken = true;
	}
	return door.apir;
}

/* Before init the library can only be asked whether it was built with Venus; a server that starts without Venus gets
 * numbers for it too, which mean nothing. */
bool door_venus_is_real(void)
{
	uint32_t version = 0, size = 0;

	if (!real()->renderer_get_cap_set || (door.initialised && !door.has_venus))
		return false;
	if (door_apir() && apir_routes_venus(door.apir))
		return false;
	door_unlock();
	real()->renderer_get_cap_set(APIR_CAPSET_VENUS, &version, &size);
	door_lock();
	return size > 0;
}

struct virgl_context *door_context_find(uint32_t ctx_id)
{
	for (size_t i = 0; ctx_id && i < door.n_contexts; i++) {
		if (door.contexts[i].id == ctx_id)
			return &door.contexts[i];
	}
	return NULL;
}

bool door_context_is_ours(uint32_t ctx_id, struct virgl_context **c)
{
	struct virgl_context *found = door_context_find(ctx_id);

	if (c)
		*c = found;
	return found && found->owner == OWNER_APIR;
}

/* Room for one more in a table of slots that starts with a uint32_t id, where 0 is free; NULL: no memory. */
static void *slot_take(void **table, size_t *n, size_t size)
{
	char *slots = *table;

	for (size_t i = 0; i < *n; i++) {
		uint32_t id;

		memcpy(&id, slots + i * size, sizeof id);
		if (!id)
			return slots + i * size;
	}
	slots = realloc(slots, (*n + 16) * size);
	if (!slots)
		return NULL;
	memset(slots + *n * size, 0, 16 * size);
	*table = slots;
	*n += 16;
	return slots + (*n - 16) * size;
}

struct virgl_context *door_context_add(uint32_t ctx_id, uint32_t capset, enum owner owner)
{
	void *table = door.contexts;
	struct virgl_context *c = slot_take(&table, &door.n_contexts, sizeof *c);

	door.contexts = table;
	if (c)
		*c = (struct virgl_context){ .id = ctx_id, .capset = capset, .owner = owner };
	return c;
}

void door_context_remove(struct virgl_context *c)
{
	events_destroy(c->poll);
	c->poll = NULL;
	c->id = 0;
}

struct virgl_resource *door_resource_find(uint32_t res_id)
{
	for (size_t i = 0; res_id && i < door.n_resources; i++) {
		if (door.resources[i].id == res_id)
			return &door.resources[i];
	}
	return NULL;
}

struct virgl_resource *door_resource_add(uint32_t res_id, enum kind kind)
{
	void *table = door.resources;
	struct virgl_resource *r = slot_take(&table, &door.n_resources, sizeof *r);

	door.resources = table;
	if (r)
		*r = (struct virgl_resource){ .id = res_id, .kind = kind };
	return r;
}

void door_resource_remove(struct virgl_resource *r)
{
	if (r->map && mmap(r->map, r->size, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0) != MAP_FAILED)
		door.walled += r->size;
	r->map = NULL;
	r->id = 0;
}

void door_context_leave(struct virgl_context *c)
{
	for (size_t i = 0; i < door.n_resources; i++) {
		if (door.resources[i].id && door.resources[i].kind == RES_EARLY && door.resources[i].ctx_id == c->id)
			door_resource_remove(&door.resources[i]);
	}
	door_context_remove(c);
}

void door_clear(void)
{
	for (size_t i = 0; i < door.n_contexts; i++) {
		if (!door.contexts[i].id)
			continue;
		if (door.contexts[i].owner == OWNER_APIR)
			apir_context_destroy(door.apir, door.contexts[i].id);
		door_context_remove(&door.contexts[i]);
	}
	for (size_t i = 0; i < door.n_resources; i++) {
		if (!door.resources[i].id)
			continue;
		if (door.resources[i].kind != RES_EARLY)
			apir_blob_unref(door.apir, door.resources[i].id);
		door_resource_remove(&door.resources[i]);
	}
}

int virgl_apir_configure_kv(uint32_t ctx_id, const char *key, const char *value)
{
	int err = -EINVAL;

	door_lock();
	if (key && value)
		err = door_apir() ? apir_configure(door.apir, ctx_id, key, value) : -ENOMEM;
	door_unlock();
	return err;
}
