/* SPDX-License-Identifier: MIT */
/*
 * ggml's real CPU library, wrapped so that it says on stderr who made a backend, with how many threads and by whose
 * backend it computes. Three devices, all the same CPU, that differ in their description. Which registration and which
 * init function are named decides what works:
 *
 *     ggml_backend_init   devices that can be initialised, also by themselves
 *     wrap_only_init      devices whose own init fails: only a named function makes a backend
 *     wrap_make           makes it
 *     wrap_make_none      returns NULL
 *     wrap_refusing       devices that say nothing, and fail a graph whose first node's first source begins with 666
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ggml-abi/abi.h"

#define EXPORT  __attribute__((visibility("default")))
#define DEVICES 3

/* libggml-base's, the first to know where it lies */
const char *ggml_version(void);
struct abi_tensor *ggml_graph_node(struct abi_graph *graph, int i);

static struct abi_reg *real_reg, reg;
static struct abi_device *real_device, devices[DEVICES];
static int32_t (*real_compute)(struct abi_backend *, struct abi_graph *);
static void (*real_set_threads)(struct abi_backend *, int);
static const char *maker;

static const char *reg_name(struct abi_reg *r)
{
	(void)r;
	return "wrap";
}

static size_t reg_count(struct abi_reg *r)
{
	(void)r;
	return DEVICES;
}

static struct abi_device *reg_device(struct abi_reg *r, size_t i)
{
	(void)r;
	return i < DEVICES ? &devices[i] : NULL;
}

static void set_threads(struct abi_backend *b, int n)
{
	fprintf(stderr, "wrap: %d threads\n", n);
	real_set_threads(b, n);
}

static void *reg_function(struct abi_reg *r, const char *name)
{
	void (*ours)(struct abi_backend *, int) = set_threads;
	void *f = real_reg->get_proc_address(real_reg, name);

	(void)r;
	if (f && !strcmp(name, "ggml_backend_set_n_threads")) {
		memcpy(&real_set_threads, &f, sizeof f);
		memcpy(&f, &ours, sizeof f);
	}
	return f;
}

static const char *device_description(struct abi_device *d)
{
	static const char *const texts[DEVICES] = { "wrapped device 0", "wrapped device 1", "wrapped device 2" };

	return texts[d - devices];
}

static int32_t compute(struct abi_backend *b, struct abi_graph *g)
{
	fprintf(stderr, "wrap: computing on the backend made by %s\n", maker);
	return real_compute(b, g);
}

static struct abi_backend *backend_make(size_t device, const char *by)
{
	struct abi_backend *b = real_device->init_backend(real_device, NULL);

	fprintf(stderr, "wrap: %s made a backend of device %zu\n", by, device);
	maker = by;
	if (b) {
		real_compute = b->iface.graph_compute;
		b->iface.graph_compute = compute;
	}
	return b;
}

static struct abi_backend *device_init(struct abi_device *d, const char *params)
{
	(void)params;
	return backend_make((size_t)(d - devices), "the device");
}

static int32_t compute_or_refuse(struct abi_backend *b, struct abi_graph *g)
{
	const struct abi_tensor *input = ggml_graph_node(g, 0)->src[0];
	const float *first = input ? input->data : NULL;

	return first && *first == 666.0f ? ABI_STATUS_FAILED : real_compute(b, g);
}

static struct abi_backend *device_init_refusing(struct abi_device *d, const char *params)
{
	struct abi_backend *b = real_device->init_backend(real_device, params);

	(void)d;
	if (b) {
		real_compute = b->iface.graph_compute;
		b->iface.graph_compute = compute_or_refuse;
	}
	return b;
}

static struct abi_backend *device_init_none(struct abi_device *d, const char *params)
{
	(void)d;
	(void)params;
	fprintf(stderr, "wrap: the device's own init was called\n");
	return NULL;
}

/* libggml-base's folder has the CPU libraries, too. */
static bool real_open(void)
{
	const char *(*version)(void) = ggml_version;
	struct abi_reg *(*init)(void);
	char path[4096];
	const char *slash;
	void *f, *handle;
	Dl_info info;

	memcpy(&f, &version, sizeof f);
	if (!dladdr(f, &info) || !(slash = strrchr(info.dli_fname, '/')))
		return false;
	snprintf(path, sizeof path, "%.*s/libggml-cpu-x64.so", (int)(slash - info.dli_fname), info.dli_fname);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	f = handle ? dlsym(handle, "ggml_backend_init") : NULL;
	if (!f)
		return false;
	memcpy(&init, &f, sizeof f);
	real_reg = init();
	real_device = real_reg ? real_reg->get_device(real_reg, 0) : NULL;
	return real_device != NULL;
}

static struct abi_reg *registration(struct abi_backend *(*init)(struct abi_device *, const char *))
{
	if (!real_open())
		return NULL;
	reg = *real_reg;
	reg.get_name = reg_name;
	reg.get_device_count = reg_count;
	reg.get_device = reg_device;
	reg.get_proc_address = reg_function;
	for (size_t i = 0; i < DEVICES; i++) {
		devices[i] = *real_device;
		devices[i].get_description = device_description;
		devices[i].init_backend = init;
		devices[i].reg = &reg;
	}
	return &reg;
}

EXPORT struct abi_reg *ggml_backend_init(void);
EXPORT struct abi_reg *ggml_backend_init(void)
{
	return registration(device_init);
}

EXPORT struct abi_reg *wrap_only_init(void);
EXPORT struct abi_reg *wrap_only_init(void)
{
	return registration(device_init_none);
}

EXPORT struct abi_reg *wrap_refusing(void);
EXPORT struct abi_reg *wrap_refusing(void)
{
	return registration(device_init_refusing);
}

EXPORT struct abi_backend *wrap_make(size_t device);
EXPORT struct abi_backend *wrap_make(size_t device)
{
	return backend_make(device, "wrap_make");
}

EXPORT struct abi_backend *wrap_make_none(size_t device);
EXPORT struct abi_backend *wrap_make_none(size_t device)
{
	(void)device;
	return NULL;
}
