/* SPDX-License-Identifier: MIT */
/*
 * See real.h. RTLD_NEXT wouldn't do: QEMU opens the library as a dependency of a module, behind the global scope. Our
 * own functions must not be taken for the library's, which happens when the variable names us.
 */
#include "doors/virgl/real.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "apir/log.h"

#define LIBRARY_ENV "VIRGL_APIR_RENDERER_LIBRARY"

static struct real functions;
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
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL), *f;

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
	return &functions;
}
