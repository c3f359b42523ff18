/* SPDX-License-Identifier: MIT */
/* See cursor.h: bounds are checked here and nowhere else. */
#include "proto/cursor.h"

#include <string.h>

void *cursor_take(struct cursor *c, size_t n)
{
	void *p;

	if (n > cursor_left(c))
		return NULL;
	p = c->data + c->pos;
	c->pos += n;
	return p;
}

bool cursor_read(struct cursor *c, void *out, size_t n)
{
	const void *p = cursor_take(c, n);

	if (!p)
		return false;
	memcpy(out, p, n);
	return true;
}

bool cursor_write(struct cursor *c, const void *in, size_t n)
{
	void *p = cursor_take(c, n);

	if (!p)
		return false;
	memcpy(p, in, n);
	return true;
}

bool cursor_read_u32(struct cursor *c, uint32_t *v)
{
	return cursor_read(c, v, sizeof *v);
}

bool cursor_read_i32(struct cursor *c, int32_t *v)
{
	return cursor_read(c, v, sizeof *v);
}

bool cursor_read_u64(struct cursor *c, uint64_t *v)
{
	return cursor_read(c, v, sizeof *v);
}

/* Upstream writes a bool's one byte into a 4-byte cell and leaves the rest as it was: only the byte counts. */
bool cursor_read_bool(struct cursor *c, bool *v)
{
	uint8_t cell[4];

	if (!cursor_read(c, cell, sizeof cell))
		return false;
	*v = cell[0] != 0;
	return true;
}

bool cursor_read_string(struct cursor *c, const char **s)
{
	size_t start = c->pos;
	uint64_t n;
	const char *p;

	if (!cursor_read_u64(c, &n))
		return false;
	/* The padding must be there too, and n + 3 must not wrap. */
	if (n == 0 || n > cursor_left(c) || !(p = cursor_take(c, round_up(n, 4))) || p[n - 1] != '\0') {
		c->pos = start;
		return false;
	}
	*s = p;
	return true;
}

bool cursor_write_u32(struct cursor *c, uint32_t v)
{
	return cursor_write(c, &v, sizeof v);
}

bool cursor_write_i32(struct cursor *c, int32_t v)
{
	return cursor_write(c, &v, sizeof v);
}

bool cursor_write_u64(struct cursor *c, uint64_t v)
{
	return cursor_write(c, &v, sizeof v);
}

bool cursor_write_bool(struct cursor *c, bool v)
{
	return cursor_write_u32(c, v ? 1 : 0);
}

bool cursor_write_string(struct cursor *c, const char *s)
{
	size_t start = c->pos, n = strlen(s) + 1, padded = round_up(n, 4);
	char *p;

	if (!cursor_write_u64(c, n) || !(p = cursor_take(c, padded))) {
		c->pos = start;
		return false;
	}
	memset(p, 0, padded);
	memcpy(p, s, n);
	return true;
}
