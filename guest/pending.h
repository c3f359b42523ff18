/* SPDX-License-Identifier: MIT */
/*
 * Small writes that wait for others: collected here, and posted (flush.h) before the next command that could see them. A
 * decoding program sets some ten inputs a token, one after another in one buffer.
 */
#ifndef GUEST_PENDING_H
#define GUEST_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;

#define PENDING_WRITES 64
#define PENDING_BYTES  0x20000
#define PENDING_SMALL  0x8000 /* larger ones travel alone */

struct pending_write {
	struct buffer *buffer;
	uint64_t start, size; /* within the buffer, bytes */
	uint64_t pad;         /* bytes behind it that nothing lives in: up to where the next tensor may start */
	size_t at;            /* in bytes[] */
};

struct pending {
	struct pending_write writes[PENDING_WRITES];
	size_t n, used;
	uint8_t bytes[PENDING_BYTES];
};

/* Collects a write, under the session's lock; the bytes are copied. False: it isn't small, or there is no room or
 * it overlaps another: flush and try again, or send it alone. pad: how many bytes behind it hold nothing. */
bool pending_add(
	struct pending *p, struct buffer *buffer, uint64_t start, uint64_t size, uint64_t pad, const void *data);

#endif
