/* SPDX-License-Identifier: MIT */
/*
 * virgl_renderer_init(), _cleanup(), _reset(), and the capsets. The real library gets the VMM's cookie and callbacks, with
 * a fence callback of ours in place of the VMM's. Without the real library, or when it can't start (no display, no
 * render node), APIR works alone, so init succeeds.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "apir/log.h"
#include "doors/virgl/door.h"
#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"
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

/* It would end the whole process where it looks for EGL in vain. */
static bool has_egl(int flags)
{
	bool needed = (flags & VIRGL_FLAG_EGL) && !(flags & VIRGL_FLAG_NO_VIRGL);
	void *egl = needed ? dlopen("libEGL.so.1", RTLD_LAZY | RTLD_LOCAL) : NULL;

	if (needed && !egl)
		log_warn("virglrenderer cannot start without EGL, only APIR works: %s", dlerror());
	return !needed || egl;
}

static bool real_init(void *cookie, int flags, bool has_callbacks)
{
	int err;

	if (!real()->renderer_init || !has_egl(flags))
		return false;
	err = real()->renderer_init(cookie, flags, has_callbacks ? &for_real : NULL);
	if (err)
		log_warn("virglrenderer's own start failed (%d): only APIR works", err);
	return !err;
}

int virgl_renderer_init(void *cookie, int flags, struct virgl_renderer_callbacks *cb)
{
	size_t size = cb ? callbacks_size(cb->version) : 0;
	bool works;

	if (cb && !size)
		return -1;
	door_lock();
	if (door.initialised) {
		bool same = door.cookie == cookie && door.flags == flags;

		door_unlock();
		return same ? 0 : -EBUSY;
	}
	memset(&door.callbacks, 0, sizeof door.callbacks);
	memcpy(&door.callbacks, cb, size);
	door.cookie = cookie;
	door.flags = flags;
	for_real = door.callbacks;
	if (cb && cb->version > VIRGL_CALLBACKS_MAX)
		for_real.version = VIRGL_CALLBACKS_MAX;
	for_real.write_fence = fences_on_real;
	door_unlock();
	works = real_init(cookie, flags, cb != NULL);
	door_lock();
	door.real_works = works;
	door.initialised = true;
	door_unlock();
	return 0;
}

void virgl_renderer_cleanup(void *cookie)
{
	bool works;

	door_lock();
	works = door.real_works;
	door_clear();
	door.initialised = door.real_works = false;
	door_unlock();
	door_wake(); /* for workers that leave */
	if (works)
		real()->renderer_cleanup(cookie);
	fences_stop();
}

void virgl_renderer_reset(void)
{
	fences_note_submit(0);
	door_lock();
	door_clear();
	door_unlock();
	door_wake();
	if (door.real_works && real()->renderer_reset)
		real()->renderer_reset();
}

/* APIR's answer for a capset: its size, or -ENOENT where the real library is to be asked. */
static int capset_ours(uint32_t id, void *data)
{
	struct apir_capset caps = { .version = 1, .supports_blob_resources = 1 };
	size_t size = id == APIR_CAPSET_APIR ? sizeof caps : APIR_CAPSET_VENUS_SIZE;
	bool ours = id == APIR_CAPSET_APIR;

	if (id == APIR_CAPSET_VENUS) {
		door_lock();
		ours = !door_venus_is_real();
		door_unlock();
	}
	if (!ours)
		return -ENOENT;
	if (data) {
		memset(data, 0, size);
		memcpy(data, &caps, sizeof caps);
	}
	return (int)size;
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
