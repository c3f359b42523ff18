/* SPDX-License-Identifier: MIT */
/*
 * The one way to read and write messages: a cursor over a private copy, never over memory that a peer can change.
 * Every call checks what remains and its result can't be ignored; after a refusal the cursor hasn't moved.
 *
 * APIR's encodings: uint8 and bool take 4 bytes, uint32 and int32 4, uint64, size and handle 8; a string is a
 * uint64 size that counts its NUL, and the bytes, padded to 4.
 */
#ifndef PROTO_CURSOR_H
#define PROTO_CURSOR_H

#include "proto/util.h"

#define MUST_CHECK __attribute__((warn_unused_result))

struct cursor {
	uint8_t *data;
	size_t pos, size; /* pos <= size */
};

static inline struct cursor cursor_over(void *data, size_t size)
{
	return (struct cursor){ .data = data, .size = size };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->size - c->pos;
}

MUST_CHECK bool cursor_read(struct cursor *c, void *out, size_t n);
MUST_CHECK bool cursor_write(struct cursor *c, const void *in, size_t n);
/* The next n bytes in place, NULL if they aren't there. */
MUST_CHECK void *cursor_take(struct cursor *c, size_t n);

MUST_CHECK bool cursor_read_u32(struct cursor *c, uint32_t *v);
MUST_CHECK bool cursor_read_i32(struct cursor *c, int32_t *v);
MUST_CHECK bool cursor_read_u64(struct cursor *c, uint64_t *v);
MUST_CHECK bool cursor_read_bool(struct cursor *c, bool *v);
/* A string in place, NUL-terminated within its size; refuses others. */
MUST_CHECK bool cursor_read_string(struct cursor *c, const char **s);

MUST_CHECK bool cursor_write_u32(struct cursor *c, uint32_t v);
MUST_CHECK bool cursor_write_i32(struct cursor *c, int32_t v);
MUST_CHECK bool cursor_write_u64(struct cursor *c, uint64_t v);
MUST_CHECK bool cursor_write_bool(struct cursor *c, bool v);
MUST_CHECK bool cursor_write_string(struct cursor *c, const char *s);

#endif
