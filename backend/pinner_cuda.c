/* SPDX-License-Identifier: MIT */
/*
 * By CUDA's driver, in the device's primary context, which the runtime that ggml uses has too. Portable: the context that is
 * current at a copy doesn't matter. <https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html>
 */
#include "backend/pinner.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#define DRIVER   "libcuda.so.1"
#define PORTABLE 1u

static struct {
	int (*device_get)(int *, int);
	int (*primary_retain)(void **, int);
	int (*current_push)(void *);
	int (*current_pop)(void **);
	int (*host_register)(void *, size_t, unsigned);
	int (*host_unregister)(void *);
} driver;
static void *primary; /* retained for good, as the libraries are */

static bool function_load(void *handle, const char *name, void *out)
{
	void *f = dlsym(handle, name);

	memcpy(out, &f, sizeof f);
	return f != NULL;
}

static bool driver_load(void)
{
	void *handle = dlopen(DRIVER, RTLD_NOW | RTLD_LOCAL);

	return handle && function_load(handle, "cuDeviceGet", &driver.device_get) &&
	       function_load(handle, "cuDevicePrimaryCtxRetain", &driver.primary_retain) &&
	       function_load(handle, "cuCtxPushCurrent_v2", &driver.current_push) &&
	       function_load(handle, "cuCtxPopCurrent_v2", &driver.current_pop) &&
	       function_load(handle, "cuMemHostRegister_v2", &driver.host_register) &&
	       function_load(handle, "cuMemHostUnregister", &driver.host_unregister);
}

static bool pin(void *p, size_t size)
{
	bool done;

	if (driver.current_push(primary))
		return false;
	done = driver.host_register(p, size, PORTABLE) == 0;
	driver.current_pop(&(void *){ NULL });
	return done;
}

static void unpin(void *p)
{
	if (driver.current_push(primary))
		return;
	driver.host_unregister(p);
	driver.current_pop(&(void *){ NULL });
}

const struct pinner *pinner_cuda(int device)
{
	static const struct pinner cuda = { pin, unpin };
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int known = -1;
	int number;

	pthread_mutex_lock(&lock);
	if (known < 0 && driver_load() && !driver.device_get(&number, device) &&
		!driver.primary_retain(&primary, number))
		known = device;
	pthread_mutex_unlock(&lock);
	return known == device ? &cuda : NULL;
}
