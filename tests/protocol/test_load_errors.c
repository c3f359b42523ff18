/* SPDX-License-Identifier: MIT */
/* Every way in which loading the libraries fails: the code that the guest gets and the line that names the
 * cure. */
#include "tests/support/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/protocol/harness.h"
#include "tests/support/capture.h"
#include "tests/support/process.h"

/* The backend library's own codes come behind the loader's. */
#define INITIALISE(code) (APIR_LOAD_INIT + (code))

static struct guest g;
static char dir[] = "/tmp/test-load-XXXXXX";
static char cpu[512], text_file[64], log_file[64];

static int prepare(void **state)
{
	FILE *f;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(cpu, sizeof cpu, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	snprintf(text_file, sizeof text_file, "%s/text", dir);
	snprintf(log_file, sizeof log_file, "%s/log", dir);
	f = fopen(text_file, "w");
	if (!f)
		return -1;
	fputs("this is no library\n", f);
	return fclose(f);
}

static int clean(void **state)
{
	(void)state;
	unlink(text_file);
	unlink(log_file);
	return rmdir(dir);
}

/* A context with up to three keys tries to load; what was logged comes back. */
static int64_t load_with(enum host_config config, const char *const keys[6], char **heard)
{
	struct host *h = host_open(NULL, config);
	struct capture c;
	uint32_t major, minor;
	int64_t code = -100;

	assert_non_null(h);
	for (int i = 0; i < 6 && keys[i]; i += 2)
		assert_int_equal(apir_configure(h->apir, 1, keys[i], keys[i + 1]), 0);
	capture_begin(&c);
	if (guest_open(&g, h, 1) && handshake(&g, &major, &minor) == APIR_HANDSHAKE_MAGIC)
		code = load_library(&g);
	guest_close(&g);
	host_close(h);
	*heard = capture_end(&c);
	return code;
}

static void fails(enum host_config config, const char *const keys[6], int64_t code, const char *message)
{
	char *heard;
	int64_t got = load_with(config, keys, &heard);

	if (got != code || !strstr(heard, message))
		fail_msg("code %lld, wanted %lld; wanted the line '%s', heard: %s", (long long)got, (long long)code,
			message, heard);
	free(heard);
}

#define KEYS(...) ((const char *const[6]){ __VA_ARGS__ })

/* The APIR backend library */

static void without_a_backend_library_the_code_is_3(void **state)
{
	(void)state;
	fails(HOST_BARE, KEYS(NULL), APIR_LOAD_ENV_MISSING,
		"cannot open the APIR backend library: env var 'VIRGL_APIR_BACKEND_LIBRARY' not defined");
	fails(HOST_BARE, KEYS("apir.load_library.path", ""), APIR_LOAD_ENV_MISSING,
		"cannot open the APIR backend library: env var 'VIRGL_APIR_BACKEND_LIBRARY' not defined");
}

static void a_backend_library_that_cannot_be_opened_is_code_4(void **state)
{
	(void)state;
	fails(HOST_BARE, KEYS("apir.load_library.path", "/nowhere/lib.so"), APIR_LOAD_CANNOT_OPEN, "/nowhere/lib.so");
	fails(HOST_BARE, KEYS("apir.load_library.path", text_file), APIR_LOAD_CANNOT_OPEN, text_file);
}

static void a_backend_library_without_the_symbols_is_code_5(void **state)
{
	(void)state;
	fails(HOST_BARE, KEYS("apir.load_library.path", cpu), APIR_LOAD_SYMBOL_MISSING,
		"is no APIR backend library: it has no apir_backend_initialize()");
}

/* The GGML library */

static void without_a_ggml_library_the_code_is_6_plus_3(void **state)
{
	static const char line[] =
		"cannot open the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_PATH' not defined";

	(void)state;
	fails(HOST_BACKEND, KEYS(NULL), INITIALISE(APIR_LOAD_ENV_MISSING), line);
	fails(HOST_BACKEND, KEYS("ggml.library.path", ""), INITIALISE(APIR_LOAD_ENV_MISSING), line);
}

static void a_registration_function_that_is_set_but_empty_is_6_plus_3(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", cpu, "ggml.library.reg", ""), INITIALISE(APIR_LOAD_ENV_MISSING),
		"cannot register the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_REG' not defined");
}

static void files_that_are_no_library_are_6_plus_4(void **state)
{
	static const char line[] = "cannot open the GGML library (APIR_LLAMA_CPP_GGML_LIBRARY_PATH): ";

	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", "/nowhere/libggml.so"), INITIALISE(APIR_LOAD_CANNOT_OPEN), line);
	fails(HOST_BACKEND, KEYS("ggml.library.path", dir), INITIALISE(APIR_LOAD_CANNOT_OPEN), line);
	fails(HOST_BACKEND, KEYS("ggml.library.path", text_file), INITIALISE(APIR_LOAD_CANNOT_OPEN), line);
}

static void libraries_without_the_functions_are_6_plus_5(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", test_path("TEST_FAKE")), INITIALISE(APIR_LOAD_SYMBOL_MISSING),
		"cannot find the GGML backend registration symbol 'ggml_backend_init' (from "
		"APIR_LLAMA_CPP_GGML_LIBRARY_REG) in '");
	fails(HOST_BACKEND, KEYS("ggml.library.path", "libm.so.6"), INITIALISE(APIR_LOAD_SYMBOL_MISSING),
		"'ggml_backend_init'");
	fails(HOST_BACKEND, KEYS("ggml.library.path", cpu, "ggml.library.reg", "no_such_reg"),
		INITIALISE(APIR_LOAD_SYMBOL_MISSING), "'no_such_reg'");
	fails(HOST_BACKEND, KEYS("ggml.library.path", cpu, "ggml.library.init", "no_such_init"),
		INITIALISE(APIR_LOAD_SYMBOL_MISSING),
		"cannot find the backend's init function 'no_such_init' (from "
		"APIR_LLAMA_CPP_GGML_LIBRARY_INIT) in '");
}

static void a_library_that_is_no_ggml_is_6_plus_6_plus_4(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", "libm.so.6", "ggml.library.reg", "cos"),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_BAD_ABI), "is no GGML library that we can use");
	fails(HOST_BACKEND, KEYS("ggml.library.path", test_path("TEST_FAKE"), "ggml.library.reg", "fake_future"),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_BAD_ABI),
		"has plugin API 99 (ggml 0.25.1); supported: plugin API 2");
}

static void a_registration_that_returns_nothing_is_6_plus_6_plus_1(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", test_path("TEST_FAKE"), "ggml.library.reg", "fake_null"),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_REG),
		"fake_null() returned no backend: is the library's hardware");
}

static void a_library_without_a_device_is_6_plus_6_plus_2(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", test_path("TEST_FAKE"), "ggml.library.reg", "fake_no_device"),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_DEVICE), "(fake) offers no device");
}

static void a_device_that_does_not_start_is_6_plus_6_plus_3(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", test_path("TEST_FAKE"), "ggml.library.reg", "fake_no_backend"),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_BACKEND), "device broken could not be initialised");
	fails(HOST_BACKEND,
		KEYS("ggml.library.path", test_path("TEST_FAKE"), "ggml.library.reg", "fake_no_backend",
			"ggml.library.init", "fake_init"),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_BACKEND),
		"device broken could not be initialised by fake_init");
}

static void a_library_that_kills_its_process_loses_the_context(void **state)
{
	(void)state;
	fails(HOST_BACKEND, KEYS("ggml.library.path", test_path("TEST_FAKE"), "ggml.library.reg", "fake_crash"), LOST,
		"its worker was ended by signal 9 (Killed): the context is lost, others go on");
}

static void bad_thread_counts_are_refused(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "x", "4x", "513", "99999999999999999999", "4,", "4,5" };
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(line, sizeof line, "ggml.threads: '%s' is no number from 1 to 512", bad[i]);
		fails(HOST_GGML, KEYS("ggml.threads", bad[i]), INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_BACKEND), line);
	}
}

static void devices_that_are_not_there_are_refused(void **state)
{
	static const char *const bad[] = { "", "1", "-1", "x", "0x", "99999999999999999999" };
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(line, sizeof line, "ggml.devices: '%s' is no list of numbers from 0 to 0", bad[i]);
		fails(HOST_GGML, KEYS("ggml.devices", bad[i]), INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_DEVICE), line);
	}
}

/* What works */

static void loading_twice_is_code_2(void **state)
{
	struct host *h = host_open(NULL, HOST_GGML);

	(void)state;
	assert_true(h && guest_open(&g, h, 1) && guest_ready(&g));
	assert_int_equal(load_library(&g), APIR_LOAD_ALREADY);
	assert_int_equal(load_library(&g), APIR_LOAD_ALREADY);
	assert_true(guest_computes(&g));
	guest_close(&g);
	host_close(h);
}

static void functions_before_loading_have_no_dispatch(void **state)
{
	struct host *h = host_open(NULL, HOST_GGML);

	(void)state;
	assert_true(h && guest_open(&g, h, 1));
	for (uint32_t fn = 0; fn < APIR_FN_COUNT; fn++) {
		args_start(&g);
		assert_int_equal(forward(&g, fn), APIR_FORWARD_NO_DISPATCH);
	}
	assert_true(guest_ready(&g));
	guest_close(&g);
	host_close(h);
}

static void a_failed_load_can_be_tried_again_with_another_key(void **state)
{
	struct host *h = host_open(NULL, HOST_BACKEND);

	(void)state;
	assert_true(h && guest_open(&g, h, 1));
	assert_int_equal(load_library(&g), INITIALISE(APIR_LOAD_ENV_MISSING));
	/* The table is read when the library is loaded, not when the worker starts. */
	assert_int_equal(apir_configure(h->apir, 1, "ggml.library.path", cpu), 0);
	assert_true(guest_ready(&g));
	assert_true(guest_computes(&g));
	guest_close(&g);
	host_close(h);
}

static void the_variables_are_enough(void **state)
{
	struct host *h;

	(void)state;
	setenv("VIRGL_APIR_BACKEND_LIBRARY", test_path("TEST_BACKEND"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", cpu, 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "ggml_backend_cpu_reg", 1);
	h = host_open(NULL, HOST_BARE);
	assert_true(h && guest_open(&g, h, 1) && guest_ready(&g));
	assert_true(guest_computes(&g));
	guest_close(&g);
	host_close(h);
	unsetenv("VIRGL_APIR_BACKEND_LIBRARY");
	unsetenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH");
	unsetenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG");
}

static void the_backends_log_goes_to_its_file(void **state)
{
	char *heard, *logged;

	(void)state;
	setenv("APIR_LLAMA_CPP_LOG_TO_FILE", log_file, 1);
	assert_int_equal(load_with(HOST_GGML, KEYS("ggml.threads", "0"), &heard),
		INITIALISE(APIR_LOAD_INIT + APIR_INIT_NO_BACKEND));
	assert_null(strstr(heard, "ggml.threads"));
	free(heard);
	assert_int_equal(load_with(HOST_GGML, KEYS("ggml.threads", "2"), &heard), APIR_LOAD_OK);
	free(heard);
	logged = file_text(log_file);
	assert_non_null(logged);
	assert_non_null(strstr(logged, "ggml.threads: '0'"));
	assert_non_null(strstr(logged, "computing with 2 threads"));
	free(logged);
	setenv("APIR_LLAMA_CPP_LOG_TO_FILE", "/nowhere/at/all", 1);
	assert_int_equal(load_with(HOST_GGML, KEYS(NULL), &heard), APIR_LOAD_OK);
	assert_non_null(strstr(heard, "cannot open the log file '/nowhere/at/all' (APIR_LLAMA_CPP_LOG_TO_FILE)"));
	free(heard);
	unsetenv("APIR_LLAMA_CPP_LOG_TO_FILE");
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_backend_library_the_code_is_3),
		TEST(a_backend_library_that_cannot_be_opened_is_code_4),
		TEST(a_backend_library_without_the_symbols_is_code_5),
		TEST(without_a_ggml_library_the_code_is_6_plus_3),
		TEST(a_registration_function_that_is_set_but_empty_is_6_plus_3),
		TEST(files_that_are_no_library_are_6_plus_4),
		TEST(libraries_without_the_functions_are_6_plus_5),
		TEST(a_library_that_is_no_ggml_is_6_plus_6_plus_4),
		TEST(a_registration_that_returns_nothing_is_6_plus_6_plus_1),
		TEST(a_library_without_a_device_is_6_plus_6_plus_2),
		TEST(a_device_that_does_not_start_is_6_plus_6_plus_3),
		TEST(a_library_that_kills_its_process_loses_the_context),
		TEST(bad_thread_counts_are_refused),
		TEST(devices_that_are_not_there_are_refused),
		TEST(loading_twice_is_code_2),
		TEST(functions_before_loading_have_no_dispatch),
		TEST(a_failed_load_can_be_tried_again_with_another_key),
		TEST(the_variables_are_enough),
		TEST(the_backends_log_goes_to_its_file),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
