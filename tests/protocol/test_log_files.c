/* SPDX-License-Identifier: MIT */
/*
 * The two log files, of the APIR component and of its backend library: appended to; a path that can't be written is
 * told of once by each process and survived. Every test runs in a child, since a process opens its log once.
 */
#include "tests/support/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/rate.h"
#include "platform/clock.h"
#include "proto/util.h"
#include "tests/protocol/harness.h"
#include "tests/protocol/reference.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"

static struct guest g;

struct log_row {
	const char *name, *path, *complaint; /* NULL: it is written to */
};

static const struct log_row log_rows[] = {
	{ "log_directory", "$DIR", "cannot open the log file '$DIR' (%s): Is a directory; logging to stderr" },
	{ "log_missing_folder", "/nowhere/at/all",
		"cannot open the log file '/nowhere/at/all' (%s): No such file or directory; logging to stderr" },
	{ "log_no_permission", "$LOCKED",
		"cannot open the log file '$LOCKED' (%s): Permission denied; logging to stderr" },
	{ "log_empty", "", "cannot open the log file '' (%s): No such file or directory; logging to stderr" },
	{ "log_pipe_without_reader", "$PIPE",
		"cannot open the log file '$PIPE' (%s): No such device or address; logging to stderr" },
	{ "log_full_disk", "/dev/full",
		"cannot write the log file '/dev/full' (%s): No space left on device; logging to stderr" },
};

/* With the variable set: a load fails, which is an error worth a line, is tried again, and computes. */
static void log_run(void *unused)
{
	struct host *h;

	(void)unused;
	child_powers_drop();
	h = host_open(NULL, HOST_GGML);
	CHECK(h && guest_open(&g, h, 1));
	CHECK(!apir_configure(h->apir, 1, "apir.load_library.path", "/nowhere/lib.so"));
	CHECK(load_library(&g) == APIR_LOAD_CANNOT_OPEN);
	CHECK(!apir_configure(h->apir, 1, "apir.load_library.path", word("BACKEND")));
	CHECK(!apir_configure(h->apir, 1, "ggml.threads", "0"));
	CHECK(load_library(&g) == 2 * APIR_LOAD_INIT + APIR_INIT_NO_BACKEND);
	CHECK(!apir_configure(h->apir, 1, "ggml.threads", "2"));
	CHECK(guest_ready(&g) && guest_computes(&g));
	guest_close(&g);
	host_close(h);
}

static char *log_heard(const char *variable, const char *path)
{
	char *heard;

	setenv(variable, path, 1);
	assert_int_equal(child_run_heard(log_run, NULL, &heard), 0);
	unsetenv(variable);
	return heard;
}

#define WORKER      "ggml-virtgpu worker * (context 1): error: "
#define BACKEND     "ggml-virtgpu-backend: "
#define APIR_LOG    "VIRGL_APIR_LOG_TO_FILE"
#define BACKEND_LOG "APIR_LLAMA_CPP_LOG_TO_FILE"
#define APIR_LINE   WORKER "cannot open the APIR backend library (VIRGL_APIR_BACKEND_LIBRARY): /nowhere/lib.so: *"
#define GGML_LINE   BACKEND "ggml.threads: '0' is no number from 1 to 512"
#define FLOOD       12000 /* more than two windows' lines of log/rate.h */
#define DEBUG_LINE  BACKEND "computing with 2 threads"

static void said(const char *heard, const char *pattern, int times)
{
	if (lines_like(heard, pattern) != times)
		fail_msg("wanted %d times the line '%s', heard: %s", times, expand(pattern), heard);
}

/* Told once by each process: of the component there are two, the door and the worker. */
static void log_test(void **state)
{
	const struct log_row *r = *state;
	char complaint[256], line[320];
	char *heard;

	snprintf(complaint, sizeof complaint, r->complaint, APIR_LOG);
	heard = log_heard(APIR_LOG, expand(r->path));
	snprintf(line, sizeof line, "ggml-virtgpu worker * (context 1): %s", complaint);
	said(heard, line, 1);
	snprintf(line, sizeof line, "ggml-virtgpu apir: %s", complaint);
	said(heard, line, 1);
	said(heard, APIR_LINE, 1);
	said(heard, GGML_LINE, 1);
	said(heard, "*debug: *", 0);
	free(heard);

	snprintf(complaint, sizeof complaint, r->complaint, BACKEND_LOG);
	heard = log_heard(BACKEND_LOG, expand(r->path));
	snprintf(line, sizeof line, BACKEND "%s", complaint);
	said(heard, line, 1);
	said(heard, APIR_LINE, 1);
	said(heard, GGML_LINE, 1);
	said(heard, DEBUG_LINE, 0);
	free(heard);
}

static void log_unset_goes_to_stderr(void **state)
{
	char *heard;

	(void)state;
	assert_int_equal(child_run_heard(log_run, NULL, &heard), 0);
	said(heard, APIR_LINE, 1);
	said(heard, GGML_LINE, 1);
	said(heard, "*debug: *", 0);
	said(heard, DEBUG_LINE, 0);
	free(heard);
}

/* Runs twice over a file with something in it. */
static char *log_written(const char *variable, const char *on_stderr, const char *not_on_stderr)
{
	char *text;

	file_make(word("LOG"), "what was there before\n", 0600);
	for (int i = 0; i < 2; i++) {
		char *heard = log_heard(variable, word("LOG"));

		said(heard, on_stderr, 1);
		said(heard, not_on_stderr, 0);
		said(heard, "*the log file*", 0);
		free(heard);
	}
	text = file_text(word("LOG"));
	assert_non_null(text);
	assert_int_equal(strncmp(text, "what was there before\n", 22), 0);
	return text;
}

static void log_of_the_component_is_appended_and_has_everything(void **state)
{
	char *text = log_written(APIR_LOG, GGML_LINE, APIR_LINE);

	(void)state;
	said(text, "*.??? " APIR_LINE, 2);
	said(text, "*.??? ggml-virtgpu worker * (context 1): debug: handshake: the guest speaks 0.2", 2);
	said(text, "*.??? ggml-virtgpu apir: context 1 (a raw guest): worker *", 2);
	free(text);
}

static void log_of_the_backend_is_appended_and_has_everything(void **state)
{
	char *text = log_written(BACKEND_LOG, APIR_LINE, GGML_LINE);

	(void)state;
	said(text, GGML_LINE, 2);
	said(text, DEBUG_LINE, 2);
	said(text, BACKEND "opened '$CPU': ggml 0.25.1, CPU, device CPU (*)", 2);
	free(text);
}

/* As many lines as a guest likes to provoke, and one with lines of its own. */
static void talkative(void *unused)
{
	static const char version[44] = "0.27.0\nggml-virtgpu-backend: all is well";
	struct host *h;

	(void)unused;
	h = host_open(NULL, HOST_GGML);
	CHECK(h && guest_open(&g, h, 1) && guest_ready(&g));
	args_start(&g);
	arg_u64(&g, sizeof version);
	arg_bytes(&g, version, sizeof version);
	CHECK(forward(&g, APIR_FN_NAMES) == 0);
	for (int i = 0; i < FLOOD; i++)
		CHECK(buffer_free(&g, 0) == REFUSED);
	guest_close(&g);
	host_close(h);
}

static void a_guest_cannot_fill_the_log_of_the_backend_nor_write_its_lines(void **state)
{
	int64_t start, took;
	char *text, *heard;
	int lines, windows;

	(void)state;
	file_make(word("LOG"), "", 0600);
	setenv(BACKEND_LOG, word("LOG"), 1);
	start = clock_ms();
	assert_int_equal(child_run_heard(talkative, NULL, &heard), 0);
	took = clock_ms() - start;
	unsetenv(BACKEND_LOG);
	free(heard);
	text = file_text(word("LOG"));
	assert_non_null(text);
	said(text, BACKEND "context 1: the guest's ggml is 0.27.0, ours 0.25.1", 1);
	said(text, BACKEND "all is well*", 0);
	lines = lines_like(text, BACKEND "context 1: buffer_free_buffer: code 2");
	windows = (int)(took / RATE_MS) + 2;
	assert_in_range(lines, 1000, windows * RATE_LINES_FILE);
	free(text);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	static const struct CMUnitTest more[] = {
		TEST(log_unset_goes_to_stderr),
		TEST(a_guest_cannot_fill_the_log_of_the_backend_nor_write_its_lines),
		TEST(log_of_the_component_is_appended_and_has_everything),
		TEST(log_of_the_backend_is_appended_and_has_everything),
	};
	struct CMUnitTest tests[ARRAY_SIZE(log_rows) + ARRAY_SIZE(more)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(log_rows); i++)
		tests[n++] = (struct CMUnitTest){ .name = log_rows[i].name,
			.test_func = log_test,
			.initial_state = (void *)(uintptr_t)&log_rows[i] };
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		tests[n++] = more[i];
	return _cmocka_run_group_tests("log_files", tests, n, reference_prepare, reference_clean);
}
