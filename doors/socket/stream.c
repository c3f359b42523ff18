/* SPDX-License-Identifier: MIT */
/*
 * Input: bytes from in_start to in_end are unread. The buffer starts small and grows to the message that the
 * header announces, never beyond STREAM_INPUT_MAX.
 *
 * Output: a byte with a descriptor must start a message of its own, since a reader without room for control
 * data that reads across it would lose the descriptor. So sending stops before such a byte, then sends it
 * alone.
 */
#include "doors/socket/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "platform/parcel.h"

#define STREAM_INPUT_MIN 16384u

int stream_init(struct stream *s, int fd)
{
	int flags;

	*s = (struct stream){ .fd = fd, .in_size = STREAM_INPUT_MIN };
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	s->in = malloc(s->in_size);
	return s->in ? 0 : -ENOMEM;
}

void stream_fini(struct stream *s)
{
	for (unsigned i = 0; i < s->fd_count; i++)
		close(s->fds[i].fd);
	free(s->in);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct stream){ .fd = -1 };
}

static void input_compact(struct stream *s)
{
	if (!s->in_start)
		return;
	memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
	s->in_end -= s->in_start;
	s->in_start = 0;
}

ssize_t stream_fill(struct stream *s)
{
	ssize_t n;

	input_compact(s);
	if (s->in_end == s->in_size)
		return -EAGAIN;
	do
		n = recv(s->fd, s->in + s->in_end, s->in_size - s->in_end, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	s->in_end += (size_t)n;
	return n;
}

int stream_reserve(struct stream *s, size_t size)
{
	uint8_t *in;

	if (size <= s->in_size)
		return 0;
	if (size > STREAM_INPUT_MAX)
		return -EMSGSIZE;
	in = realloc(s->in, size);
	if (!in)
		return -ENOMEM;
	s->in = in;
	s->in_size = size;
	return 0;
}

const void *stream_peek(const struct stream *s, size_t size)
{
	return s->in_end - s->in_start >= size ? s->in + s->in_start : NULL;
}

void stream_consume(struct stream *s, size_t size)
{
	s->in_start += size;
	if (s->in_start % sizeof(uint32_t)) /* the program's name isn't counted in words */
		input_compact(s);
}

int stream_queue(struct stream *s, const void *data, size_t size, int fd)
{
	if (!stream_pending(s))
		s->out_start = s->out_end = 0;
	if (size > sizeof s->out - s->out_end || (fd >= 0 && s->fd_count == STREAM_FDS_MAX))
		return -ENOBUFS;
	if (fd >= 0) {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

		if (copy < 0)
			return -errno;
		s->fds[s->fd_count].at = s->out_end;
		s->fds[s->fd_count++].fd = copy;
	}
	memcpy(s->out + s->out_end, data, size);
	s->out_end += size;
	return 0;
}

int stream_flush(struct stream *s)
{
	while (stream_pending(s)) {
		bool carries = s->fd_count && s->fds[0].at == s->out_start;
		size_t end = s->fd_count ? s->fds[0].at : s->out_end;
		const struct iovec iov = { s->out + s->out_start, carries ? 1 : end - s->out_start };
		ssize_t n = parcel_send(s->fd, &iov, 1, carries ? s->fds[0].fd : -1);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		if (carries) {
			close(s->fds[0].fd);
			memmove(s->fds, s->fds + 1, --s->fd_count * sizeof s->fds[0]);
		}
		s->out_start += (size_t)n;
	}
	return 0;
}
