/* SPDX-License-Identifier: MIT */
/*
 * What GGML_VIRTGPU_PROTOCOL makes of the plugin: what it says to a host that knows nothing of our extensions
 * (tests/doors/minimal.c, which tells what it was asked for when its client has left), and to our own.
 */
#include "tests/guest/scenario.h"

#include <limits.h>
#include <string.h>

#include "proto/apir_wire.h"
#include "tests/support/minimal.h"
#include "tests/support/process.h"

#define ENV "GGML_VIRTGPU_PROTOCOL"

#define VERSION_BYTES  8u
#define GREETING_BYTES (VERSION_BYTES + sizeof(struct apir_greeting))

static struct minimal minimal;

static int both_up(void **state)
{
	return server_up(state) == 0 && minimal_start(&minimal, NULL) ? 0 : -1;
}

static int both_down(void **state)
{
	minimal_stop(&minimal);
	return server_down(state);
}

/* A program that sets, computes and reads, and has the right numbers. */
static void program_computes(void *socket)
{
	struct net here, there;
	struct program p;

	program_start(&p, socket);
	net_make(&there, &p, p.gpu, 64, 3, 1);
	net_make(&here, &p, p.cpu, 64, 3, 1);
	for (uint32_t round = 0; round < 5; round++) {
		net_input(&there, &p, 100 + round);
		net_input(&here, &p, 100 + round);
		nets_agree(&there, p.gpu, &here, p.cpu, &p);
	}
	net_free(&there, &p);
	net_free(&here, &p);
	program_end(&p);
}

static struct minimal_asked asked_by_program(struct minimal *m)
{
	struct minimal_asked a = { 0 };

	assert_int_equal(child_run(program_computes, m->socket), 0);
	assert_true(minimal_asked(m, &a));
	return a;
}

static void plain_asks_for_nothing_beyond_apir_0_2(void **state)
{
	struct minimal_asked a;

	(void)state;
	setenv(ENV, "0.2", 1);
	a = asked_by_program(&minimal);
	assert_int_equal(a.handshake_bytes, VERSION_BYTES);
	assert_in_range(a.calls, 20, ULONG_MAX);
	assert_int_equal(a.highest, APIR_FN_GRAPH_COMPUTE);
	assert_int_equal(a.warnings, 1);
}

static void unset_asks_and_does_without_what_the_host_lacks(void **state)
{
	struct minimal_asked a;

	(void)state;
	unsetenv(ENV);
	a = asked_by_program(&minimal);
	assert_int_equal(a.handshake_bytes, GREETING_BYTES);
	assert_int_equal(a.highest, APIR_FN_NAMES);
	assert_int_equal(a.warnings, 1);
}

/* Hosts that know nothing beyond APIR 0.2, and those that tell a FORWARD's success by 0. */
static void hosts_of_other_kinds_compute(void **state)
{
	static const char *const kinds[] = { "original", "first" };
	static const char *const protocols[] = { NULL, "0.2" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct minimal other;
		struct minimal_asked a;

		if (protocols[i % 2])
			setenv(ENV, protocols[i % 2], 1);
		else
			unsetenv(ENV);
		assert_true(minimal_start(&other, kinds[i / 2]));
		a = asked_by_program(&other);
		assert_in_range(a.calls, 20, ULONG_MAX);
		minimal_stop(&other);
	}
	unsetenv(ENV);
}

static void plain_computes_with_our_own_host(void **state)
{
	char *heard;

	(void)state;
	setenv(ENV, "0.2", 1);
	assert_int_equal(child_run_heard(program_computes, server.socket, &heard), 0);
	assert_non_null(strstr(heard, ", plain APIR 0.2)"));
	free(heard);
	unsetenv(ENV);
	assert_int_equal(child_run_heard(program_computes, server.socket, &heard), 0);
	assert_null(strstr(heard, "plain"));
	free(heard);
}

/* The counts of a graph that the plugin can't read were never offered. */
static void a_host_that_claims_more_than_was_offered_is_not_believed(void **state)
{
	char plugin[512];
	struct minimal boaster;

	(void)state;
	snprintf(plugin, sizeof plugin, "%s", test_path("TEST_PLUGIN"));
	assert_true(minimal_start(&boaster, "boaster"));
	assert_int_equal(child_run(program_computes, boaster.socket), 0);
	setenv("TEST_PLUGIN", test_path("TEST_PLUGIN_UNCOUNTED"), 1);
	assert_int_equal(child_run(program_computes, boaster.socket), 0);
	setenv("TEST_PLUGIN", plugin, 1);
	minimal_stop(&boaster);
}

static void load_without_device(void *socket)
{
	struct program p;

	program_load(&p, socket);
	CHECK(p.g.reg_dev_count(p.reg) == 0);
}

static void another_value_is_no_device_and_one_line_with_what_is_allowed(void **state)
{
	const char *const values[] = { "", "0", "0.1", "0.2 ", "0.20", "0.3", "2", "plain" };

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		char *heard, wanted[128];
		const char *line;

		setenv(ENV, values[i], 1);
		assert_int_equal(child_run_heard(load_without_device, server.socket, &heard), 0);
		snprintf(wanted, sizeof wanted, "ggml-virtgpu: no device: " ENV " is '%s': set it to 0.2", values[i]);
		line = strstr(heard, "ggml-virtgpu: ");
		if (!line || strncmp(line, wanted, strlen(wanted)) != 0 || !strstr(line, "or unset it") ||
			strstr(line + 1, "ggml-virtgpu: "))
			fail_msg("wanted one line that begins with '%s', heard: %s", wanted, heard);
		free(heard);
	}
	unsetenv(ENV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_asks_for_nothing_beyond_apir_0_2),
		cmocka_unit_test(unset_asks_and_does_without_what_the_host_lacks),
		cmocka_unit_test(hosts_of_other_kinds_compute),
		cmocka_unit_test(plain_computes_with_our_own_host),
		cmocka_unit_test(a_host_that_claims_more_than_was_offered_is_not_believed),
		cmocka_unit_test(another_value_is_no_device_and_one_line_with_what_is_allowed),
	};

	return cmocka_run_group_tests(tests, both_up, both_down);
}
