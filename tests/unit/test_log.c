/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log/log.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"

#define ENV "VIRGL_APIR_LOG_TO_FILE"

static char dir[] = "/tmp/test-log-XXXXXX";
static char path[64];

static int folder_make(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/log", dir);
	return 0;
}

static int folder_drop(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void log_all(void *file)
{
	if (file)
		setenv(ENV, file, 1);
	else
		unsetenv(ENV);
	log_name("test %d", 7);
	log_debug("one debugging line");
	log_info("one information");
	log_warn("one warning");
	log_error("one error");
}

static void an_unwritable_path_is_reported_and_survived(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(child_run_heard(log_all, (void *)(uintptr_t) "/nowhere/at/all/log", &text), 0);
	assert_non_null(
		strstr(text, "cannot open the log file '/nowhere/at/all/log' (" ENV "): No such file or directory"));
	assert_non_null(strstr(text, "ggml-virtgpu test 7: warning: one warning\n"));
	assert_non_null(strstr(text, "ggml-virtgpu test 7: error: one error\n"));
	assert_null(strstr(text, "one debugging line"));
	free(text);
}

static void without_the_variable_warnings_and_errors_go_to_stderr(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(child_run_heard(log_all, NULL, &text), 0);
	assert_string_equal(text, "ggml-virtgpu test 7: warning: one warning\nggml-virtgpu test 7: error: one error\n");
	free(text);
}

static void with_it_everything_is_appended_to_the_file(void **state)
{
	char *text, *heard;
	FILE *f = fopen(path, "w");

	(void)state;
	assert_non_null(f);
	fputs("what was there before\n", f);
	fclose(f);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(child_run_heard(log_all, path, &heard), 0);
		assert_string_equal(heard, "");
		free(heard);
	}
	text = file_text(path);
	assert_non_null(text);
	assert_int_equal(strncmp(text, "what was there before\n", 22), 0);
	assert_non_null(strstr(text, "ggml-virtgpu test 7: debug: one debugging line\n"));
	assert_non_null(strstr(text, "ggml-virtgpu test 7: one information\n"));
	heard = strstr(text, "ggml-virtgpu test 7: error: one error\n");
	assert_non_null(heard);
	assert_non_null(strstr(heard + 1, "ggml-virtgpu test 7: error: one error\n"));
	free(text);
}

static void log_huge(void *unused)
{
	static char huge[5000];

	(void)unused;
	unsetenv(ENV);
	memset(huge, 'x', sizeof huge - 1);
	log_error("%s", huge);
}

static void a_long_line_is_cut_and_ends(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(child_run_heard(log_huge, NULL, &text), 0);
	assert_true(strlen(text) < 1100);
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
}

static void what_is_not_printable_is_escaped(void **state)
{
	char out[8], tiny[1] = { 'x' };

	(void)state;
	assert_string_equal(log_escape(out, sizeof out, "a\nb\x1b[\xff"), "a?b?[?");
	assert_string_equal(log_escape(out, sizeof out, "more than fits"), "more th");
	assert_string_equal(log_escape(tiny, sizeof tiny, "more"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unwritable_path_is_reported_and_survived),
		cmocka_unit_test(without_the_variable_warnings_and_errors_go_to_stderr),
		cmocka_unit_test(with_it_everything_is_appended_to_the_file),
		cmocka_unit_test(a_long_line_is_cut_and_ends),
		cmocka_unit_test(what_is_not_printable_is_escaped),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
