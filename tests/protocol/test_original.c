/* SPDX-License-Identifier: MIT */
/*
 * The original's other half, a neutral stand-in for each: its guest against our host (original_guest.h), and its hypervisor
 * with our backend library, which asks it for four keys and a blob's place and gets nothing else. Its host against our
 * plugin is tests/doors/minimal.c, in tests/guest/test_protocol_choice.c, and what it makes of fences
 * tests/unit/test_fences.c. All numbers are in figures.
 */
#include "tests/support/cm.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/protocol/original_guest.h"
#include "tests/support/host.h"
#include "tests/support/process.h"
#include "tests/support/scenario.h"

/* Its guest, our host */

#define CTX   1
#define VENUS 4

static struct host *host;

static bool device_blob(size_t size, struct original_blob *out)
{
	static uint32_t last;
	uint64_t bytes = ((uint64_t)size + 0x3fff) & ~UINT64_C(0x3fff);
	uint32_t res = ++last;
	void *p;

	if (apir_blob_create(host->apir, res, bytes) < 0 || apir_blob_attach(host->apir, CTX, res) < 0)
		return false;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, apir_blob_fd(host->apir, res, &bytes), 0);
	*out = (struct original_blob){ .res = res, .ptr = p, .size = bytes };
	return p != MAP_FAILED;
}

static bool device_submit(const void *cmd, size_t size)
{
	if (apir_submit(host->apir, CTX, 0, cmd, size) < 0)
		return false;
	apir_kick(host->apir);
	return true;
}

static void device_pause(void)
{
	host_step(host, 0);
	nanosleep(&(struct timespec){ .tv_nsec = 15000 }, NULL);
}

static const struct original_device device = { device_blob, device_submit, device_pause };

/* As far as it comes before it asks for the device; false: the library could not be loaded. */
static bool guest_up(struct original *g, enum host_config config, const struct apir_limits *limits)
{
	uint32_t caps[40];

	setenv("VIRGL_ROUTE_VENUS_TO_APIR", "1", 1);
	host = host_open(limits, config);
	CHECK(host);
	CHECK(apir_capset(host->apir, VENUS, caps, sizeof caps) == 160);
	CHECK(caps[0] == 1 && caps[1] == 1 && caps[2] == 0);
	CHECK(apir_context_create(host->apir, CTX, "the original's") == 0);
	return original_open(g, &device, VENUS);
}

SCENARIO(its_guest_computes_with_our_host)
{
	struct original_buffer b;
	struct original g;

	(void)unused;
	CHECK(guest_up(&g, HOST_GGML, NULL));
	CHECK(g.host_minor == 2);
	original_ask(&g);
	b = original_alloc(&g, 4096);
	CHECK(b.handle);
	CHECK(original_adds(&g, &b));
	CHECK(host->n_done == 0); /* no fence was needed */
	CHECK(!host_has_lost(host, CTX));
	host_close(host);
}

SCENARIO(its_guest_computes_with_the_apir_capset)
{
	struct original_buffer b;
	struct original g;

	(void)unused;
	host = host_open(NULL, HOST_GGML);
	CHECK(host && apir_context_create(host->apir, CTX, "the original's") == 0);
	CHECK(original_open(&g, &device, 10));
	original_ask(&g);
	b = original_alloc(&g, 4096);
	CHECK(b.handle && original_adds(&g, &b));
	host_close(host);
}

SCENARIO(its_guest_hears_4_and_the_functions_own_code)
{
	struct original g;

	(void)unused;
	CHECK(guest_up(&g, HOST_GGML, NULL)); /* original_call() aborts on less than 4 */
	CHECK(original_call(&g, 1) == 0);
	CHECK(original_call(&g, 23) == 6);
	CHECK(original_call(&g, 0x7fffffff) == 6);
	CHECK(original_call(&g, 14) == 2); /* no arguments: refused */
	CHECK(original_call(&g, 1) == 0);
	host_close(host);
}

SCENARIO(its_guest_hears_why_a_library_is_of_no_use)
{
	struct original g;

	(void)unused;
	CHECK(!guest_up(&g, HOST_BARE, NULL));
	CHECK(g.load_code == 3);
	host_close(host);
	CHECK(!guest_up(&g, HOST_BACKEND, NULL));
	CHECK(g.load_code == 6 + 3);
	host_close(host);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", "/nowhere", 1);
	CHECK(!guest_up(&g, HOST_BACKEND, NULL));
	CHECK(g.load_code == 6 + 4);
	host_close(host);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", test_path("TEST_FAKE"), 1);
	CHECK(!guest_up(&g, HOST_BACKEND, NULL));
	CHECK(g.load_code == 6 + 5);
	host_close(host);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "fake_no_device", 1);
	CHECK(!guest_up(&g, HOST_BACKEND, NULL));
	CHECK(g.load_code == 6 + 6 + 8);
	host_close(host);
}

/* It makes a blob for each buffer and frees none. */
SCENARIO(its_guest_may_fill_the_memory_and_goes_on_without_more)
{
	const struct apir_limits limits = { .blob_bytes = UINT64_C(64) << 20 };
	struct original_buffer first, b;
	struct rlimit files;
	struct original g;
	unsigned n = 0;

	(void)unused;
	CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
	files.rlim_cur = files.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	CHECK(guest_up(&g, HOST_GGML, &limits));
	original_ask(&g);
	CHECK(g.from_ptr); /* the CPU library computes where the blobs are */
	first = original_alloc(&g, 4096);
	CHECK(first.handle);
	while ((b = original_alloc(&g, 16384)).handle)
		n++;
	fprintf(stderr, "%u buffers of 16 KiB in a quota of 64 MiB\n", n);
	/* what remains beside the blobs it talks through, or all the descriptors that there are */
	CHECK(n == ((64u << 20) - 0x1830000u - 0x4000u - 0x4000u) / 16384 || n + 3 == files.rlim_cur / 2);
	CHECK(!original_alloc(&g, 16384).handle);
	CHECK(!host_has_lost(host, CTX));
	CHECK(original_adds(&g, &first));
	CHECK(original_call(&g, 1) == 0);
	host_close(host);
}

/* Its hypervisor, our library */

static struct {
	uint32_t (*initialize)(uint32_t ctx, void *callbacks);
	void (*deinit)(uint32_t ctx);
	uint32_t (*dispatcher)(uint32_t ctx, void *callbacks, uint32_t function, char *in, const char *in_end,
		char *out, const char *out_end, char **out_after);
	void *handle;
} library;

static uint8_t blob[65536];

static const char *get_config(uint32_t ctx, const char *key)
{
	static const char *const keys[][2] = {
		{ "apir.load_library.path", "VIRGL_APIR_BACKEND_LIBRARY" },
		{ "ggml.library.path", "APIR_LLAMA_CPP_GGML_LIBRARY_PATH" },
		{ "ggml.library.reg", "APIR_LLAMA_CPP_GGML_LIBRARY_REG" },
		{ "ggml.library.init", "APIR_LLAMA_CPP_GGML_LIBRARY_INIT" },
	};

	(void)ctx;
	for (size_t i = 0; i < 4; i++) {
		if (!strcmp(keys[i][0], key))
			return getenv(keys[i][1]);
	}
	return NULL;
}

static void *get_shmem_ptr(uint32_t ctx, uint32_t res)
{
	(void)ctx;
	return res == 9 ? blob : NULL;
}

static struct {
	const char *(*get_config)(uint32_t, const char *);
	void *(*get_shmem_ptr)(uint32_t, uint32_t);
} callbacks = { get_config, get_shmem_ptr };

static void *symbol(const char *name)
{
	void *f = dlsym(library.handle, name);

	CHECK(f);
	return f;
}

static void library_open(void)
{
	void *f;

	library.handle = dlopen(test_path("TEST_BACKEND"), RTLD_LAZY);
	CHECK(library.handle);
	f = symbol("apir_backend_initialize");
	memcpy(&library.initialize, &f, sizeof f);
	f = symbol("apir_backend_deinit");
	memcpy(&library.deinit, &f, sizeof f);
	f = symbol("apir_backend_dispatcher");
	memcpy(&library.dispatcher, &f, sizeof f);
}

static void ggml_is(const char *path, const char *reg)
{
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", path, 1);
	if (reg)
		setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", reg, 1);
	else
		unsetenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG");
}

static void ggml_is_cpu(void)
{
	char path[512];

	snprintf(path, sizeof path, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	ggml_is(path, NULL);
}

static uint32_t call(uint32_t ctx, uint32_t function, const void *args, size_t size, void *answer, size_t answer_size)
{
	char in[512] = "", out[512] = "", *after = NULL;
	uint32_t code;

	CHECK(size <= sizeof in && answer_size <= sizeof out);
	if (size)
		memcpy(in, args, size);
	code = library.dispatcher(ctx, &callbacks, function, in, in + size, out, out + sizeof out, &after);
	CHECK(after >= out && after <= out + sizeof out);
	if (answer)
		memcpy(answer, out, answer_size);
	return code;
}

/* A set and a get of 32 bytes through the blob, in a buffer of the context's own. */
static void context_works(uint32_t ctx)
{
	struct {
		uint64_t buffer;
		uint8_t tensor[304];
		uint32_t res;
		uint64_t offset, size;
	} __attribute__((packed)) args = { .res = 9, .size = 32 };
	const uint32_t ne[4] = { 8, 1, 1, 1 }, nb[4] = { 4, 32, 32, 32 };
	uint64_t alloc[2] = { 0, 4096 }, id = 1;

	CHECK(call(ctx, 7, NULL, 0, &alloc[0], 8) == 0);
	CHECK(call(ctx, 14, alloc, sizeof alloc, &args.buffer, 8) == 0 && args.buffer);
	memcpy(args.tensor, &id, 8);
	memcpy(args.tensor + 16, &args.buffer, 8);
	memcpy(args.tensor + 24, ne, sizeof ne);
	memcpy(args.tensor + 40, nb, sizeof nb);
	memset(blob, 0x5a, 32);
	CHECK(call(ctx, 17, &args, sizeof args, NULL, 0) == 0);
	memset(blob, 0, 32);
	CHECK(call(ctx, 18, &args, sizeof args, NULL, 0) == 0);
	CHECK(blob[0] == 0x5a && blob[31] == 0x5a && blob[32] == 0);
	CHECK(call(ctx, 21, &args.buffer, 8, NULL, 0) == 0);
}

SCENARIO(the_library_initialises_with_6_and_serves_a_hypervisor_of_two_callbacks)
{
	uint32_t type = 0;

	(void)unused;
	ggml_is_cpu();
	library_open();
	CHECK(library.initialize(1, &callbacks) == 6);
	CHECK(call(1, 4, NULL, 0, &type, sizeof type) == 0);
	CHECK(type == 1); /* a GPU, though it is the CPU library */
	context_works(1);
	CHECK(call(1, 23, NULL, 0, NULL, 0) == 6);
	library.deinit(1);
	CHECK(call(1, 1, NULL, 0, NULL, 0) == 6);
}

SCENARIO(the_library_tells_a_second_initialise_by_13)
{
	(void)unused;
	ggml_is_cpu();
	library_open();
	CHECK(library.initialize(1, &callbacks) == 6);
	CHECK(library.initialize(1, &callbacks) == 6 + 7);
	context_works(1);
	CHECK(library.initialize(2, &callbacks) == 6); /* another context */
	context_works(2);
	context_works(1);
}

SCENARIO(the_library_tells_what_is_wrong_by_the_originals_codes)
{
	const char *fake = test_path("TEST_FAKE");

	(void)unused;
	library_open();
	unsetenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH");
	CHECK(library.initialize(1, &callbacks) == 3);
	ggml_is("/nowhere", NULL);
	CHECK(library.initialize(1, &callbacks) == 4);
	ggml_is(fake, "");
	CHECK(library.initialize(1, &callbacks) == 3);
	ggml_is(fake, "no_such_function");
	CHECK(library.initialize(1, &callbacks) == 5);
	ggml_is(fake, "fake_null");
	CHECK(library.initialize(1, &callbacks) == 6 + 6);
	ggml_is(fake, "fake_no_device");
	CHECK(library.initialize(1, &callbacks) == 6 + 8);
	ggml_is(fake, "fake_no_backend");
	CHECK(library.initialize(1, &callbacks) == 6 + 9);
	ggml_is(fake, "fake_future");
	CHECK(library.initialize(1, &callbacks) > 6 + 9); /* a ggml that isn't supported: a code of ours */
	ggml_is_cpu();
	CHECK(library.initialize(1, &callbacks) == 6);
	context_works(1);
}

/* It closes the library without a word, and opens it again for the next guest. */
SCENARIO(the_library_survives_being_closed_and_opened_again)
{
	(void)unused;
	ggml_is_cpu();
	for (int round = 0; round < 3; round++) {
		library_open();
		CHECK(library.initialize(1, &callbacks) == 6);
		context_works(1);
		library.deinit(1);
		CHECK(dlclose(library.handle) == 0);
		/* ggml, which stays, logs through it */
		CHECK(dlopen(test_path("TEST_BACKEND"), RTLD_LAZY | RTLD_NOLOAD));
	}
}

static void set_by_variables(void *unused)
{
	(void)unused;
	ggml_is(test_path("TEST_WRAP"), NULL);
	setenv("APIR_LLAMA_CPP_GGML_THREADS", "3", 1);
	setenv("APIR_LLAMA_CPP_GGML_DEVICES", "2,0", 1);
	library_open();
	CHECK(library.initialize(1, &callbacks) == 6);
}

static void set_wrong_by_variables(void *unused)
{
	(void)unused;
	ggml_is(test_path("TEST_WRAP"), NULL);
	library_open();
	setenv("APIR_LLAMA_CPP_GGML_THREADS", "many", 1);
	CHECK(library.initialize(1, &callbacks) == 6 + 9);
	unsetenv("APIR_LLAMA_CPP_GGML_THREADS");
	setenv("APIR_LLAMA_CPP_GGML_DEVICES", "3", 1);
	CHECK(library.initialize(1, &callbacks) == 6 + 8);
}

static void a_hypervisor_of_four_keys_has_threads_and_devices_by_variables(void **state)
{
	char *heard;

	(void)state;
	assert_int_equal(child_run_heard(set_by_variables, NULL, &heard), 0);
	if (!strstr(heard, "wrap: 3 threads\n") || !strstr(heard, "wrap: the device made a backend of device 2\n"))
		fail_msg("heard: %s", heard);
	free(heard);
	assert_int_equal(child_run(set_wrong_by_variables, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_guest_computes_with_our_host),
		cmocka_unit_test(its_guest_computes_with_the_apir_capset),
		cmocka_unit_test(its_guest_hears_4_and_the_functions_own_code),
		cmocka_unit_test(its_guest_hears_why_a_library_is_of_no_use),
		cmocka_unit_test(its_guest_may_fill_the_memory_and_goes_on_without_more),
		cmocka_unit_test(the_library_initialises_with_6_and_serves_a_hypervisor_of_two_callbacks),
		cmocka_unit_test(the_library_tells_a_second_initialise_by_13),
		cmocka_unit_test(the_library_tells_what_is_wrong_by_the_originals_codes),
		cmocka_unit_test(the_library_survives_being_closed_and_opened_again),
		cmocka_unit_test(a_hypervisor_of_four_keys_has_threads_and_devices_by_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
