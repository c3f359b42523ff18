/* SPDX-License-Identifier: MIT */
/* Timed I/O on the socket, and the messages whose replies need more than copying. See vtest.h. */
#include "guest/transport/vtest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "guest/transport/deadline.h"
#include "platform/parcel.h"
#include "proto/util.h"

#define REPLY_MAX     65536u /* bytes; more is no vtest server */
#define WAIT_SLICE_MS 100
#define PAUSE_MOST_MS 256

int vtest_connect(struct vtest *v, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = VTEST_TIMEOUT_MS / 1000 };
	int flags;

	*v = (struct vtest){ .fd = -1, .timeout_ms = VTEST_TIMEOUT_MS };
	if (strlen(path) >= sizeof addr.sun_path)
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	v->fd = fd_above_std(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (v->fd < 0)
		return -errno;
	/* connect() waits when the server's backlog is full, as long as sending may; EAGAIN ends that. */
	if (setsockopt(v->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
		return -errno;
	if (connect(v->fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	flags = fcntl(v->fd, F_GETFL);
	return flags < 0 || fcntl(v->fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

void vtest_close(struct vtest *v)
{
	int fd = v->fd;

	*v = (struct vtest){ .fd = -1, .broken = true };
	if (fd >= 0)
		close(fd);
}

bool vtest_hung_up(struct vtest *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLRDHUP };

	if (!v->broken && poll(&p, 1, 0) > 0)
		v->broken = true;
	return v->broken;
}

/* Keeps the error, or makes it the one that callers know a gone peer by. */
static int broke(struct vtest *v, int err)
{
	v->broken = true;
	return err == -ECONNRESET || err == -ENOTCONN ? -EPIPE : err;
}

/* Within the deadline, or, once somebody minds the wait, as long as that one says. */
static int wait_for(struct vtest *v, short events, int64_t deadline)
{
	struct pollfd p = { .fd = v->fd, .events = events };

	for (;;) {
		int64_t start = clock_ms(), took;
		int n = poll(&p, 1, v->waited ? WAIT_SLICE_MS : deadline_left(deadline, v->timeout_ms)), err;

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && !v->waited)
			return -ETIMEDOUT;
		took = clock_ms() - start;
		err = v->waited ? v->waited(v->user, took < 2 * WAIT_SLICE_MS ? (uint32_t)took : 2 * WAIT_SLICE_MS) : 0;
		if (err < 0)
			return err;
	}
}

/* The system has no memory for it now: waits, longer each time. False: for long enough. */
static bool pause_for_memory(long *ms)
{
	if (*ms > PAUSE_MOST_MS)
		return false;
	nanosleep(&(struct timespec){ .tv_nsec = *ms * 1000000 }, NULL);
	*ms *= 2;
	return true;
}

int vtest_send_raw(struct vtest *v, const void *msg, size_t size)
{
	int64_t deadline = deadline_after(v->timeout_ms);
	const uint8_t *at = msg;
	long pause_ms = 1;

	if (v->broken)
		return -EPIPE;
	while (size) {
		ssize_t n = send(v->fd, at, size, MSG_NOSIGNAL);
		int err;

		if (n >= 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (errno == EINTR || ((errno == ENOBUFS || errno == ENOMEM) && pause_for_memory(&pause_ms)))
			continue;
		err = errno == EAGAIN ? wait_for(v, POLLOUT, deadline) : -errno;
		if (err < 0)
			return broke(v, err);
	}
	return 0;
}

int vtest_send(struct vtest *v, uint32_t command, const void *data, size_t size)
{
	struct {
		struct vtest_header h;
		uint8_t data[256];
	} msg = { .h.command = command };

	if (size > sizeof msg.data)
		return -E2BIG;
	msg.h.length = (uint32_t)(command == VTEST_CREATE_RENDERER ? size : size / 4);
	if (size)
		memcpy(msg.data, data, size);
	return vtest_send_raw(v, &msg, sizeof msg.h + size);
}

/* Reads exactly `size` bytes. fd, n_fds as of parcel_recv(): what comes along comes with the first of them. */
static int receive_all(struct vtest *v, void *data, size_t size, int *fd, int *n_fds)
{
	int64_t deadline = deadline_after(v->timeout_ms);
	struct iovec iov = { .iov_base = data, .iov_len = size };
	int room = *n_fds;

	if (v->broken)
		return -EPIPE;
	while (iov.iov_len) {
		ssize_t n;
		int err;

		*n_fds = room;
		n = parcel_recv(v->fd, &iov, 1, fd, n_fds, 0);
		if (n > 0) {
			iov.iov_base = (uint8_t *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
			continue;
		}
		if (n == -EINTR)
			continue;
		err = !n ? -EPIPE : n == -EAGAIN ? wait_for(v, POLLIN, deadline) : (int)n;
		if (err < 0)
			return broke(v, err);
	}
	return 0;
}

static int receive_bytes(struct vtest *v, void *data, size_t size)
{
	int none = 0;

	return receive_all(v, data, size, NULL, &none);
}

static int receive_skip(struct vtest *v, size_t size)
{
	uint8_t scrap[256];
	int err = 0;

	while (size && !err) {
		size_t n = size < sizeof scrap ? size : sizeof scrap;

		err = receive_bytes(v, scrap, n);
		size -= n;
	}
	return err;
}

int vtest_receive(struct vtest *v, uint32_t command, void *data, size_t min, size_t max)
{
	struct vtest_header h;
	size_t size, keep;
	int err = receive_bytes(v, &h, sizeof h);

	if (err < 0)
		return err;
	size = (size_t)h.length * 4;
	if (h.command != command || size < min || size > REPLY_MAX)
		return broke(v, -EPROTO);
	keep = size < max ? size : max;
	err = receive_bytes(v, data, keep);
	if (!err)
		err = receive_skip(v, size - keep);
	return err < 0 ? err : (int)keep;
}

int vtest_receive_fd(struct vtest *v)
{
	int fd, n_fds = 1, err;
	uint8_t byte;

	err = receive_all(v, &byte, 1, &fd, &n_fds);
	if (err < 0 || n_fds < 0)
		return err < 0 ? err : n_fds;
	return n_fds ? fd : -ENOENT;
}

static int busy_wait_receive(struct vtest *v)
{
	uint32_t busy;
	int err = vtest_receive(v, VTEST_RESOURCE_BUSY_WAIT, &busy, sizeof busy, sizeof busy);

	return err < 0 ? err : 0;
}

int vtest_ping(struct vtest *v)
{
	const uint32_t busy_wait[2] = { 0, 0 };
	int err = vtest_send(v, VTEST_RESOURCE_BUSY_WAIT, busy_wait, sizeof busy_wait);

	return err < 0 ? err : busy_wait_receive(v);
}

/*
 * Servers from before versions ignore the ping, so something that every server answers is sent behind it:
 * whose answer comes first tells.
 */
int vtest_negotiate(struct vtest *v, uint32_t *version)
{
	const uint32_t busy_wait[2] = { 0, 0 }, ours = VTEST_VERSION;
	struct vtest_header h;
	int err;

	*version = 0;
	err = vtest_send(v, VTEST_PING_PROTOCOL_VERSION, NULL, 0);
	if (!err)
		err = vtest_send(v, VTEST_RESOURCE_BUSY_WAIT, busy_wait, sizeof busy_wait);
	if (!err)
		err = receive_bytes(v, &h, sizeof h);
	if (err < 0)
		return err;
	if (h.command == VTEST_RESOURCE_BUSY_WAIT && h.length == 1)
		return receive_skip(v, sizeof(uint32_t));
	if (h.command != VTEST_PING_PROTOCOL_VERSION || h.length)
		return broke(v, -EPROTO);
	err = busy_wait_receive(v);
	if (!err)
		err = vtest_send(v, VTEST_PROTOCOL_VERSION, &ours, sizeof ours);
	if (!err)
		err = vtest_receive(v, VTEST_PROTOCOL_VERSION, version, sizeof *version, sizeof *version);
	return err < 0 ? err : 0;
}
