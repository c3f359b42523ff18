/* SPDX-License-Identifier: MIT */
/*
 * Framing of vhost-user messages over a Unix socket. Reading is a small state machine, so that half a message
 * never holds up the device: the header first, then as much body as it announces. Descriptors arrive with the
 * first byte; more than the fixed table holds end the connection, what is left over once a message is handled is closed.
 */
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "platform/parcel.h"

/* QEMU reads what it asked for; a peer that doesn't for this long is gone. */
#define SEND_TIMEOUT_MS 10000

int vu_channel_open(struct vu_channel *c, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	*c = (struct vu_channel){ .fd = fd };
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

void vu_channel_close(struct vu_channel *c)
{
	vu_channel_next(c);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* One recvmsg() into [dst, dst + want); the bytes read, 0 when none are there, or -errno. */
static ssize_t receive(struct vu_channel *c, void *dst, size_t want)
{
	const struct iovec iov = { dst, want };
	ssize_t n;
	int fds;

	do {
		fds = (int)(VU_FDS_MAX - c->fd_count);
		n = parcel_recv(c->fd, &iov, 1, c->fds + c->fd_count, &fds, MSG_DONTWAIT);
	} while (n == -EINTR);
	if (n < 0)
		return n == -EAGAIN ? 0 : n;
	if (fds < 0) /* the message would be handled without what it needs */
		return fds;
	c->fd_count += (unsigned)fds;
	return n ? n : -ECONNRESET;
}

int vu_channel_read(struct vu_channel *c)
{
	ssize_t n;

	while (c->have < sizeof c->hdr) {
		n = receive(c, (char *)&c->hdr + c->have, sizeof c->hdr - c->have);
		if (n <= 0)
			return (int)n;
		c->have += (size_t)n;
	}
	if ((c->hdr.flags & VU_VERSION_MASK) != VU_VERSION || c->hdr.size > sizeof c->body)
		return -EPROTO;
	while (c->have < sizeof c->hdr + c->hdr.size) {
		size_t at = c->have - sizeof c->hdr;

		n = receive(c, (char *)&c->body + at, c->hdr.size - at);
		if (n <= 0)
			return (int)n;
		c->have += (size_t)n;
	}
	/* A body shorter than its struct reads as zeros behind its end, never as the message before. */
	memset((char *)&c->body + c->hdr.size, 0, sizeof c->body - c->hdr.size);
	return 1;
}

void vu_channel_next(struct vu_channel *c)
{
	for (unsigned i = 0; i < c->fd_count; i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	c->fd_count = 0;
	c->have = 0;
}

int vu_channel_take_fd(struct vu_channel *c, unsigned i)
{
	return i < c->fd_count ? fd_steal(&c->fds[i]) : -1;
}

int vu_channel_send(struct vu_channel *c, uint32_t request, uint32_t flags, const void *body, uint32_t size, int fd)
{
	struct vu_header hdr = { .request = request, .flags = VU_VERSION | flags, .size = size };
	size_t sent = 0, all = sizeof hdr + size;

	while (sent < all) {
		struct iovec iov[2];
		size_t n_iov = 0;
		ssize_t n;

		if (sent < sizeof hdr)
			iov[n_iov++] = (struct iovec){ (char *)&hdr + sent, sizeof hdr - sent };
		if (size) {
			size_t at = sent > sizeof hdr ? sent - sizeof hdr : 0;

			iov[n_iov++] = (struct iovec){ (char *)body + at, size - at };
		}
		n = parcel_send(c->fd, iov, n_iov, sent ? -1 : fd);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (n == -EAGAIN) {
			struct pollfd p = { .fd = c->fd, .events = POLLOUT };

			if (poll(&p, 1, SEND_TIMEOUT_MS) == 0)
				return -ETIMEDOUT;
		} else if (n != -EINTR) {
			return (int)n;
		}
	}
	return 0;
}

const char *vu_request_name(uint32_t request)
{
	static const char *const names[VU_REQUEST_COUNT] = {
		[VU_GET_FEATURES] = "GET_FEATURES",
		[VU_SET_FEATURES] = "SET_FEATURES",
		[VU_SET_OWNER] = "SET_OWNER",
		[VU_RESET_OWNER] = "RESET_OWNER",
		[VU_SET_MEM_TABLE] = "SET_MEM_TABLE",
		[VU_SET_VRING_NUM] = "SET_VRING_NUM",
		[VU_SET_VRING_ADDR] = "SET_VRING_ADDR",
		[VU_SET_VRING_BASE] = "SET_VRING_BASE",
		[VU_GET_VRING_BASE] = "GET_VRING_BASE",
		[VU_SET_VRING_KICK] = "SET_VRING_KICK",
		[VU_SET_VRING_CALL] = "SET_VRING_CALL",
		[VU_SET_VRING_ERR] = "SET_VRING_ERR",
		[VU_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
		[VU_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
		[VU_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
		[VU_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
		[VU_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
		[VU_GET_CONFIG] = "GET_CONFIG",
		[VU_SET_CONFIG] = "SET_CONFIG",
		[VU_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
		[VU_ADD_MEM_REG] = "ADD_MEM_REG",
		[VU_REM_MEM_REG] = "REM_MEM_REG",
		[VU_GET_SHMEM_CONFIG] = "GET_SHMEM_CONFIG",
	};

	return request < VU_REQUEST_COUNT && names[request] ? names[request] : "an unknown message";
}
