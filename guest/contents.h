/* SPDX-License-Identifier: MIT */
/* What lies in a buffer: tensors' bytes, written, read and copied. What fails was reported, and is the caller's to note. */
#ifndef GUEST_CONTENTS_H
#define GUEST_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct abi_tensor;
struct buffer;

/* Bytes [offset, offset + size) of a tensor that lies in b. */
bool contents_set(struct buffer *b, const struct abi_tensor *t, const void *data, size_t offset, size_t size);
/* How many bytes were read, from the first on. */
size_t contents_get(struct buffer *b, const struct abi_tensor *t, void *data, size_t offset, size_t size);
bool contents_memset(struct buffer *b, const struct abi_tensor *t, uint8_t value, size_t offset, size_t size);
bool contents_copy(
	const struct buffer *from, struct buffer *to, const struct abi_tensor *src, const struct abi_tensor *dst);
bool contents_clear(const struct buffer *b, uint8_t value);

/* Has the host take bytes that it has too, while nobody changes them before the stream is synchronized. False: it can't be done
 * so. */
bool contents_set_later(struct buffer *b, const struct abi_tensor *t, const void *data, size_t offset, size_t size);
/* Asks for bytes of a tensor that lies in the buffer: they are there when the stream has been synchronized. False: it can't
 * be done so now. */
bool contents_get_later(struct buffer *b, const struct abi_tensor *t, void *data, size_t offset, size_t size);

#endif
