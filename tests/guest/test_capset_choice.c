/* SPDX-License-Identifier: MIT */
/*
 * Which capset the plugin asks for, as a server hears it: GGML_REMOTING_USE_APIR_CAPSET counts as set with
 * any value. The listener here answers vtest up to the choice, offers both capsets, and hangs up.
 */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "tests/guest/program.h"
#include "tests/support/child.h"
#include "tests/support/vtest_peer.h"

#define ENV "GGML_REMOTING_USE_APIR_CAPSET"

static char dir[] = "/tmp/test-capset-XXXXXX";
static char path[64];
static int listener = -1;

static int listen_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/socket", dir);
	listener = vtest_peer_listen(path, true, 0600);
	return listener < 0 ? -1 : 0;
}

static int listen_down(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	return rmdir(dir);
}

/* The capset of the connection's CONTEXT_INIT; 0: it hung up before. */
static uint32_t capset_heard(int fd)
{
	uint32_t words[64];
	struct vtest_header h;

	while (vtest_peer_hear(fd, &h, words, sizeof words)) {
		if (vtest_peer_greet(fd, &h, VTEST_VERSION))
			continue;
		if (h.command == VTEST_GET_CAPSET)
			vtest_peer_offer(fd, true);
		else if (h.command == VTEST_CONTEXT_INIT)
			return words[0];
	}
	return 0;
}

static void plugin_load(void *value)
{
	struct program p;

	if (value)
		setenv(ENV, value, 1);
	else
		unsetenv(ENV);
	program_load(&p, path);
	CHECK(p.g.reg_dev_count(p.reg) == 0); /* hung up on: no device, no crash */
}

static uint32_t capset_with(const char *value)
{
	pid_t pid = child_start(plugin_load, (void *)(uintptr_t)value);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	uint32_t id = capset_heard(fd);

	close(fd);
	assert_int_equal(child_end(pid), 0);
	return id;
}

static void the_variable_counts_with_any_value(void **state)
{
	(void)state;
	assert_int_equal(capset_with(""), APIR_CAPSET_APIR);
	assert_int_equal(capset_with("0"), APIR_CAPSET_APIR);
	assert_int_equal(capset_with("1"), APIR_CAPSET_APIR);
	assert_int_equal(capset_with("no"), APIR_CAPSET_APIR);
}

static void without_it_venus_is_asked_for(void **state)
{
	(void)state;
	assert_int_equal(capset_with(NULL), APIR_CAPSET_VENUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_variable_counts_with_any_value),
		cmocka_unit_test(without_it_venus_is_asked_for),
	};

	return cmocka_run_group_tests(tests, listen_up, listen_down);
}
