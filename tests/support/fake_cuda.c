/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for CUDA's driver, with one device, for a process without one: it keeps the driver's rules on pinned memory, and
 * says on stderr what it was asked for. CUDA_FAKE_FULL=1: it pins nothing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define EXPORT   __attribute__((visibility("default")))
#define PORTABLE 1u
#define PAGE     4096u

enum {
	SUCCESS = 0,
	INVALID_VALUE = 1,
	OUT_OF_MEMORY = 2,
	INVALID_DEVICE = 101,
	INVALID_CONTEXT = 201,
	ALREADY = 712,
	NOT_REGISTERED = 713
};

static char primary;
static bool retained;
static _Thread_local int depth; /* of this thread's stack of contexts */
static struct {
	char *p;
	size_t size;
} pins[256];

static int refuse(const char *why, int error)
{
	fprintf(stderr, "cuda: wrong: %s\n", why);
	return error;
}

EXPORT int cuDeviceGet(int *device, int ordinal);
EXPORT int cuDeviceGet(int *device, int ordinal)
{
	*device = 40 + ordinal; /* a handle is no number */
	return ordinal ? INVALID_DEVICE : SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRetain(void **ctx, int device);
EXPORT int cuDevicePrimaryCtxRetain(void **ctx, int device)
{
	*ctx = &primary;
	retained = true;
	return device == 40 ? SUCCESS : INVALID_DEVICE;
}

EXPORT int cuCtxPushCurrent_v2(void *ctx);
EXPORT int cuCtxPushCurrent_v2(void *ctx)
{
	if (ctx != &primary || !retained)
		return refuse("this context isn't retained", INVALID_CONTEXT);
	if (depth)
		return refuse("the one before was left current", INVALID_CONTEXT);
	depth++;
	return SUCCESS;
}

EXPORT int cuCtxPopCurrent_v2(void **ctx);
EXPORT int cuCtxPopCurrent_v2(void **ctx)
{
	if (!depth)
		return INVALID_CONTEXT;
	depth--;
	*ctx = &primary;
	return SUCCESS;
}

static bool is_mapped(char *p, size_t size)
{
	unsigned char *pages = malloc(size / PAGE + 1);
	bool is = pages && mincore(p, size, pages) == 0;

	free(pages);
	return is;
}

EXPORT int cuMemHostRegister_v2(void *p, size_t size, unsigned flags);
EXPORT int cuMemHostRegister_v2(void *p, size_t size, unsigned flags)
{
	int free_one = -1;

	if (!depth)
		return refuse("no context is current", INVALID_CONTEXT);
	if (!size || (uintptr_t)p % PAGE || size % PAGE || flags != PORTABLE || !is_mapped(p, size))
		return refuse("what is to be pinned isn't whole pages, portable", INVALID_VALUE);
	for (int i = 0; i < 256; i++) {
		if (!pins[i].p)
			free_one = i;
		else if ((char *)p < pins[i].p + pins[i].size && pins[i].p < (char *)p + size)
			return refuse("pinned already", ALREADY);
	}
	if (getenv("CUDA_FAKE_FULL") || free_one < 0) {
		fprintf(stderr, "cuda: no room\n");
		return OUT_OF_MEMORY;
	}
	pins[free_one].p = p;
	pins[free_one].size = size;
	fprintf(stderr, "cuda: pinned %zu\n", size);
	return SUCCESS;
}

EXPORT int cuMemHostUnregister(void *p);
EXPORT int cuMemHostUnregister(void *p)
{
	if (!depth)
		return refuse("no context is current", INVALID_CONTEXT);
	for (int i = 0; i < 256; i++) {
		if (pins[i].p == p) {
			if (!is_mapped(p, pins[i].size))
				refuse("unmapped before it was unpinned", SUCCESS);
			pins[i].p = NULL;
			fprintf(stderr, "cuda: unpinned %zu\n", pins[i].size);
			return SUCCESS;
		}
	}
	return refuse("unpinned what isn't pinned", NOT_REGISTERED);
}
