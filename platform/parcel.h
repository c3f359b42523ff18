/* SPDX-License-Identifier: MIT */
/* Messages over a Unix socket with descriptors that come along. */
#ifndef PLATFORM_PARCEL_H
#define PLATFORM_PARCEL_H

#include <sys/socket.h>
#include <sys/uio.h>

#define PARCEL_FDS 8 /* the most that any of our messages has room for */

/* Sends what the socket takes of it at once, with fd unless that is -1: it goes with the first byte, and stays ours. The
 * bytes that went, or -errno. */
ssize_t parcel_send(int sock, const struct iovec *iov, size_t n_iov, int fd);
/*
 * Receives as recvmsg() does; flags: MSG_DONTWAIT or 0. The bytes, or -errno.
 * *n_fds is how many descriptors there is room for in fds, and becomes how many came: closed on exec and none of a
 * standard stream's number. Where more came, or more than this process may have, none is kept, and it becomes -EMFILE.
 */
ssize_t parcel_recv(int sock, const struct iovec *iov, size_t n_iov, int *fds, int *n_fds, int flags);

#endif
