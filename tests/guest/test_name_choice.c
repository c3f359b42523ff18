/* SPDX-License-Identifier: MIT */
/* What GGML_VIRTGPU_NAME makes of the device's name, for programs that know GPUs by their names only. */
#include "tests/guest/scenario.h"

#include <string.h>

#include "tests/support/capture.h"
#include "tests/support/process.h"

#define ENV "GGML_VIRTGPU_NAME"

static void load_without_device(void *unused)
{
	struct program p;

	(void)unused;
	program_load(&p, server.socket);
	CHECK(p.g.reg_dev_count(p.reg) == 0);
}

static void device_is_named(void *name)
{
	struct program p;
	struct net here, there;

	program_start(&p, server.socket);
	CHECK(!strcmp(p.g.dev_name(p.dev), name));
	CHECK(!strcmp(p.g.buft_name(p.g.dev_buffer_type(p.dev)), name));
	CHECK(p.f.backend_reg_by_name("VirtGPU") == p.reg);
	net_make(&there, &p, p.gpu, 64, 3, 1);
	net_make(&here, &p, p.cpu, 64, 3, 1);
	net_input(&there, &p, 7);
	net_input(&here, &p, 7);
	nets_agree(&there, p.gpu, &here, p.cpu, &p);
	net_free(&here, &p);
	net_free(&there, &p);
	program_end(&p);
}

static void another_value_is_no_device_and_one_line_with_what_is_allowed(void **state)
{
	const char *const values[] = { "", " ", "CUDA ", "C.U", "a/b", "abcdefghijkl", "%s", "\xc3\xa4" };

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		char *heard, wanted[160];
		const char *line;

		setenv(ENV, values[i], 1);
		assert_int_equal(child_run_heard(load_without_device, NULL, &heard), 0);
		snprintf(wanted, sizeof wanted,
			"ggml-virtgpu: no device: " ENV " is '%s': give 1 to 11 letters and digits, or unset it; ",
			values[i]);
		line = strstr(heard, "ggml-virtgpu: ");
		if (!line || strncmp(line, wanted, strlen(wanted)) != 0 || strstr(line + 1, "ggml-virtgpu: "))
			fail_msg("wanted one line that begins with '%s', heard: %s", wanted, heard);
		free(heard);
	}
	unsetenv(ENV);
}

static void unset_it_is_virtgpu0(void **state)
{
	static char name[] = "VirtGPU0";

	(void)state;
	unsetenv(ENV);
	assert_int_equal(child_run(device_is_named, name), 0);
}

static void the_device_and_its_buffers_are_called_so_and_the_registry_as_ever(void **state)
{
	static char names[][13] = { "CUDA0", "a0", "Abcdefghij10" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char value[13];

		snprintf(value, sizeof value, "%.*s", (int)strlen(names[i]) - 1, names[i]);
		setenv(ENV, value, 1);
		assert_int_equal(child_run(device_is_named, names[i]), 0);
	}
	unsetenv(ENV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_value_is_no_device_and_one_line_with_what_is_allowed),
		cmocka_unit_test(unset_it_is_virtgpu0),
		cmocka_unit_test(the_device_and_its_buffers_are_called_so_and_the_registry_as_ever),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
