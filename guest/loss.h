/* SPDX-License-Identifier: MIT */
/*
 * Work that was lost on the way, which ggml's functions can't tell of at once: whose it was, and what it would have
 * written.
 *
 * A lost command taints the buffers that it would have written: in the name of the stream whose graph it was, or in
 * nobody's, where it was a buffer's void call. What is read from a tainted buffer is zeros, and a graph that touches
 * one fails. A stream's taint ends when one of its own computes has failed for it; nobody's ends with the first graph,
 * whosever it is, that has failed for it; but weights are written once, so a write that they lost stays lost. Streams
 * whose buffers aren't tainted notice nothing, and reading from a buffer taints nothing: weights may be shared. A dead
 * session needs none of this: there everything fails.
 *
 * Everything is called under the session's lock, but for what says otherwise.
 */
#ifndef GUEST_LOSS_H
#define GUEST_LOSS_H

#include <stdbool.h>

#include "guest/buffer.h"

/* All that share an order of commands. Zeroed: none. */
struct losses {
	uint64_t names; /* of streams, that are taken */
	struct buffer *buffers;
};

/* ggml's "backend": what a program computes with. */
struct stream {
	struct losses *losses;
	uint64_t name; /* its bit in buffers' taints; 0: it has none, so what it taints is nobody's */
	bool lost;     /* posted work of its own failed, and no compute has told so */
};

/* The buffers that a command reads or writes, each once. */
struct touched {
	struct buffer **buffers;
	size_t n, n_written; /* the written ones come first */
};

void loss_stream_begin(struct losses *l, struct stream *s);
/* Nothing of its is on the way any more. What it tainted stays so, in nobody's name. */
void loss_stream_end(struct stream *s);
void loss_buffer_begin(struct losses *l, struct buffer *b);
void loss_buffer_end(struct buffer *b);

/* A posted command failed. owner: NULL: a void call's. */
void loss_note(struct stream *owner, const struct touched *t);
/* A posted graph was computed: was it from what it should have been? If not it is lost, too. */
void loss_follow(struct stream *owner, const struct touched *t);
/* Whether a compute of the stream that touches these has to fail. */
bool loss_due(const struct stream *s, const struct touched *t);
/* It did. What was posted before is settled: it may follow from what is forgotten here. */
void loss_told(struct stream *s, const struct touched *t);
/* What was copied is as good as what it was copied from. True: that is tainted. */
bool loss_spread(const struct buffer *from, struct buffer *to);
/* Whether what is read from it is to be zeros. */
bool loss_hides(const struct buffer *b);

/* A void call wasn't even sent; or a read gave zeros though nothing in the buffer is wrong, which is told by a graph that
 * touches it, likewise. Without the lock, also from a signal handler. */
void loss_note_write(struct buffer *b);
void loss_note_read(struct buffer *b);

#endif
