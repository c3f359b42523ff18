/* SPDX-License-Identifier: MIT */
#include "tests/support/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apir/config.h"

static const struct {
	const char *env, *key;
} pairs[] = {
	{ "VIRGL_APIR_BACKEND_LIBRARY", "apir.load_library.path" },
	{ "APIR_LLAMA_CPP_GGML_LIBRARY_PATH", "ggml.library.path" },
	{ "APIR_LLAMA_CPP_GGML_LIBRARY_REG", "ggml.library.reg" },
	{ "APIR_LLAMA_CPP_GGML_LIBRARY_INIT", "ggml.library.init" },
};
#define N_PAIRS (sizeof pairs / sizeof pairs[0])

static int env_clear(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_PAIRS; i++)
		unsetenv(pairs[i].env);
	return 0;
}

static void bad_keys_and_values_are_refused(void **state)
{
	static char huge[4097];
	struct config c = { 0 };

	(void)state;
	memset(huge, 'x', sizeof huge - 1);
	assert_int_equal(config_set(&c, 0, "", "v"), -EINVAL);
	assert_int_equal(config_set(&c, 0, huge, "v"), -E2BIG);
	assert_int_equal(config_set(&c, 0, "k", huge), -E2BIG);
	assert_null(config_get(&c, 0, "k"));
	assert_int_equal(c.n, 0);
	config_fini(&c);
}

static void a_full_table_is_refused_but_can_change(void **state)
{
	struct config c = { 0 };
	char key[16];
	int n = 0;

	(void)state;
	while (snprintf(key, sizeof key, "k%d", n), config_set(&c, 1, key, "v") == 0)
		n++;
	assert_int_equal(n, 1024);
	assert_int_equal(config_set(&c, 1, "more", "v"), -E2BIG);
	assert_int_equal(config_set(&c, 1, "k0", "w"), 0);
	assert_string_equal(config_get(&c, 1, "k0"), "w");
	config_fini(&c);
}

static void what_nobody_set_is_null(void **state)
{
	struct config c = { 0 };

	(void)state;
	for (size_t i = 0; i < N_PAIRS; i++)
		assert_null(config_get(&c, 1, pairs[i].key));
	assert_null(config_get(&c, 1, "no.such.key"));
	assert_null(config_get(&c, 1, "VIRGL_APIR_BACKEND_LIBRARY"));
	config_fini(&c);
}

static void each_variable_fills_its_key(void **state)
{
	struct config c = { 0 };

	(void)state;
	for (size_t i = 0; i < N_PAIRS; i++) {
		setenv(pairs[i].env, pairs[i].env, 1);
		for (size_t k = 0; k < N_PAIRS; k++) {
			const char *v = config_get(&c, 1, pairs[k].key);

			if (k <= i)
				assert_string_equal(v, pairs[k].env);
			else
				assert_null(v);
		}
	}
	config_fini(&c);
}

static void an_empty_variable_is_a_value(void **state)
{
	struct config c = { 0 };

	(void)state;
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_REG", "", 1);
	assert_string_equal(config_get(&c, 1, "ggml.library.reg"), "");
	config_fini(&c);
}

static void the_contexts_key_wins_over_the_one_for_all_and_that_over_the_variable(void **state)
{
	struct config c = { 0 };

	(void)state;
	for (size_t i = 0; i < N_PAIRS; i++) {
		setenv(pairs[i].env, "variable", 1);
		assert_string_equal(config_get(&c, 7, pairs[i].key), "variable");
		assert_int_equal(config_set(&c, 0, pairs[i].key, "all"), 0);
		assert_string_equal(config_get(&c, 7, pairs[i].key), "all");
		assert_int_equal(config_set(&c, 7, pairs[i].key, "seven"), 0);
		assert_string_equal(config_get(&c, 7, pairs[i].key), "seven");
		assert_string_equal(config_get(&c, 8, pairs[i].key), "all");
		/* whichever came last */
		assert_int_equal(config_set(&c, 0, pairs[i].key, "all again"), 0);
		assert_string_equal(config_get(&c, 7, pairs[i].key), "seven");
		assert_string_equal(config_get(&c, 8, pairs[i].key), "all again");
	}
	config_forget(&c, 7);
	assert_string_equal(config_get(&c, 7, pairs[0].key), "all again");
	config_fini(&c);
}

struct seen {
	char path[64], threads[64];
	int n, stop_at;
};

static int see(void *user, const char *key, const char *value)
{
	struct seen *s = user;

	if (!strcmp(key, "ggml.library.path"))
		strncpy(s->path, value, sizeof s->path - 1);
	if (!strcmp(key, "ggml.threads"))
		strncpy(s->threads, value, sizeof s->threads - 1);
	return ++s->n == s->stop_at ? -EIO : 0;
}

static void walking_ends_with_the_winner(void **state)
{
	struct config c = { 0 };
	struct seen seven = { 0 }, eight = { 0 }, stopped = { .stop_at = 1 };

	(void)state;
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", "variable", 1);
	assert_int_equal(config_set(&c, 7, "ggml.library.path", "seven"), 0);
	assert_int_equal(config_set(&c, 0, "ggml.library.path", "all"), 0);
	assert_int_equal(config_set(&c, 0, "ggml.threads", "3"), 0);
	assert_int_equal(config_each(&c, 7, see, &seven), 0);
	assert_string_equal(seven.path, "seven"); /* the last word counts: worker/settings.c */
	assert_string_equal(seven.threads, "3");
	assert_int_equal(config_each(&c, 8, see, &eight), 0);
	assert_string_equal(eight.path, "all");
	assert_int_equal(config_each(&c, 7, see, &stopped), -EIO);
	assert_int_equal(stopped.n, 1);
	config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bad_keys_and_values_are_refused, env_clear),
		cmocka_unit_test_setup(a_full_table_is_refused_but_can_change, env_clear),
		cmocka_unit_test_setup(what_nobody_set_is_null, env_clear),
		cmocka_unit_test_setup(each_variable_fills_its_key, env_clear),
		cmocka_unit_test_setup(an_empty_variable_is_a_value, env_clear),
		cmocka_unit_test_setup(
			the_contexts_key_wins_over_the_one_for_all_and_that_over_the_variable, env_clear),
		cmocka_unit_test_setup(walking_ends_with_the_winner, env_clear),
	};

	return cmocka_run_group_tests(tests, NULL, env_clear);
}
