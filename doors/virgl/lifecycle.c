/* SPDX-License-Identifier: MIT */
/*
 * virgl_renderer_init(), _cleanup(), _reset(), and the capsets. The real library gets the VMM's cookie and callbacks, with
 * a fence callback of ours in place of the VMM's. Without the real library, or when it can't start (no display, no
 * render node), APIR works alone, so init succeeds.
 */
#include <errno.h>
#include <string.h>

#include "apir/capset.h"
#include "doors/virgl/component.h"
#include "doors/virgl/door.h"
#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"
#include "log/log.h"
#include "proto/apir_wire.h"

/* How much of the VMM's structure there is; 0: a version that we can't know. */
static size_t callbacks_size(int version)
{
	static const size_t ends[] = {
		[1] = offsetof(struct virgl_renderer_callbacks, get_drm_fd),
		[2] = offsetof(struct virgl_renderer_callbacks, write_context_fence),
		[3] = offsetof(struct virgl_renderer_callbacks, get_egl_display),
		[4] = sizeof(struct virgl_renderer_callbacks),
	};

	return version < 1 ? 0 : ends[version > VIRGL_CALLBACKS_MAX ? VIRGL_CALLBACKS_MAX : version];
}

/* What the real library calls; it keeps the pointer. */
static struct virgl_renderer_callbacks for_real;

int virgl_renderer_init(void *cookie, int flags, struct virgl_renderer_callbacks *cb)
{
	size_t size = cb ? callbacks_size(cb->version) : 0;
	int works;

	if (cb && !size)
		return -1;
	door_lock();
	if (door.initialised) {
		bool same = door.cookie == cookie && door.flags == flags;

		door_unlock();
		return same ? 0 : -EBUSY;
	}
	memset(&door.callbacks, 0, sizeof door.callbacks);
	if (cb)
		memcpy(&door.callbacks, cb, size);
	door.cookie = cookie;
	door.flags = flags;
	for_real = door.callbacks;
	if (cb && cb->version > VIRGL_CALLBACKS_MAX)
		for_real.version = VIRGL_CALLBACKS_MAX;
	for_real.write_fence = fences_on_real;
	door_unlock();
	works = real_start(cookie, flags, cb ? &for_real : NULL);
	door_lock();
	door.real_works = works >= 0;
	door.has_venus = works >= 0 && (works & VIRGL_FLAG_VENUS);
	door.initialised = true;
	door_unlock();
	return 0;
}

void virgl_renderer_cleanup(void *cookie)
{
	bool works;

	if (real_is_starting()) {
		real()->renderer_cleanup(cookie);
		return;
	}
	door_lock();
	works = door.real_works;
	door_clear();
	door.initialised = door.has_venus = false;
	door.real_works = false;
	door_unlock();
	door_wake(); /* for workers that leave */
	if (works)
		real_stop(cookie);
	fences_stop();
}

void virgl_renderer_reset(void)
{
	fences_note_submit(0);
	door_lock();
	door_clear();
	door_unlock();
	fences_reset();
	door_wake();
	if (door.real_works && real()->renderer_reset) {
		real()->renderer_reset();
		fences_reset();
	}
}

/* APIR's answer for a capset: its size, or -ENOENT where the real library is to be asked. */
static int capset_ours(uint32_t id, void *data)
{
	bool ours = id == APIR_CAPSET_APIR;

	if (id == APIR_CAPSET_VENUS) {
		door_lock();
		ours = !component_leaves_venus();
		door_unlock();
	}
	return ours ? capset_fill(id, data, data ? (size_t)capset_fill(id, NULL, 0) : 0) : -ENOENT;
}

void virgl_renderer_get_cap_set(uint32_t set, uint32_t *version, uint32_t *size)
{
	int ours = capset_ours(set, NULL);

	*version = ours >= 0 ? 1 : 0;
	*size = ours >= 0 ? (uint32_t)ours : 0;
	if (ours < 0 && real()->renderer_get_cap_set)
		real()->renderer_get_cap_set(set, version, size);
}

void virgl_renderer_fill_caps(uint32_t set, uint32_t version, void *caps)
{
	if (capset_ours(set, caps) < 0 && real()->renderer_fill_caps)
		real()->renderer_fill_caps(set, version, caps);
}
