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
 *     wrap_strict         devices that fail graphs whose tensors aren't as a library may expect them: see below
 *     wrap_accel          devices of which the first is an accelerator
 *     wrap_optimizing     devices whose graph_optimize turns round whatever may be: see below
 *     wrap_contented      devices whose graph_optimize changes nothing
 *     wrap_cuda           devices that are called as CUDA's are
 *     wrap_refusing       devices that say nothing, and fail a graph whose first node's first source begins with 666
 *     wrap_lazy           the same, but as asynchronous as a device can be: see below
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-abi/cgraph.h"
#include "ggml-abi/counts.h"

#define EXPORT  __attribute__((visibility("default")))
#define DEVICES 3

/* libggml-base's, the first to know where it lies */
const char *ggml_version(void);
struct abi_tensor *ggml_graph_node(struct abi_graph *graph, int i);
int ggml_graph_n_nodes(struct abi_graph *graph);
size_t ggml_nbytes(const struct abi_tensor *t);
int64_t ggml_blck_size(int32_t type);

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

static bool refused(struct abi_graph *g)
{
	const struct abi_tensor *input = ggml_graph_node(g, 0)->src[0];
	const float *first = input ? input->data : NULL;

	return first && *first == 666.0f;
}

static int32_t compute_or_refuse(struct abi_backend *b, struct abi_graph *g)
{
	return refused(g) ? ABI_STATUS_FAILED : real_compute(b, g);
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

/*
 * Strict, as a GPU's library is: every tensor of a graph was initialised once, what is viewed before its views, and
 * buffers are for what a tensor's name begins with: "w." weights, "c." computing, "a." anything. Behind a quantised one
 * it wants memory of its own, and clears it, unless the buffer is for computing. "p." may be a part:
 * not to be initialised, since what lies behind it may not be its own.
 */
#define BEHIND 32

static union abi_buft strict_buft;

static int32_t strict_init(struct abi_buffer *b, struct abi_tensor *t)
{
	if (t->view_src && !t->view_src->extra) {
		fprintf(stderr, "wrap: '%s' before what it views\n", t->name);
		return ABI_STATUS_FAILED;
	}
	if (!t->view_src && ggml_blck_size(t->type) > 1 && b->usage != ABI_USAGE_COMPUTE)
		memset((char *)t->data + ggml_nbytes(t), 0, BEHIND);
	t->extra = (void *)((uintptr_t)t->extra + 1);
	return ABI_STATUS_SUCCESS;
}

static size_t strict_alloc_size(union abi_buft *buft, const struct abi_tensor *t)
{
	(void)buft;
	return ggml_nbytes(t) + (ggml_blck_size(t->type) > 1 ? BEHIND : 0);
}

static struct abi_buffer *strict_alloc(union abi_buft *buft, size_t size)
{
	union abi_buft *real = real_device->get_buffer_type(real_device);
	struct abi_buffer *b = real->v2.iface.alloc_buffer(real, size);

	if (b) {
		b->iface.init_tensor = strict_init;
		b->buft = buft;
	}
	return b;
}

static union abi_buft *strict_buffer_type(struct abi_device *d)
{
	strict_buft = *real_device->get_buffer_type(real_device);
	strict_buft.v2.iface.alloc_buffer = strict_alloc;
	strict_buft.v2.iface.get_alloc_size = strict_alloc_size;
	strict_buft.v2.device = d;
	return &strict_buft;
}

static bool tensor_ready(const struct abi_tensor *t)
{
	static const char usages[] = { 'a', 'w', 'c' };
	int32_t usage = t->buffer->usage;

	if (!strncmp(t->name, "p.", 2))
		return !t->extra;
	if ((uintptr_t)t->extra != 1)
		fprintf(stderr, "wrap: '%s' was initialised %zu times\n", t->name, (size_t)(uintptr_t)t->extra);
	else if (t->name[0] && t->name[1] == '.' && (usage < 0 || usage > 2 || t->name[0] != usages[usage]))
		fprintf(stderr, "wrap: '%s' lies in a buffer of usage %d\n", t->name, usage);
	else
		return !t->view_src || tensor_ready(t->view_src);
	return false;
}

static int32_t compute_strictly(struct abi_backend *b, struct abi_graph *g)
{
	bool ready = true;

	for (int i = 0; i < ggml_graph_n_nodes(g); i++) {
		const struct abi_tensor *node = ggml_graph_node(g, i);

		ready &= tensor_ready(node);
		for (int s = 0; s < ABI_SRCS; s++)
			ready &= !node->src[s] || tensor_ready(node->src[s]);
	}
	return ready ? real_compute(b, g) : ABI_STATUS_FAILED;
}

static struct abi_backend *device_init_strict(struct abi_device *d, const char *params)
{
	struct abi_backend *b = real_device->init_backend(real_device, params);

	(void)d;
	if (b) {
		real_compute = b->iface.graph_compute;
		b->iface.graph_compute = compute_strictly;
	}
	return b;
}

/* Whether two nodes look at the same memory. */
static bool tensors_share(const struct abi_tensor *a, const struct abi_tensor *b)
{
	return (a->view_src ? a->view_src : a) == (b->view_src ? b->view_src : b);
}

static bool node_needs(const struct abi_tensor *node, const struct abi_tensor *earlier)
{
	bool needs = tensors_share(node, earlier);

	for (int s = 0; s < ABI_SRCS; s++)
		needs |= node->src[s] && tensors_share(node->src[s], earlier);
	return needs;
}

/* Whether none of the nodes before the i-th that are still there is needed by it. */
static bool node_is_next(struct abi_tensor *const *nodes, int i)
{
	for (int j = 0; j < i; j++) {
		if (nodes[j] && node_needs(nodes[i], nodes[j]))
			return false;
	}
	return true;
}

/*
 * Of the nodes that could come next it takes the last. What is read more than once keeps its memory to the end, and so does
 * the first node's first source. A graph whose first node is called "double" gets it twice.
 */
static void optimize_backwards(struct abi_backend *b, struct abi_graph *graph, struct abi_optimize_params *params)
{
	struct abi_tensor **nodes = abi_cgraph_of(graph)->nodes, *left[64], *last;
	int n = ggml_graph_n_nodes(graph);

	(void)b;
	fprintf(stderr, "wrap: optimizing %d nodes\n", n);
	if (n > 64)
		return;
	last = nodes[n - 1];
	memcpy(left, nodes, (size_t)n * sizeof *left);
	if (left[0]->src[0])
		params->add_alloc_dep(params->user_data, left[0]->src[0], last);
	for (int i = 0; i < n; i++) {
		if (abi_count_get(graph, left[i]) > 1)
			params->add_alloc_dep(params->user_data, left[i], last);
	}
	for (int at = 0; at < n; at++) {
		int i = n - 1;

		while (!left[i] || !node_is_next(left, i))
			i--;
		nodes[at] = left[i];
		left[i] = NULL;
	}
	if (n > 1 && !strcmp(nodes[0]->name, "double"))
		nodes[1] = nodes[0];
}

static void optimize_nothing(struct abi_backend *b, struct abi_graph *graph, struct abi_optimize_params *params)
{
	(void)b, (void)params;
	fprintf(stderr, "wrap: contented with %d nodes\n", ggml_graph_n_nodes(graph));
}

static struct abi_backend *device_init_optimizing(struct abi_device *d, const char *params)
{
	struct abi_backend *b = real_device->init_backend(real_device, params);

	(void)d;
	if (b)
		b->iface.graph_optimize = optimize_backwards;
	return b;
}

static struct abi_backend *device_init_contented(struct abi_device *d, const char *params)
{
	struct abi_backend *b = real_device->init_backend(real_device, params);

	(void)d;
	if (b)
		b->iface.graph_optimize = optimize_nothing;
	return b;
}

/*
 * Lazy: what the backend is given it only notes, and does it, in order, when it is synchronized; its buffers wait for
 * nothing. So whoever changes, frees or reads what it works with, and hasn't waited, has wrong numbers or none. As a GPU's library
 * it clears what lies behind a quantised tensor, and aborts when it is to read asynchronously from a buffer of another kind.
 * When a graph is computed whose last node's name begins with "told" it says so.
 */
#define LATER_MOST 4096 /* then it is full, and does what it has */

static struct {
	struct abi_graph *graph; /* to be computed; NULL: to be read */
	struct abi_tensor from;
	void *to;
	size_t offset, size;
} later[LATER_MOST];
static size_t n_later;

static void graph_now(struct abi_backend *b, struct abi_graph *g)
{
	int n = ggml_graph_n_nodes(g);

	if (!strncmp(ggml_graph_node(g, n - 1)->name, "told", 4))
		fprintf(stderr, "wrap: computed '%s'\n", ggml_graph_node(g, n - 1)->name);
	if (real_compute(b, g) != ABI_STATUS_SUCCESS)
		abort();
}

static void lazy_synchronize(struct abi_backend *b)
{
	for (size_t i = 0; i < n_later; i++) {
		if (later[i].graph)
			graph_now(b, later[i].graph);
		else
			memcpy(later[i].to, (const char *)later[i].from.data + later[i].offset, later[i].size);
	}
	n_later = 0;
}

static size_t later_next(struct abi_backend *b)
{
	if (n_later == LATER_MOST)
		lazy_synchronize(b);
	return n_later++;
}

static int32_t compute_later(struct abi_backend *b, struct abi_graph *g)
{
	if (refused(g))
		return ABI_STATUS_FAILED;
	later[later_next(b)].graph = g;
	return ABI_STATUS_SUCCESS;
}

static void get_later(struct abi_backend *b, const struct abi_tensor *t, void *to, size_t offset, size_t size)
{
	size_t i = later_next(b);

	if (t->buffer->buft != real_device->get_buffer_type(real_device))
		abort();
	later[i].graph = NULL;
	later[i].from = *t;
	later[i].to = to;
	later[i].offset = offset;
	later[i].size = size;
}

static int32_t lazy_init(struct abi_buffer *b, struct abi_tensor *t)
{
	(void)b;
	if (!t->view_src && ggml_blck_size(t->type) > 1)
		memset((char *)t->data + ggml_nbytes(t), 0, BEHIND);
	return ABI_STATUS_SUCCESS;
}

static struct abi_buffer *(*real_alloc)(union abi_buft *, size_t);
static struct abi_buffer *lazy_alloc(union abi_buft *buft, size_t size)
{
	struct abi_buffer *b = real_alloc(buft, size);

	if (b)
		b->iface.init_tensor = lazy_init;
	return b;
}

static struct abi_backend *device_init_lazy(struct abi_device *d, const char *params)
{
	struct abi_backend *b = real_device->init_backend(real_device, params);

	(void)d;
	if (b) {
		real_compute = b->iface.graph_compute;
		b->iface.graph_compute = compute_later;
		b->iface.get_tensor_async = get_later;
		b->iface.synchronize = lazy_synchronize;
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

EXPORT struct abi_reg *wrap_optimizing(void);
EXPORT struct abi_reg *wrap_optimizing(void)
{
	return registration(device_init_optimizing);
}

EXPORT struct abi_reg *wrap_contented(void);
EXPORT struct abi_reg *wrap_contented(void)
{
	return registration(device_init_contented);
}

EXPORT struct abi_reg *wrap_lazy(void);
EXPORT struct abi_reg *wrap_lazy(void)
{
	struct abi_reg *r = registration(device_init_lazy);
	struct abi_buft_i *type = r ? &real_device->get_buffer_type(real_device)->v2.iface : NULL;

	if (!type)
		return NULL;
	mallopt(M_PERTURB, 0xa5); /* what is freed is seen to be gone */
	real_alloc = type->alloc_buffer;
	type->alloc_buffer = lazy_alloc;
	type->get_alloc_size = strict_alloc_size;
	return r;
}

static const char *reg_name_cuda(struct abi_reg *r)
{
	(void)r;
	return "CUDA";
}

static const char *device_name_cuda(struct abi_device *d)
{
	static const char *const names[DEVICES] = { "CUDA0", "CUDA1", "CUDA2" };

	return names[d - devices];
}

EXPORT struct abi_reg *wrap_cuda(void);
EXPORT struct abi_reg *wrap_cuda(void)
{
	struct abi_reg *r = registration(device_init_refusing);

	if (!r)
		return NULL;
	r->get_name = reg_name_cuda;
	for (size_t i = 0; i < DEVICES; i++)
		devices[i].get_name = device_name_cuda;
	return r;
}

static int32_t device_accelerates(struct abi_device *d)
{
	(void)d;
	return ABI_DEV_ACCEL;
}

EXPORT struct abi_reg *wrap_accel(void);
EXPORT struct abi_reg *wrap_accel(void)
{
	struct abi_reg *r = registration(device_init);

	devices[0].get_type = device_accelerates;
	return r;
}

EXPORT struct abi_reg *wrap_strict(void);
EXPORT struct abi_reg *wrap_strict(void)
{
	struct abi_reg *r = registration(device_init_strict);

	for (size_t i = 0; r && i < DEVICES; i++)
		devices[i].get_buffer_type = strict_buffer_type;
	return r;
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
