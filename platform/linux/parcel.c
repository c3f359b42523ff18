/* SPDX-License-Identifier: MIT */
/*
 * See parcel.h: SCM_RIGHTS. What a message carries arrives as one list, whatever lists it was sent as. What exceeds the room,
 * to the byte, the kernel drops and says so.
 */
#include "platform/parcel.h"

#include <string.h>

#include "proto/util.h"

union control {
	char space[CMSG_SPACE(PARCEL_FDS * sizeof(int))];
	struct cmsghdr head;
};

ssize_t parcel_send(int sock, const struct iovec *iov, size_t n_iov, int fd)
{
	union control control = { 0 };
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n_iov };
	ssize_t n;

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof fd);
		control.head = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)
		};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	}
	n = sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* How many came, or -EMFILE. */
static int fds_take(const struct msghdr *m, int *fds)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	bool all = !(m->msg_flags & MSG_CTRUNC);
	int n = 0;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
	for (int i = 0; i < n; i++) {
		memcpy(&fds[i], CMSG_DATA(c) + (size_t)i * sizeof *fds, sizeof *fds);
		fds[i] = fd_above_std(fds[i]);
		all = all && fds[i] >= 0;
	}
	for (int i = 0; i < n && !all; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return all ? n : -EMFILE;
}

ssize_t parcel_recv(int sock, const struct iovec *iov, size_t n_iov, int *fds, int *n_fds, int flags)
{
	union control control;
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n_iov };
	size_t room = (size_t)*n_fds;
	ssize_t n;

	if (room) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_LEN((room < PARCEL_FDS ? room : PARCEL_FDS) * sizeof *fds);
	}
	*n_fds = 0;
	n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | flags);
	if (n < 0)
		return -errno;
	*n_fds = fds_take(&m, fds);
	return n;
}
