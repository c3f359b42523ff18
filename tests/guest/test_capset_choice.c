/* SPDX-License-Identifier: MIT */
/*
 * Which capset the plugin asks for, as a server hears it: GGML_REMOTING_USE_APIR_CAPSET counts as set with
 * any value. The listener here answers vtest up to the choice, offers both capsets, and hangs up.
 */
#include "tests/support/cm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "proto/vtest_wire.h"
#include "tests/guest/program.h"
#include "tests/support/child.h"

#define ENV "GGML_REMOTING_USE_APIR_CAPSET"

static char dir[] = "/tmp/test-capset-XXXXXX";
static char path[64];
static int listener = -1;

static int listen_up(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/socket", dir);
	memcpy(a.sun_path, path, sizeof path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 4) < 0 ? -1 : 0;
}

static int listen_down(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	return rmdir(dir);
}

static bool receive(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

static void answer(int fd, uint32_t command, const void *data, uint32_t words)
{
	struct vtest_header h = { words, command };

	assert_int_equal(send(fd, &h, sizeof h, MSG_NOSIGNAL), sizeof h);
	if (words)
		assert_int_equal(send(fd, data, words * 4, MSG_NOSIGNAL), words * 4);
}

/* The capset of the connection's CONTEXT_INIT; 0: it hung up before. */
static uint32_t capset_heard(int fd)
{
	struct {
		uint32_t valid;
		struct apir_capset data;
	} offer = { 1, { .version = 1, .supports_blob_resources = 1 } };
	uint32_t words[64], zero = 0, version = VTEST_VERSION;
	struct vtest_header h;

	while (receive(fd, &h, sizeof h)) {
		size_t n = h.command == VTEST_CREATE_RENDERER ? h.length : h.length * 4;

		if (n > sizeof words || (n && !receive(fd, words, n)))
			return 0;
		if (h.command == VTEST_PING_PROTOCOL_VERSION)
			answer(fd, h.command, NULL, 0);
		else if (h.command == VTEST_RESOURCE_BUSY_WAIT)
			answer(fd, h.command, &zero, 1);
		else if (h.command == VTEST_PROTOCOL_VERSION)
			answer(fd, h.command, &version, 1);
		else if (h.command == VTEST_GET_CAPSET)
			answer(fd, h.command, &offer, sizeof offer / 4);
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
