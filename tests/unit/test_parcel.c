/* SPDX-License-Identifier: MIT */
/* Descriptors over a real socket pair: what came is ours, and nothing else stays open. Each case in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "platform/parcel.h"
#include "proto/util.h"
#include "tests/support/scenario.h"

static int ends[2];

static void sockets_make(int type)
{
	CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
}

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* As a hostile peer may: several, in two lists of one message. */
static void several_send(int n)
{
	_Alignas(struct cmsghdr) char control[2 * CMSG_SPACE(sizeof(int) * 8)] = { 0 };
	struct iovec iov = { (char[1]){ 'x' }, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	size_t lists[2] = { (size_t)n / 2, (size_t)n - (size_t)n / 2 };

	for (int l = 0; l < 2; l++) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)(control + m.msg_controllen);

		if (!lists[l])
			continue;
		*c = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(lists[l] * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
		};
		for (size_t i = 0; i < lists[l]; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){ STDERR_FILENO }, sizeof(int));
		m.msg_controllen += CMSG_SPACE(lists[l] * sizeof(int));
	}
	CHECK(sendmsg(ends[0], &m, 0) == 1);
}

/* The bytes received, with room for that many descriptors. */
static ssize_t one_receive(int room, int *fds, int *n_fds)
{
	char text[8];
	const struct iovec iov = { text, sizeof text };

	*n_fds = room;
	return parcel_recv(ends[1], &iov, 1, fds, n_fds, MSG_DONTWAIT);
}

SCENARIO(a_descriptor_comes_closed_on_exec_and_above_the_standard_streams)
{
	const struct iovec iov[] = { { (char[2]){ 'a', 'b' }, 2 }, { (char[1]){ 'c' }, 1 } };
	int fds[PARCEL_FDS], n;

	(void)unused;
	sockets_make(SOCK_SEQPACKET);
	close(STDIN_FILENO);
	CHECK(parcel_send(ends[0], iov, ARRAY_SIZE(iov), STDERR_FILENO) == 3);
	CHECK(one_receive(PARCEL_FDS, fds, &n) == 3 && n == 1);
	CHECK(fds[0] > STDERR_FILENO && fcntl(fds[0], F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(STDIN_FILENO, F_GETFD) < 0);
	CHECK(open("/dev/null", O_RDONLY) == STDIN_FILENO);
	several_send(1);
	CHECK(one_receive(1, fds, &n) == 1 && n == 1 && fcntl(fds[0], F_GETFD) == FD_CLOEXEC);
}

SCENARIO(more_than_there_is_room_for_are_all_closed)
{
	static const int rooms[] = { 0, 1, 2, 3, 7, PARCEL_FDS, PARCEL_FDS + 1 };

	(void)unused;
	sockets_make(SOCK_STREAM);
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		for (int sent = 0; sent <= PARCEL_FDS + 1; sent++) {
			int fds[PARCEL_FDS + 1], n, before = descriptors(), fit = rooms[i];

			if (fit > PARCEL_FDS)
				fit = PARCEL_FDS;
			several_send(sent);
			CHECK(one_receive(rooms[i], fds, &n) == 1);
			CHECK(n == (sent <= fit ? sent : -EMFILE));
			CHECK(descriptors() == before + (n > 0 ? n : 0));
			for (int k = 0; k < n; k++)
				close(fds[k]);
		}
	}
}

SCENARIO(none_of_a_message_is_kept_where_not_all_may_be_had)
{
	struct rlimit limit;
	int fds[PARCEL_FDS], n, before;

	(void)unused;
	sockets_make(SOCK_SEQPACKET);
	several_send(3);
	before = descriptors();
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)ends[1] + 2; /* room for one more */
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(one_receive(PARCEL_FDS, fds, &n) == 1 && n == -EMFILE);
	CHECK(descriptors() == before);
}

SCENARIO(errors_and_the_end_bring_none)
{
	const struct iovec iov = { (char[1]){ 'x' }, 1 };
	int fds[1], n;

	(void)unused;
	sockets_make(SOCK_STREAM);
	CHECK(one_receive(1, fds, &n) == -EAGAIN && n == 0);
	signal(SIGPIPE, SIG_DFL);
	close(ends[0]);
	CHECK(one_receive(1, fds, &n) == 0 && n == 0);
	CHECK(parcel_send(ends[1], &iov, 1, STDERR_FILENO) == -EPIPE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_comes_closed_on_exec_and_above_the_standard_streams),
		cmocka_unit_test(more_than_there_is_room_for_are_all_closed),
		cmocka_unit_test(none_of_a_message_is_kept_where_not_all_may_be_had),
		cmocka_unit_test(errors_and_the_end_bring_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
