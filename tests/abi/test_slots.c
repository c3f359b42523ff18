/* SPDX-License-Identifier: MIT */
/*
 * Every slot of our declarations of ggml's structs, against a real libggml-base: its public accessors are called on
 * objects laid out by us, and must reach the function that we put there. ggml doesn't install its private headers, so
 * the binary is what tells.
 *   test_slots LIBGGML-BASE
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-abi/probe.h"
#include "ggml-abi/counts.h"
#include "ggml-abi/names.h"
#include "ggml-abi/optimize.h"

static int failed, passed;
static const char *reached;

static void check(const char *slot, bool ok)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", slot);
	if (ok)
		passed++;
	else
		failed++;
}

static void *function(void *handle, const char *name)
{
	void *f = dlsym(handle, name);

	if (!f) {
		printf("Bail out! no %s in the library\n", name);
		exit(1);
	}
	return f;
}

/* Calls `name` with what the slot takes; the slot's function must have been reached. */
#define REACH(slot, type, name, ...)                                                                                   \
	do {                                                                                                           \
		void *address_ = function(handle, name);                                                               \
		type f_;                                                                                               \
		memcpy(&f_, &address_, sizeof f_);                                                                     \
		reached = NULL;                                                                                        \
		f_(__VA_ARGS__);                                                                                       \
		check(slot " by " name, reached && !strcmp(reached, slot));                                            \
	} while (0)

/* One recorder a slot: any of ggml's signatures can call it, since the caller cleans up. */
#define RECORD(slot)                                                                                                   \
	static size_t rec_##slot(void)                                                                                 \
	{                                                                                                              \
		reached = #slot;                                                                                       \
		return 0;                                                                                              \
	}
RECORD(buft_name)
RECORD(buft_alloc)
RECORD(buft_alignment) RECORD(buft_max) RECORD(buft_alloc_size) RECORD(buft_is_host) RECORD(dev_name) RECORD(
	dev_description) RECORD(dev_memory) RECORD(dev_type) RECORD(dev_props) RECORD(dev_init) RECORD(dev_buft)
	RECORD(dev_host_buft) RECORD(dev_from_ptr) RECORD(dev_supports_op) RECORD(dev_supports_buft) RECORD(dev_offload)
		RECORD(dev_event_new) RECORD(dev_event_free) RECORD(dev_event_sync) RECORD(be_name) RECORD(be_free)
			RECORD(be_set) RECORD(be_get) RECORD(be_sync) RECORD(be_compute) RECORD(be_event_record)
				RECORD(be_event_wait) RECORD(reg_name) RECORD(reg_count) RECORD(reg_dev)
					RECORD(reg_proc) RECORD(buf_free) RECORD(buf_init_tensor) RECORD(buf_memset)
						RECORD(buf_set) RECORD(buf_get) RECORD(buf_set_2d) RECORD(buf_get_2d)
							RECORD(buf_copy) RECORD(buf_clear) RECORD(buf_reset)

								static char memory[256];
static void *rec_buf_base(struct abi_buffer *b)
{
	(void)b;
	reached = "buf_base";
	return memory;
}

#define PUT(place, fn)                                                                                                 \
	do {                                                                                                           \
		size_t (*from_)(void) = fn;                                                                            \
		memcpy(&(place), &from_, sizeof from_);                                                                \
	} while (0)

typedef size_t one(void *);
typedef size_t two(void *, const void *);
typedef size_t two_n(void *, size_t);

static struct abi_device device;
static union abi_buft buft;

static void test_buft(void *handle, enum abi_version api)
{
	struct abi_buft_i i;
	struct abi_tensor t = { .ne = { 1, 1, 1, 1 }, .nb = { 4, 4, 4, 4 } };

	PUT(i.get_name, rec_buft_name);
	PUT(i.alloc_buffer, rec_buft_alloc);
	PUT(i.get_alignment, rec_buft_alignment);
	PUT(i.get_max_size, rec_buft_max);
	PUT(i.get_alloc_size, rec_buft_alloc_size);
	PUT(i.is_host, rec_buft_is_host);
	abi_buft_init(&buft, api, &i, &device, memory);
	REACH("buft_name", one *, "ggml_backend_buft_name", &buft);
	REACH("buft_alloc", two_n *, "ggml_backend_buft_alloc_buffer", &buft, 64);
	REACH("buft_alignment", one *, "ggml_backend_buft_get_alignment", &buft);
	REACH("buft_max", one *, "ggml_backend_buft_get_max_size", &buft);
	REACH("buft_is_host", one *, "ggml_backend_buft_is_host", &buft);
	{
		void *address = function(handle, "ggml_backend_buft_get_device");
		void *(*f)(void *);

		memcpy(&f, &address, sizeof f);
		check("buft device by ggml_backend_buft_get_device", f(&buft) == &device);
	}
	check("buft context", abi_buft_context(&buft, api) == memory);
	/* ggml asserts that a tensor takes at least its own bytes: answer with the truth. */
	i.get_alloc_size = NULL;
	abi_buft_init(&buft, api, &i, &device, memory);
	{
		void *address = function(handle, "ggml_backend_buft_get_alloc_size");
		size_t (*f)(void *, const void *);

		memcpy(&f, &address, sizeof f);
		check("buft_alloc_size is optional", f(&buft, &t) == 4);
	}
}

static size_t true_alloc_size(union abi_buft *b, const struct abi_tensor *t)
{
	(void)b, (void)t;
	reached = "buft_alloc_size";
	return 128;
}

static void test_alloc_size(void *handle, enum abi_version api)
{
	struct abi_buft_i i = { .get_alloc_size = true_alloc_size };
	struct abi_tensor t = { .ne = { 1, 1, 1, 1 }, .nb = { 4, 4, 4, 4 } };

	abi_buft_init(&buft, api, &i, &device, memory);
	REACH("buft_alloc_size", two *, "ggml_backend_buft_get_alloc_size", &buft, &t);
}

static void test_device(void *handle)
{
	struct abi_props props;
	size_t a, b;
	typedef void mem(void *, size_t *, size_t *);
	typedef void *from(void *, void *, size_t, size_t);

	PUT(device.get_name, rec_dev_name);
	PUT(device.get_description, rec_dev_description);
	PUT(device.get_memory, rec_dev_memory);
	PUT(device.get_type, rec_dev_type);
	PUT(device.get_props, rec_dev_props);
	PUT(device.init_backend, rec_dev_init);
	PUT(device.get_buffer_type, rec_dev_buft);
	PUT(device.get_host_buffer_type, rec_dev_host_buft);
	PUT(device.buffer_from_host_ptr, rec_dev_from_ptr);
	PUT(device.supports_op, rec_dev_supports_op);
	PUT(device.supports_buft, rec_dev_supports_buft);
	PUT(device.offload_op, rec_dev_offload);
	PUT(device.event_new, rec_dev_event_new);
	PUT(device.event_free, rec_dev_event_free);
	PUT(device.event_synchronize, rec_dev_event_sync);
	device.context = memory;
	REACH("dev_name", one *, "ggml_backend_dev_name", &device);
	REACH("dev_description", one *, "ggml_backend_dev_description", &device);
	REACH("dev_memory", mem *, "ggml_backend_dev_memory", &device, &a, &b);
	REACH("dev_type", one *, "ggml_backend_dev_type", &device);
	REACH("dev_props", two *, "ggml_backend_dev_get_props", &device, &props);
	REACH("dev_init", two *, "ggml_backend_dev_init", &device, NULL);
	REACH("dev_buft", one *, "ggml_backend_dev_buffer_type", &device);
	REACH("dev_host_buft", one *, "ggml_backend_dev_host_buffer_type", &device);
	REACH("dev_from_ptr", from *, "ggml_backend_dev_buffer_from_host_ptr", &device, memory, 16, 16);
	REACH("dev_supports_op", two *, "ggml_backend_dev_supports_op", &device, memory);
	REACH("dev_supports_buft", two *, "ggml_backend_dev_supports_buft", &device, &buft);
	REACH("dev_offload", two *, "ggml_backend_dev_offload_op", &device, memory);
	REACH("dev_event_new", one *, "ggml_backend_event_new", &device);
	{
		struct {
			void *device, *context;
		} event = { &device, NULL };

		REACH("dev_event_sync", one *, "ggml_backend_event_synchronize", &event);
		REACH("dev_event_free", one *, "ggml_backend_event_free", &event);
	}
	{
		void *address = function(handle, "ggml_backend_dev_backend_reg");
		void *(*f)(void *);
		struct abi_reg reg;

		memcpy(&f, &address, sizeof f);
		device.reg = &reg;
		check("dev reg by ggml_backend_dev_backend_reg", f(&device) == &reg);
	}
}

static void test_reg(void *handle)
{
	struct abi_reg reg = { .api_version = 2 };

	PUT(reg.get_name, rec_reg_name);
	PUT(reg.get_device_count, rec_reg_count);
	PUT(reg.get_device, rec_reg_dev);
	PUT(reg.get_proc_address, rec_reg_proc);
	REACH("reg_name", one *, "ggml_backend_reg_name", &reg);
	REACH("reg_count", one *, "ggml_backend_reg_dev_count", &reg);
	REACH("reg_dev", two_n *, "ggml_backend_reg_dev_get", &reg, 0);
	REACH("reg_proc", two *, "ggml_backend_reg_get_proc_address", &reg, "x");
}

static void test_backend(void *handle)
{
	struct abi_backend be = { .device = &device };
	struct abi_tensor t = { .ne = { 4, 1, 1, 1 }, .nb = { 4, 16, 16, 16 }, .data = memory };
	typedef void async(void *, const void *, const void *, size_t, size_t);
	struct {
		void *device, *context;
	} event = { &device, NULL };

	PUT(be.iface.get_name, rec_be_name);
	PUT(be.iface.free, rec_be_free);
	PUT(be.iface.set_tensor_async, rec_be_set);
	PUT(be.iface.get_tensor_async, rec_be_get);
	PUT(be.iface.synchronize, rec_be_sync);
	PUT(be.iface.graph_compute, rec_be_compute);
	PUT(be.iface.event_record, rec_be_event_record);
	PUT(be.iface.event_wait, rec_be_event_wait);
	REACH("be_name", one *, "ggml_backend_name", &be);
	REACH("be_set", async *, "ggml_backend_tensor_set_async", &be, &t, memory, 0, 8);
	REACH("be_get", async *, "ggml_backend_tensor_get_async", &be, &t, memory, 0, 8);
	REACH("be_sync", one *, "ggml_backend_synchronize", &be);
	REACH("be_compute", two *, "ggml_backend_graph_compute_async", &be, memory);
	REACH("be_event_record", two *, "ggml_backend_event_record", &event, &be);
	REACH("be_event_wait", two *, "ggml_backend_event_wait", &be, &event);
	REACH("be_free", one *, "ggml_backend_free", &be);
}

static void test_buffer(void *handle)
{
	struct abi_buffer_i i = { .get_base = rec_buf_base };
	struct abi_buffer *(*init)(union abi_buft *, struct abi_buffer_i, void *, size_t);
	void *address = function(handle, "ggml_backend_buffer_init");
	struct abi_tensor t = { .ne = { 4, 1, 1, 1 }, .nb = { 4, 16, 16, 16 }, .data = memory }, u;
	struct abi_buffer *b;
	typedef void set(void *, const void *, size_t, size_t);
	typedef void mset(void *, uint8_t, size_t, size_t);
	typedef void set2(void *, const void *, size_t, size_t, size_t, size_t, size_t);
	char bytes[16] = "";

	PUT(i.free_buffer, rec_buf_free);
	PUT(i.init_tensor, rec_buf_init_tensor);
	PUT(i.memset_tensor, rec_buf_memset);
	PUT(i.set_tensor, rec_buf_set);
	PUT(i.get_tensor, rec_buf_get);
	PUT(i.set_tensor_2d, rec_buf_set_2d);
	PUT(i.get_tensor_2d, rec_buf_get_2d);
	PUT(i.cpy_tensor, rec_buf_copy);
	PUT(i.clear, rec_buf_clear);
	PUT(i.reset, rec_buf_reset);
	memcpy(&init, &address, sizeof init);
	b = init(&buft, i, memory, sizeof memory);
	check("buffer buft, context, size", b->buft == &buft && b->context == memory && b->size == sizeof memory);
	t.buffer = b;
	u = t;
	REACH("buf_base", one *, "ggml_backend_buffer_get_base", b);
	REACH("buf_init_tensor", two *, "ggml_backend_buffer_init_tensor", b, &t);
	REACH("buf_clear", two_n *, "ggml_backend_buffer_clear", b, 0);
	REACH("buf_reset", one *, "ggml_backend_buffer_reset", b);
	REACH("buf_set", set *, "ggml_backend_tensor_set", &t, bytes, 0, 8);
	REACH("buf_get", set *, "ggml_backend_tensor_get", &t, bytes, 0, 8);
	REACH("buf_memset", mset *, "ggml_backend_tensor_memset", &t, 0, 0, 8);
	REACH("buf_set_2d", set2 *, "ggml_backend_tensor_set_2d", &t, bytes, 0, 4, 2, 8, 4);
	REACH("buf_get_2d", set2 *, "ggml_backend_tensor_get_2d", &t, bytes, 0, 4, 2, 8, 4);
	if (dlsym(handle, "ggml_backend_buffer_copy_tensor"))
		REACH("buf_copy", two *, "ggml_backend_buffer_copy_tensor", &t, &u);
	{
		void *a = function(handle, "ggml_backend_buffer_set_usage");
		void (*f)(struct abi_buffer *, int);

		memcpy(&f, &a, sizeof f);
		f(b, ABI_USAGE_WEIGHTS);
		check("buffer usage by ggml_backend_buffer_set_usage", b->usage == ABI_USAGE_WEIGHTS);
	}
	REACH("buf_free", one *, "ggml_backend_buffer_free", b);
}

int main(int argc, char **argv)
{
	static struct abi_names learned, canonical;
	void *handle = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	struct abi_symbols fn;
	enum abi_version api;
	const char *missing;
	char err[256];

	if (!handle) {
		fprintf(stderr, "usage: test_slots LIBGGML-BASE: %s\n", argc == 2 ? dlerror() : "give the library");
		return 2;
	}
	if (abi_symbols_load(&fn, handle, &missing) < 0) {
		printf("Bail out! no %s\n", missing);
		return 1;
	}
	check("names, types and sizes are as we know them", abi_symbols_check(&fn, err, sizeof err) == 0);
	abi_names_learn(&learned, &fn);
	abi_names_canonical(&canonical);
	check("numbers mean what they mean to APIR 0.2's peers", !memcmp(&learned, &canonical, sizeof learned));
	check("the API version is deduced", abi_probe(&fn, handle, &api, err, sizeof err) == 0);
	if (failed) {
		printf("Bail out! %s\n", err);
		return 1;
	}
	printf("# ggml %s, plugin API %d\n", fn.version(), api);
	check("use counts are where we expect them", abi_counts_check(&fn, handle));
	check("nodes change places, and the slot for it is known", abi_optimize_learn(&fn) != ABI_OPTIMIZE_UNKNOWN);
	test_device(handle);
	test_buft(handle, api);
	test_alloc_size(handle, api);
	test_reg(handle);
	test_backend(handle);
	test_buffer(handle);
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
