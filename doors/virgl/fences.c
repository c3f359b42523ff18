/* SPDX-License-Identifier: MIT */
/*
 * See fences.h. Done fences wait in a list until the VMM may be told: by our thread when it asked for asynchronous
 * callbacks, else from within its next poll.
 *
 * A fence of the global timeline names no context. It belongs to the command that the VMM passed on just before; when
 * that was a submission to APIR, the fence waits for that work, and later fences of this timeline wait for it, since
 * they are told in order. All others are the real library's, and touched only while one of APIR's is pending.
 */
#include "doors/virgl/fences.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "doors/virgl/door.h"
#include "doors/virgl/real.h"
#include "proto/util.h"

#define GLOBAL_RING UINT32_MAX /* of apir's fences that stand for one of the global timeline */
#define MAX_GLOBALS 65536

struct done {
	uint32_t ctx_id; /* 0: of the global timeline */
	uint32_t ring;
	uint64_t id;
};

struct global {
	uint32_t id;
	uint64_t serial; /* of the fence in apir; 0: the real library's */
	bool done;
};

static struct done *dones;
static size_t n_dones, room_dones;
static struct global *globals; /* in order; all behind the first APIR fence that is pending */
static size_t n_globals, room_globals;
static uint64_t last_serial;
static uint32_t real_newest, real_told; /* of the real library's fences: passed on to it, and told by it */
static _Atomic uint32_t last_submit;    /* the context of the command at hand */
static struct events *to_tell; /* has something while a fence waits to be told, or the real library's poll fd does */
static bool with_real;         /* that is in it */

/* Held while the VMM is told: its callbacks must not run when cleanup has returned. */
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

static bool asynchronous(void)
{
	return door.flags & VIRGL_FLAG_ASYNC_FENCES;
}

/* One more element at the end of an array; NULL: no memory. */
static void *append(void *array, size_t *n, size_t *room, size_t size)
{
	char **a = array;

	if (*n == *room) {
		size_t more = *room ? *room * 2 : 64;
		char *grown = realloc(*a, more * size);

		if (!grown)
			return NULL;
		*a = grown;
		*room = more;
	}
	return *a + (*n)++ * size;
}

static void done_add(uint32_t ctx_id, uint32_t ring, uint64_t id)
{
	struct virgl_context *c = door_context_find(ctx_id);
	struct done *d = append(&dones, &n_dones, &room_dones, sizeof *d);

	if (!d)
		return; /* the guest's wait is lost, nothing else */
	*d = (struct done){ ctx_id, ring, id };
	if (asynchronous())
		return;
	if (to_tell)
		events_wake(to_tell);
	if (c && c->poll)
		events_wake(c->poll);
}

/* Whether a done fence of this context, or with 0 of any, waits to be told. */
static bool done_waits(uint32_t ctx_id)
{
	for (size_t i = 0; i < n_dones; i++) {
		if (!ctx_id || dones[i].ctx_id == ctx_id)
			return true;
	}
	return false;
}

/* Moves those at the head that are done to what is to be told. */
static void globals_retire(void)
{
	size_t n = 0;

	while (n < n_globals && globals[n].done)
		done_add(0, 0, globals[n++].id);
	if (!n)
		return;
	n_globals -= n;
	memmove(globals, globals + n, n_globals * sizeof *globals);
}

void fences_on_done(void *user, uint32_t ctx_id, uint32_t ring, uint64_t fence_id)
{
	(void)user;
	if (ring != GLOBAL_RING) {
		done_add(ctx_id, ring, fence_id);
		return;
	}
	for (size_t i = 0; i < n_globals; i++)
		globals[i].done |= globals[i].serial == fence_id;
	globals_retire();
}

void fences_note_submit(uint32_t ctx_id)
{
	atomic_store(&last_submit, ctx_id);
}

/* Tells what is done, of one context, or with 0 of all. */
static void dones_tell(uint32_t ctx_id)
{
	struct virgl_renderer_callbacks cb;
	struct done *mine = NULL;
	size_t n = 0, kept = 0;
	void *cookie;

	pthread_mutex_lock(&telling);
	door_lock();
	cb = door.callbacks;
	cookie = door.cookie;
	if (n_dones)
		mine = malloc(n_dones * sizeof *mine);
	for (size_t i = 0; mine && i < n_dones; i++) {
		if (!ctx_id || dones[i].ctx_id == ctx_id)
			mine[n++] = dones[i];
		else
			dones[kept++] = dones[i];
	}
	if (mine)
		n_dones = kept;
	door_unlock();
	for (size_t i = 0; i < n; i++) {
		if (!mine[i].ctx_id && cb.write_fence)
			cb.write_fence(cookie, (uint32_t)mine[i].id);
		else if (mine[i].ctx_id && cb.write_context_fence)
			cb.write_context_fence(cookie, mine[i].ctx_id, mine[i].ring, mine[i].id);
	}
	free(mine);
	pthread_mutex_unlock(&telling);
}

void fences_tell(void)
{
	if (asynchronous())
		dones_tell(0);
}

void fences_on_real(void *cookie, uint32_t fence_id)
{
	bool older;

	(void)cookie;
	door_lock();
	older = !n_globals || (int32_t)(globals[0].id - fence_id) > 0;
	if ((int32_t)(fence_id - real_told) > 0)
		real_told = fence_id;
	for (size_t i = 0; i < n_globals; i++)
		globals[i].done |= !globals[i].serial && (int32_t)(fence_id - globals[i].id) >= 0;
	globals_retire();
	if (older)
		done_add(0, 0, fence_id);
	door_unlock();
	/* In the other mode we are within virgl_renderer_poll(), which tells next. */
	fences_tell();
}

void fences_settle(uint32_t ctx_id, bool drop)
{
	size_t kept = 0;

	if (!drop) {
		dones_tell(ctx_id);
		return;
	}
	pthread_mutex_lock(&telling);
	door_lock();
	for (size_t i = 0; i < n_dones; i++) {
		if (dones[i].ctx_id != ctx_id)
			dones[kept++] = dones[i];
	}
	n_dones = kept;
	door_unlock();
	pthread_mutex_unlock(&telling);
}

void fences_reset(void)
{
	pthread_mutex_lock(&telling);
	door_lock();
	n_dones = n_globals = 0;
	real_told = real_newest;
	door_unlock();
	pthread_mutex_unlock(&telling);
}

void fences_stop(void)
{
	fences_reset();
	pthread_mutex_lock(&telling);
	door_lock();
	memset(&door.callbacks, 0, sizeof door.callbacks);
	door.cookie = NULL;
	with_real = false; /* its descriptor is closed */
	door_unlock();
	pthread_mutex_unlock(&telling);
}

/* The real library refused the newest fence, so it will never complete it; those behind it must not wait. */
static void global_fail(uint32_t fence_id, uint32_t newest, uint32_t told)
{
	door_lock();
	if (real_newest == fence_id)
		real_newest = newest;
	if (real_told == fence_id - 1)
		real_told = told;
	for (size_t i = 0; i < n_globals; i++)
		globals[i].done |= globals[i].id == fence_id;
	globals_retire();
	door_unlock();
	door_wake();
}

static struct global *global_add(uint32_t id, uint64_t serial)
{
	struct global *g = n_globals < MAX_GLOBALS ? append(&globals, &n_globals, &room_globals, sizeof *g) : NULL;

	if (g)
		*g = (struct global){ .id = id, .serial = serial };
	return g;
}

/* A fence of APIR's waits for the real library's that were made before it, too; one of those stands for them all. */
static int global_add_ours(uint32_t id, uint32_t ctx_id)
{
	struct global *g;

	if (!n_globals && (int32_t)(real_newest - real_told) > 0 && !global_add(real_newest, 0))
		return ENOMEM;
	g = global_add(id, ctx_id ? ++last_serial : 0);
	if (!g)
		return ENOMEM;
	g->done = !ctx_id || apir_fence(door.apir, ctx_id, GLOBAL_RING, g->serial) < 0;
	globals_retire();
	return 0;
}

int fences_create(int fence_id, uint32_t ctx_id, bool *ours)
{
	uint32_t of = atomic_exchange(&last_submit, 0), id = (uint32_t)fence_id, newest, told;
	bool pass, tracked;
	int err = 0;

	door_lock();
	of = of && door_context_find(of) ? of : 0;
	pass = !of && door.real_works && real()->renderer_create_fence;
	tracked = pass && n_globals;
	if (!pass)
		err = global_add_ours(id, of);
	else if (tracked)
		err = global_add(id, 0) ? 0 : ENOMEM;
	newest = real_newest;
	told = real_told;
	if (pass && !err) { /* the callback may come before the call returns */
		if (real_newest == real_told)
			real_told = id - 1;
		real_newest = id;
	}
	door_unlock();
	*ours = !pass && !err;
	if (err || !pass)
		return err;
	err = real()->renderer_create_fence(fence_id, ctx_id);
	if (err)
		global_fail(id, newest, told);
	return err;
}

int virgl_renderer_context_create_fence(uint32_t ctx_id, uint32_t flags, uint32_t ring, uint64_t fence_id)
{
	int err = -EINVAL;
	bool ours;

	fences_note_submit(0);
	door_lock();
	ours = door_context_is_ours(ctx_id, NULL);
	if (ours && door.callbacks.write_context_fence && ring != GLOBAL_RING)
		err = apir_fence(door.apir, ctx_id, ring, fence_id);
	door_unlock();
	if (ours || !real()->renderer_context_create_fence)
		return err;
	return real()->renderer_context_create_fence(ctx_id, flags, ring, fence_id);
}

void virgl_renderer_poll(void)
{
	struct event taken[EVENTS_MAX];

	if (real()->renderer_poll && door.real_works)
		real()->renderer_poll();
	if (asynchronous())
		return;
	door_lock();
	if (to_tell)
		events_take(to_tell, taken);
	door_unlock();
	dones_tell(0);
}

void virgl_renderer_context_poll(uint32_t ctx_id)
{
	struct event taken[EVENTS_MAX];
	struct virgl_context *c;
	bool ours;

	door_lock();
	ours = door_context_is_ours(ctx_id, &c);
	if (c)
		c->polled_alone = true;
	if (ours && c->poll)
		events_take(c->poll, taken);
	door_unlock();
	if (ours && !asynchronous())
		dones_tell(ctx_id);
	else if (!ours && real()->renderer_context_poll)
		real()->renderer_context_poll(ctx_id);
}

int virgl_renderer_get_poll_fd(void)
{
	int of_real = door.real_works && real()->renderer_get_poll_fd ? real()->renderer_get_poll_fd() : -1;
	int fd = of_real;

	door_lock();
	if (!asynchronous() && (to_tell || events_create(&to_tell) == 0)) {
		if (of_real >= 0 && !with_real)
			with_real = events_add(to_tell, of_real, 0) == 0;
		fd = events_fd(to_tell);
		if (done_waits(0))
			events_wake(to_tell);
	}
	door_unlock();
	return fd;
}

int virgl_renderer_context_get_poll_fd(uint32_t ctx_id)
{
	struct virgl_context *c;
	int fd = -1;
	bool ours;

	door_lock();
	ours = door_context_is_ours(ctx_id, &c);
	if (c)
		c->polled_alone = true;
	if (ours && !asynchronous() && (c->poll || events_create(&c->poll) == 0)) {
		fd = events_fd(c->poll);
		if (done_waits(ctx_id))
			events_wake(c->poll);
	}
	door_unlock();
	if (ours || !real()->renderer_context_get_poll_fd)
		return fd;
	return real()->renderer_context_get_poll_fd(ctx_id);
}
