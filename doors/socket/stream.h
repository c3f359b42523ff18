/* SPDX-License-Identifier: MIT */
/*
 * Buffered, never blocking I/O on a unix stream socket, with descriptors that ride on bytes of the output.
 *
 * Input gathers in one private buffer, so that a message is looked at only when it is complete and can't
 * change any more. Output waits in a bounded queue; a peer that doesn't read fills it and gets -ENOBUFS,
 * nobody waits. Descriptors that the peer sends are dropped by the kernel, as nothing here asks for them.
 */
#ifndef DOORS_SOCKET_STREAM_H
#define DOORS_SOCKET_STREAM_H

#include "proto/util.h"

#define STREAM_INPUT_MAX  (1u << 20)
#define STREAM_OUTPUT_MAX 4096u
#define STREAM_FDS_MAX    8u

struct stream {
	int fd; /* owned */
	uint8_t *in;
	size_t in_start, in_end, in_size;
	uint8_t out[STREAM_OUTPUT_MAX];
	size_t out_start, out_end;
	struct {
		size_t at; /* the byte of `out` that it rides on */
		int fd;    /* owned */
	} fds[STREAM_FDS_MAX];
	unsigned fd_count;
};

/* Takes fd and makes it non-blocking; stream_fini() closes it, also when this failed. */
int stream_init(struct stream *s, int fd);
void stream_fini(struct stream *s);

/* Reads what there is, as far as there is room; the number of bytes, 0 when the peer hung up, -EAGAIN when
 * there is nothing. */
ssize_t stream_fill(struct stream *s);
/* Makes room for a message of `size` bytes; -EMSGSIZE, -ENOMEM. */
int stream_reserve(struct stream *s, size_t size);
/* The next `size` bytes, valid until the next call that isn't stream_queue() or stream_flush(); NULL: not
 * there yet. */
const void *stream_peek(const struct stream *s, size_t size);
/* What follows is aligned to 32 bits again. */
void stream_consume(struct stream *s, size_t size);

/* Queues bytes; with fd >= 0 a copy of fd rides on the first of them. -ENOBUFS: the peer doesn't read. */
int stream_queue(struct stream *s, const void *data, size_t size, int fd);
/* Sends what the socket takes; 0, or -errno when the peer is gone. */
int stream_flush(struct stream *s);

static inline bool stream_pending(const struct stream *s)
{
	return s->out_start != s->out_end;
}

#endif
