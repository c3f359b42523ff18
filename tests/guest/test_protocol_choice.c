/* SPDX-License-Identifier: MIT */
/*
 * What GGML_VIRTGPU_PROTOCOL makes of the plugin: what it says to a host that knows nothing of our extensions
 * (tests/doors/minimal.c, which tells what it was asked for when its client has left), and to our own.
 */
#include "tests/guest/scenario.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "proto/apir_wire.h"
#include "tests/support/process.h"

#define ENV "GGML_VIRTGPU_PROTOCOL"

#define VERSION_BYTES  8u
#define GREETING_BYTES (VERSION_BYTES + sizeof(struct apir_greeting))

static struct {
	pid_t pid;
	char dir[32], socket[64];
	FILE *says;
} minimal;

static void minimal_exec(int errors)
{
	char cpu[512];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(cpu, sizeof cpu, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	setenv("VIRGL_APIR_BACKEND_LIBRARY", test_path("TEST_BACKEND"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", cpu, 1);
	dup2(errors, STDERR_FILENO);
	execl(test_path("TEST_MINIMAL"), "minimal", minimal.socket, (char *)NULL);
	_exit(127);
}

/* Reads its lines up to one with `what`, which goes to `line`; counts those with `other` on the way. */
static bool minimal_says(const char *what, const char *other, unsigned *others, char *line, size_t size)
{
	*others = 0;
	while (fgets(line, (int)size, minimal.says)) {
		if (strstr(line, what))
			return true;
		*others += strstr(line, other) != NULL;
	}
	return false;
}

static int both_up(void **state)
{
	int ends[2];
	char line[512];
	unsigned unused;

	strcpy(minimal.dir, "/tmp/test-minimal-XXXXXX");
	if (server_up(state) < 0 || !mkdtemp(minimal.dir) || pipe(ends) < 0)
		return -1;
	snprintf(minimal.socket, sizeof minimal.socket, "%s/socket", minimal.dir);
	minimal.pid = fork();
	if (minimal.pid == 0)
		minimal_exec(ends[1]);
	close(ends[1]);
	minimal.says = fdopen(ends[0], "r");
	return minimal.says && minimal_says(": serving ", "", &unused, line, sizeof line) ? 0 : -1;
}

static int both_down(void **state)
{
	kill(minimal.pid, SIGTERM);
	waitpid(minimal.pid, NULL, 0);
	fclose(minimal.says);
	unlink(minimal.socket);
	rmdir(minimal.dir);
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

struct asked {
	size_t handshake_bytes;
	unsigned long calls, highest;
	unsigned warnings;
};

static struct asked minimal_asked(void)
{
	struct asked a = { 0 };
	char line[512];

	assert_int_equal(child_run(program_computes, minimal.socket), 0);
	assert_true(minimal_says(
		": handshake of ", "this host does not tell the sizes of blobs", &a.warnings, line, sizeof line));
	assert_int_equal(sscanf(line, "minimal %*d: handshake of %zu bytes, %lu calls, the highest function is %lu",
				 &a.handshake_bytes, &a.calls, &a.highest),
		3);
	return a;
}

static void plain_asks_for_nothing_beyond_apir_0_2(void **state)
{
	struct asked a;

	(void)state;
	setenv(ENV, "0.2", 1);
	a = minimal_asked();
	assert_int_equal(a.handshake_bytes, VERSION_BYTES);
	assert_in_range(a.calls, 20, ULONG_MAX);
	assert_int_equal(a.highest, APIR_FN_GRAPH_COMPUTE);
	assert_int_equal(a.warnings, 1);
}

static void unset_asks_and_does_without_what_the_host_lacks(void **state)
{
	struct asked a;

	(void)state;
	unsetenv(ENV);
	a = minimal_asked();
	assert_int_equal(a.handshake_bytes, GREETING_BYTES);
	assert_int_equal(a.highest, APIR_FN_WRITE);
	assert_int_equal(a.warnings, 1);
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
		cmocka_unit_test(plain_computes_with_our_own_host),
		cmocka_unit_test(another_value_is_no_device_and_one_line_with_what_is_allowed),
	};

	return cmocka_run_group_tests(tests, both_up, both_down);
}
