/* SPDX-License-Identifier: MIT */
/* What a program sees of the plugin when it loads it: one device, or none and one line that says why (test_causes.c has
 * what the socket may be). */
#include "tests/guest/scenario.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "tests/support/capture.h"
#include "tests/support/ggml.h"
#include "tests/support/process.h"

static const char *socket_path; /* of the child that is to hear a refusal */

static void load_without_device(void *unused)
{
	struct program p;

	(void)unused;
	program_load(&p, socket_path);
	CHECK(p.g.reg_dev_count(p.reg) == 0);
	CHECK(p.f.backend_dev_count() == 0);
	CHECK(p.f.backend_reg_by_name("VirtGPU") == p.reg);
}

static void refused_with(const char *path, const char *cause, const char *cure)
{
	char *heard;
	const char *line;

	socket_path = path;
	assert_int_equal(child_run_heard(load_without_device, NULL, &heard), 0);
	line = strstr(heard, "ggml-virtgpu: ");
	if (!line || !strstr(line, cause) || !strstr(line, cure) || strstr(line + 1, "ggml-virtgpu: "))
		fail_msg("wanted one line with '%s' and '%s', heard: %s", cause, cure, heard);
	free(heard);
}

static void a_host_without_a_usable_library_is_no_device_and_one_line(void **state)
{
	struct server bad;

	(void)state;
	/* The variable wins nothing over --ggml, but the registration function is the environment's. */
	assert_true(server_start(&bad, "APIR_LLAMA_CPP_GGML_LIBRARY_REG=no_such_function"));
	refused_with(bad.socket, "the host's backend library cannot use the GGML library: a symbol is missing (code 5)",
		"check APIR_LLAMA_CPP_GGML_LIBRARY_REG, APIR_LLAMA_CPP_GGML_LIBRARY_INIT and the log on the host");
	server_stop(&bad);
}

static void load_with_device(void *path)
{
	struct program p;

	program_start(&p, path);
	program_end(&p);
}

static void a_host_that_routes_venus_is_used_as_venus_and_as_apir(void **state)
{
	struct server venus;

	(void)state;
	assert_true(server_start(&venus, "VIRGL_ROUTE_VENUS_TO_APIR="));
	assert_int_equal(child_run(load_with_device, venus.socket), 0);
	setenv("GGML_REMOTING_USE_APIR_CAPSET", "", 1);
	assert_int_equal(child_run(load_with_device, venus.socket), 0);
	assert_int_equal(child_run(load_with_device, server.socket), 0);
	unsetenv("GGML_REMOTING_USE_APIR_CAPSET");
	server_stop(&venus);
}

SCENARIO(there_is_one_device_of_type_gpu)
{
	struct abi_props props;
	struct program p;
	size_t free_bytes = 0, total = 0;

	(void)unused;
	program_start(&p, server.socket);
	CHECK(!strcmp(p.g.reg_name(p.reg), "VirtGPU"));
	CHECK(p.f.backend_reg_by_name("VirtGPU") == p.reg);
	CHECK(p.f.backend_dev_get(0) == p.dev);
	CHECK(!strcmp(p.g.dev_name(p.dev), "VirtGPU0"));
	CHECK(strstr(p.g.dev_description(p.dev), "ggml-virtgpu"));
	CHECK(p.g.dev_type(p.dev) == ABI_DEV_GPU);
	p.g.dev_memory(p.dev, &free_bytes, &total);
	CHECK(total > 0 && free_bytes <= total);
	p.g.dev_get_props(p.dev, &props);
	CHECK(props.type == ABI_DEV_GPU && props.memory_total == total && !strcmp(props.name, "VirtGPU0"));
	/* llama.cpp maps the model instead of reading it, and keeps the mapping to itself */
	CHECK(props.mmap_support && !props.buffer_from_host_ptr);
	CHECK(!p.g.buft_is_host(p.g.dev_buffer_type(p.dev)));
	CHECK(p.g.buft_get_alignment(p.g.dev_buffer_type(p.dev)) > 0);
	CHECK(p.g.buft_get_max_size(p.g.dev_buffer_type(p.dev)) > 0);
	program_end(&p);
}

SCENARIO(loading_twice_gives_no_second_device)
{
	struct program p;
	size_t before;

	(void)unused;
	program_start(&p, server.socket);
	before = p.f.backend_dev_count();
	CHECK(p.f.backend_load(test_path("TEST_PLUGIN")) == p.reg);
	CHECK(p.g.reg_dev_count(p.reg) == 1);
	CHECK(p.g.reg_dev_get(p.reg, 0) == p.dev);
	CHECK(p.f.backend_dev_count() == before);
	CHECK(server_worker(&server) != 0);
	program_end(&p);
}

static void file_copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	struct stat st;
	off_t left;

	CHECK(in >= 0 && out >= 0 && fstat(in, &st) == 0);
	for (left = st.st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);

		CHECK(n > 0);
		left -= n;
	}
	close(in);
	close(out);
}

SCENARIO(a_second_image_of_the_plugin_offers_nothing)
{
	char path[64];
	struct abi_reg *second;
	struct program p;
	size_t before;

	(void)unused;
	program_start(&p, server.socket);
	before = p.f.backend_dev_count();
	snprintf(path, sizeof path, "%s/libcopy.so", server.dir);
	file_copy(test_path("TEST_PLUGIN"), path);
	second = p.f.backend_load(path);
	unlink(path);
	CHECK(second && second != p.reg);
	CHECK(p.g.reg_dev_count(second) == 0);
	CHECK(p.f.backend_dev_count() == before);
	program_end(&p);
}

static void custom(struct abi_tensor *dst, const struct abi_tensor *a, int ith, int nth, void *user)
{
	(void)dst, (void)a, (void)ith, (void)nth, (void)user;
}

SCENARIO(supports_op_tells_the_truth)
{
	struct abi_tensor *a, *b, *w, *yes[4], *no, *quant;
	struct abi_context *ctx;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	ctx = program_context(&p);
	a = p.g.new_tensor_4d(ctx, 0, 64, 4, 1, 1);
	b = p.g.new_tensor_4d(ctx, 0, 64, 4, 1, 1);
	w = p.g.new_tensor_4d(ctx, 0, 64, 8, 1, 1);
	quant = p.g.new_tensor_4d(ctx, ggml_type("q4_0"), 64, 8, 1, 1);
	yes[0] = p.f.add(ctx, a, b);
	yes[1] = p.f.mul_mat(ctx, w, a);
	yes[2] = p.f.mul_mat(ctx, quant, a);
	yes[3] = p.f.soft_max(ctx, a);
	no = p.f.map_custom1(ctx, a, custom, 1, NULL);
	for (int round = 0; round < 2; round++) { /* the second time from memory */
		for (size_t i = 0; i < 4; i++)
			CHECK(p.g.dev_supports_op(p.dev, yes[i]));
		CHECK(!p.g.dev_supports_op(p.dev, no));
	}
	p.g.free(ctx);
	program_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_without_a_usable_library_is_no_device_and_one_line),
		cmocka_unit_test(a_host_that_routes_venus_is_used_as_venus_and_as_apir),
		cmocka_unit_test(there_is_one_device_of_type_gpu),
		cmocka_unit_test(loading_twice_gives_no_second_device),
		cmocka_unit_test(a_second_image_of_the_plugin_offers_nothing),
		cmocka_unit_test(supports_op_tells_the_truth),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
