/* SPDX-License-Identifier: MIT */
/*
 * See component.h. It outlives virgl_renderer_cleanup(), since keys may be set before the next init and workers on their way
 * out are still to be seen off; the thread lives as long.
 */
#include "doors/virgl/component.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "doors/virgl/door.h"
#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"
#include "log/log.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define MAX_BLOBS 32768

static void on_context_lost(void *user, uint32_t ctx_id)
{
	(void)user;
	(void)ctx_id; /* apir drops what comes for it, and has said so */
}

static void *thread_run(void *unused)
{
	struct pollfd p = { .fd = events_fd(door.thread), .events = POLLIN };
	struct event taken[EVENTS_MAX];
	int err;

	(void)unused;
	for (;;) {
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return NULL;
		events_take(door.thread, taken);
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

	err = events_create(&door.thread);
	if (!err)
		err = events_add(door.thread, apir_fd(door.apir), 0);
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

struct apir *component_get(void)
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
		events_destroy(door.thread);
		door.thread = NULL;
		apir_destroy(door.apir);
		door.apir = NULL;
		door.broken = true;
	}
	return door.apir;
}

/* Before init the library can only be asked whether it was built with Venus; a server that starts without Venus gets
 * numbers for it too, which mean nothing. */
bool component_leaves_venus(void)
{
	uint32_t version = 0, size = 0;

	if (!real()->renderer_get_cap_set || (door.initialised && !door.has_venus))
		return false;
	if (component_get() && apir_routes_venus(door.apir))
		return false;
	door_unlock();
	real()->renderer_get_cap_set(APIR_CAPSET_VENUS, &version, &size);
	door_lock();
	return size > 0;
}

int virgl_apir_configure_kv(uint32_t ctx_id, const char *key, const char *value)
{
	int err = -EINVAL;

	door_lock();
	if (key && value)
		err = component_get() ? apir_configure(door.apir, ctx_id, key, value) : -ENOMEM;
	door_unlock();
	return err;
}

int virgl_renderer_create_fence(int fence_id, uint32_t ctx_id)
{
	bool ours;
	int err = fences_create(fence_id, ctx_id, &ours);

	if (!ours)
		return err;
	door_lock();
	component_get(); /* whose thread tells */
	door_unlock();
	door_wake();
	return err;
}
