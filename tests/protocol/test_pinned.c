/* SPDX-License-Identifier: MIT */
/*
 * Blobs that are pinned: the backend in this process, with a pinner that minds its rules; then in a worker, with a driver of
 * CUDA's (support/fake_cuda.c) beside ggml's CPU library, which calls itself CUDA there.
 */
#include "tests/support/cm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/context.h"
#include "backend/functions.h"
#include "backend/pinned_shm.h"
#include "tests/protocol/fixture.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

#define KIB   UINT64_C(1024)
#define MIB   (1024 * KIB)
#define BLOBS 64
#define BYTES 4096

/* The host's side of the blobs: what it tells of them, and their mappings. */
static struct {
	char *ptr;
	uint64_t size, serial;
} blobs[BLOBS];
static uint64_t made, dropped;
static bool host_tells;

static const char *config(uint32_t ctx_id, const char *key)
{
	static char text[512];
	uint32_t res;
	char what[16];

	(void)ctx_id;
	if (!strcmp(key, "ggml.library.path")) {
		snprintf(text, sizeof text, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
		return text;
	}
	if (!host_tells)
		return NULL;
	if (!strcmp(key, "apir.blobs.dropped")) {
		snprintf(text, sizeof text, "%" PRIu64, dropped);
		return text;
	}
	if (sscanf(key, "apir.blob.%" SCNu32 ".%15s", &res, what) != 2 || res >= BLOBS || !blobs[res].ptr)
		return NULL;
	snprintf(text, sizeof text, "%" PRIu64, strcmp(what, "size") ? blobs[res].serial : blobs[res].size);
	return text;
}

static void *shmem(uint32_t ctx_id, uint32_t res)
{
	(void)ctx_id;
	return res < BLOBS ? blobs[res].ptr : NULL;
}

static void blob_map(uint32_t res, uint64_t size, int how)
{
	int fd = memfd_create("blob", MFD_CLOEXEC);

	assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	blobs[res].ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, how, fd, 0);
	assert_true(blobs[res].ptr != MAP_FAILED);
	close(fd);
	blobs[res].size = size;
	blobs[res].serial = ++made;
}

static void blob_make(uint32_t res, uint64_t size)
{
	blob_map(res, size, MAP_SHARED);
}

static void blob_drop(uint32_t res)
{
	munmap(blobs[res].ptr, blobs[res].size);
	blobs[res].ptr = NULL;
	dropped++;
}

static struct backend_context *ctx;
static uint64_t buffer;

/* A pinner that minds its rules. */
static struct {
	void *p;
	size_t size;
} pins[BLOBS];
static uint32_t n_pins, tries;
static bool is_full;

static bool is_mapped(void *p, size_t size)
{
	static unsigned char pages[300 * MIB / 4096];

	return mincore(p, size, pages) == 0;
}

static bool pin(void *p, size_t size)
{
	tries++;
	assert_true((uintptr_t)p % 4096 == 0 && size % 4096 == 0 && is_mapped(p, size));
	if (is_full)
		return false;
	pins[n_pins].p = p;
	pins[n_pins++].size = size;
	return true;
}

static void unpin(void *p)
{
	uint32_t i = 0;

	while (i < n_pins && pins[i].p != p)
		i++;
	assert_true(i < n_pins && is_mapped(p, pins[i].size));
	assert_false(ctx->computing);
	pins[i] = pins[--n_pins];
}

static int context_make(void **state)
{
	static struct apir_callbacks callbacks = { .get_config = config, .get_shmem_ptr = shmem };
	static const struct pinner minding = { pin, unpin };
	struct abi_buffer *b;
	uint32_t code;

	(void)state;
	host_tells = true;
	is_full = false;
	n_pins = tries = 0;
	ctx = context_open(1, &callbacks, &code);
	if (!ctx)
		return -1;
	assert_null(ctx->pinned.by); /* it is no CUDA */
	ctx->pinned.by = &minding;
	b = ctx->lib.fn.buft_alloc_buffer(ctx->lib.buft, BYTES);
	buffer = context_add_buffer(ctx, b, NULL, 0);
	return buffer ? 0 : -1;
}

static int context_end(void **state)
{
	(void)state;
	context_close(ctx);
	for (uint32_t i = 0; i < BLOBS; i++) {
		if (blobs[i].ptr)
			blob_drop(i);
	}
	return n_pins ? -1 : 0; /* all are unpinned with it */
}

static void move_bytes(uint32_t fn, uint32_t res, uint64_t at)
{
	struct apir_tensor t = tensor_f32(1, buffer, 0, BYTES / 4, 1);
	uint8_t bytes[512], answer[512];
	struct cursor in = cursor_over(bytes, sizeof bytes), out = cursor_over(answer, sizeof answer);

	assert_true(cursor_write_u64(&in, buffer) && cursor_write(&in, &t, sizeof t) && cursor_write_u32(&in, res) &&
		    cursor_write_u64(&in, at) && cursor_write_u64(&in, 0) && cursor_write_u64(&in, BYTES));
	in = cursor_over(bytes, in.pos);
	assert_int_equal(dispatch(ctx, fn, &in, &out), APIR_FN_OK);
}

/* A command that has nothing to do with blobs. */
static void another_command(void)
{
	uint8_t answer[512];
	struct cursor in = cursor_over(answer, 0), out = cursor_over(answer, sizeof answer);

	assert_int_equal(dispatch(ctx, APIR_FN_DEVICE_TYPE, &in, &out), APIR_FN_OK);
}

/* Bytes go through it to the device and back, and are the ones that the guest sees. */
static void blob_works(uint32_t res)
{
	static uint8_t value;
	uint64_t at = blobs[res].size - 2 * BYTES;

	value++;
	memset(blobs[res].ptr + at, value, BYTES);
	move_bytes(APIR_FN_SET_TENSOR_AT, res, at);
	memset(blobs[res].ptr + at, 0xee, BYTES + 1);
	move_bytes(APIR_FN_GET_TENSOR_AT, res, at);
	for (uint64_t i = 0; i < BYTES; i++)
		assert_int_equal((uint8_t)blobs[res].ptr[at + i], value);
	assert_int_equal((uint8_t)blobs[res].ptr[at + BYTES], 0xee);
	memset(blobs[res].ptr + at, value + 100, BYTES);
	move_bytes(APIR_FN_SET_TENSOR_AT, res, at);
	move_bytes(APIR_FN_GET_TENSOR_AT, res, 0);
	assert_int_equal((uint8_t)blobs[res].ptr[BYTES - 1], (uint8_t)(value + 100));
}

static void a_blob_is_pinned_once_with_the_first_bytes_that_go_through_it(void **state)
{
	(void)state;
	blob_make(1, 4 * MIB);
	blob_make(2, PINNED_LEAST);
	blob_make(3, PINNED_LEAST - 4096); /* not worth it */
	assert_int_equal(n_pins, 0);
	for (int i = 0; i < 3; i++) {
		for (uint32_t res = 1; res <= 3; res++)
			blob_works(res);
	}
	assert_int_equal(n_pins, 2);
	assert_int_equal(tries, 2);
	assert_int_equal(pins[0].size, 4 * MIB);
}

static void a_blob_that_ended_is_unpinned_when_the_device_is_done_and_then_unmapped(void **state)
{
	void *p[2];

	(void)state;
	for (uint32_t res = 0; res < 2; res++) {
		blob_make(res, MIB);
		blob_works(res);
		p[res] = pins[res].p;
	}
	blob_drop(0);
	ctx->computing = true;
	another_command();
	assert_int_equal(n_pins, 1);
	assert_true(!is_mapped(p[0], MIB) && errno == ENOMEM);
	assert_true(is_mapped(p[1], MIB));
	blob_works(1);
	assert_int_equal(tries, 2);
}

static void a_blob_of_the_same_number_is_another(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		blob_make(7, MIB << i % 3);
		blob_works(7);
		assert_int_equal(n_pins, 1);
		assert_int_equal(pins[0].size, MIB << i % 3);
		blob_drop(7);
		if (i % 2)
			another_command();
	}
	assert_int_equal(tries, 20);
}

static void so_many_are_pinned_and_what_comes_later_works_without(void **state)
{
	(void)state;
	for (uint32_t res = 0; res < 40; res++)
		blob_make(res, MIB);
	for (int i = 0; i < 3; i++) {
		for (uint32_t res = 0; res < 40; res++)
			blob_works(res);
	}
	assert_int_equal(n_pins, PINNED_BLOBS);
	assert_int_equal(tries, PINNED_BLOBS); /* none is given up for another */
	blob_drop(3);
	blob_works(39);
	assert_int_equal(n_pins, PINNED_BLOBS);
	assert_int_equal(tries, PINNED_BLOBS + 1);
}

static void so_many_bytes_are_pinned_and_what_is_larger_works_without(void **state)
{
	(void)state;
	blob_make(0, PINNED_BYTES + 4096);
	blob_make(1, 200 * MIB);
	blob_make(2, 57 * MIB);
	blob_make(3, 56 * MIB);
	blob_make(4, PINNED_LEAST);
	for (int i = 0; i < 2; i++) {
		for (uint32_t res = 0; res < 5; res++)
			blob_works(res);
	}
	assert_int_equal(n_pins, 2);
	assert_int_equal(tries, 2);
	assert_int_equal(pins[0].size + pins[1].size, PINNED_BYTES);
}

static void a_pin_that_fails_is_tried_once_and_those_before_serve_on(void **state)
{
	(void)state;
	blob_make(0, MIB);
	blob_works(0);
	is_full = true;
	for (uint32_t res = 1; res < 10; res++)
		blob_make(res, MIB);
	for (int i = 0; i < 2; i++) {
		for (uint32_t res = 0; res < 10; res++)
			blob_works(res);
	}
	assert_int_equal(tries, 2);
	assert_int_equal(n_pins, 1);
	assert_ptr_equal(pinned_shm(ctx, 0, 5, 1), (char *)pins[0].p + 5);
	assert_ptr_equal(pinned_shm(ctx, 1, 5, 1), blobs[1].ptr + 5);
}

static void memory_that_cannot_be_mapped_again_is_used_as_it_is(void **state)
{
	(void)state;
	blob_map(0, MIB, MAP_PRIVATE);
	blob_make(1, MIB);
	for (int i = 0; i < 2; i++) {
		blob_works(0);
		blob_works(1);
	}
	assert_int_equal(n_pins, 1);
}

static void nothing_is_pinned_where_the_host_does_not_tell_of_blobs(void **state)
{
	(void)state;
	host_tells = false;
	blob_make(0, MIB);
	blob_works(0);
	blob_drop(0);
	blob_make(0, MIB);
	blob_works(0);
	assert_int_equal(tries, 0);
}

/* A worker, whose library calls itself CUDA. */
static void worker_start(void)
{
	setenv("LD_LIBRARY_PATH", test_path("TEST_CUDA_FAKE"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", test_path("TEST_WRAP"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "wrap_cuda", 1);
	h = host_open(NULL, HOST_BACKEND);
	CHECK(h && guest_open(&g, h, 1) && guest_ready(&g));
	args_start(&g);
	arg_u32(&g, APIR_HELLO_VERSION);
	arg_u64(&g, APIR_FEATURE_AT);
	CHECK(forward(&g, APIR_FN_HELLO) == 0);
}

static void worker_end(void)
{
	pid_t worker = host_worker(h);

	CHECK(guest_computes(&g));
	guest_close(&g);
	CHECK(process_ends(worker, HOST_PATIENCE_MS));
	host_close(h);
}

static void blob_set(const struct guest_blob *b)
{
	struct apir_tensor t = tensor_f32(1, g.buffer, 0, 8, 1);

	args_start(&g);
	arg_u64(&g, g.buffer);
	arg_bytes(&g, &t, sizeof t);
	arg_u32(&g, b->res);
	arg_u64(&g, 64);
	arg_u64(&g, 0);
	arg_u64(&g, 32);
	CHECK(forward(&g, APIR_FN_SET_TENSOR_AT) == 0);
}

/* Made, used once, dropped. */
static void run_many(void *unused)
{
	enum { MANY = 2000 };
	long before = 0, after;
	pid_t worker;

	(void)unused;
	worker_start();
	worker = host_worker(h);
	for (int i = 0; i < MANY; i++) {
		struct guest_blob b;

		CHECK(guest_blob_make(&g, PINNED_LEAST, &b));
		b.ptr[64] = (uint8_t)i;
		blob_set(&b);
		if (i % 100 == 0) {
			struct apir_tensor t = tensor_f32(1, g.buffer, 0, 8, 1);

			CHECK(tensor_get(&g, g.buffer, &t, 0, 32) == 0 && g.data.ptr[0] == (uint8_t)i);
		}
		guest_blob_drop(&g, &b);
		if (i == 100)
			before = process_status(worker, "VmSize");
	}
	after = process_status(worker, "VmSize");
	CHECK(before > 0 && (SANITIZED || after - before < (64 << 10))); /* KiB, of half a million that came and went */
	worker_end();
}

static void run_full(void *unused)
{
	struct guest_blob b;

	(void)unused;
	setenv("CUDA_FAKE_FULL", "1", 1);
	worker_start();
	CHECK(guest_blob_make(&g, MIB, &b));
	for (int i = 0; i < 20; i++)
		blob_set(&b);
	guest_blob_drop(&g, &b);
	worker_end();
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void a_guest_that_makes_blobs_without_end_is_given_no_more_than_it_has(void **state)
{
	char *heard;

	(void)state;
	assert_int_equal(child_run_heard(run_many, NULL, &heard), 0);
	assert_int_equal(count(heard, "cuda: wrong"), 0);
	assert_int_equal(count(heard, "cuda: pinned"), 2001); /* and what guests' bytes travel through always */
	assert_int_equal(count(heard, "cuda: unpinned"), 2001);
	free(heard);
}

static void with_a_driver_that_pins_nothing_everything_is_as_without(void **state)
{
	char *heard;

	(void)state;
	assert_int_equal(child_run_heard(run_full, NULL, &heard), 0);
	assert_int_equal(count(heard, "cuda: no room"), 1);
	assert_int_equal(count(heard, "cuda:"), 1);
	free(heard);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, context_make, context_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_blob_is_pinned_once_with_the_first_bytes_that_go_through_it),
		TEST(a_blob_that_ended_is_unpinned_when_the_device_is_done_and_then_unmapped),
		TEST(a_blob_of_the_same_number_is_another),
		TEST(so_many_are_pinned_and_what_comes_later_works_without),
		TEST(so_many_bytes_are_pinned_and_what_is_larger_works_without),
		TEST(a_pin_that_fails_is_tried_once_and_those_before_serve_on),
		TEST(memory_that_cannot_be_mapped_again_is_used_as_it_is),
		TEST(nothing_is_pinned_where_the_host_does_not_tell_of_blobs),
		cmocka_unit_test(a_guest_that_makes_blobs_without_end_is_given_no_more_than_it_has),
		cmocka_unit_test(with_a_driver_that_pins_nothing_everything_is_as_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
