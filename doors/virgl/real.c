/* SPDX-License-Identifier: MIT */
/*
 * See real.h. RTLD_NEXT wouldn't do: QEMU opens the library as a dependency of a module, behind the global scope. Our
 * own functions must not be taken for the library's, which happens when the variable names us.
 */
#include "doors/virgl/real.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/log.h"

#define LIBRARY_ENV "VIRGL_APIR_RENDERER_LIBRARY"

static struct real functions;
static const struct real nothing;
static _Atomic bool failed;
static _Thread_local bool starting;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *function_find(void *handle, const char *name, void *ours)
{
	void *f = dlsym(handle, name);

	return f == ours ? NULL : f;
}

static void real_load(void)
{
	const char *told = getenv(LIBRARY_ENV);
	const char *path = told && *told ? told : "libvirglrenderer.so.1";
	void *handle, *f;

	log_name("virgl %d", (int)getpid());
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		log_warn("virglrenderer is not there, only APIR works: %s (" LIBRARY_ENV " names its file)", dlerror());
		return;
	}
#define REAL_RESOLVE(type, name, params)                                                                               \
	f = function_find(handle, "virgl_" #name, (void *)(uintptr_t)virgl_##name);                                    \
	memcpy(&functions.name, &f, sizeof f);
	VIRGL_FUNCTIONS(REAL_RESOLVE)
#undef REAL_RESOLVE
	if (!functions.renderer_init)
		log_warn("'%s' (" LIBRARY_ENV ") is no virglrenderer: only APIR works", path);
}

const struct real *real(void)
{
	pthread_once(&once, real_load);
	return failed ? &nothing : &functions;
}

/* It would end the whole process where it looks for EGL in vain. */
static bool has_egl(int flags)
{
	bool needed = (flags & VIRGL_FLAG_EGL) && !(flags & VIRGL_FLAG_NO_VIRGL);
	void *egl = needed ? dlopen("libEGL.so.1", RTLD_LAZY | RTLD_LOCAL) : NULL;

	if (needed && !egl)
		log_warn("virglrenderer cannot start without EGL, only APIR works: %s", dlerror());
	return !needed || egl;
}

static int start(void *cookie, int flags, struct virgl_renderer_callbacks *cb)
{
	int err;

	starting = true;
	err = functions.renderer_init(cookie, flags, cb);
	starting = false;
	return err;
}

int real_start(void *cookie, int flags, struct virgl_renderer_callbacks *cb)
{
	int err;

	failed = false;
	if (!real()->renderer_init || !has_egl(flags)) {
		failed = true;
		return -1;
	}
	err = start(cookie, flags, cb);
	if (err && (flags & VIRGL_FLAG_VENUS)) {
		flags &= ~(VIRGL_FLAG_VENUS | VIRGL_FLAG_RENDER_SERVER);
		log_warn("virglrenderer's own start failed (%d): trying without Venus", err);
		err = start(cookie, flags, cb);
	}
	if (err)
		log_warn("virglrenderer's own start failed (%d): only APIR works", err);
	failed = err;
	return err ? -1 : flags;
}

void real_stop(void *cookie)
{
	if (real()->renderer_cleanup)
		real()->renderer_cleanup(cookie);
	failed = false;
}

bool real_is_starting(void)
{
	return starting;
}
