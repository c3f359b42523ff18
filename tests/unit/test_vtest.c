/* SPDX-License-Identifier: MIT */
/* The client's end of a vtest connection, where the system has no memory for what is sent: send() fails as the test says. */
#include "tests/support/cm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/transport/vtest.h"

static struct {
	int times, error;
} failing;

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
	if (!failing.times)
		return __real_send(fd, data, size, flags);
	failing.times--;
	errno = failing.error;
	return -1;
}

static void connection_make(struct vtest *v, int *peer)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	*v = (struct vtest){ .fd = ends[0], .timeout_ms = VTEST_TIMEOUT_MS };
	*peer = ends[1];
}

static void a_message_waits_for_memory(void **state)
{
	static const int errors[] = { ENOBUFS, ENOMEM, EINTR };

	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		char got[16] = "";
		struct vtest v;
		int peer;

		connection_make(&v, &peer);
		failing.error = errors[i];
		failing.times = 3;
		assert_int_equal(vtest_send_raw(&v, "message", 8), 0);
		assert_int_equal(failing.times, 0);
		assert_int_equal(read(peer, got, sizeof got), 8);
		assert_string_equal(got, "message");
		vtest_close(&v);
		close(peer);
	}
}

static void it_does_not_wait_for_ever(void **state)
{
	struct vtest v;
	int peer;

	(void)state;
	connection_make(&v, &peer);
	failing.error = ENOBUFS;
	failing.times = 1000;
	assert_int_equal(vtest_send_raw(&v, "message", 8), -ENOBUFS);
	assert_in_range(failing.times, 900, 999);
	assert_true(v.broken);
	failing.times = 0;
	vtest_close(&v);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_waits_for_memory),
		cmocka_unit_test(it_does_not_wait_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
