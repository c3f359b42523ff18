/* SPDX-License-Identifier: MIT */
/* See buffer.h. */
#include "guest/buffer.h"

#include "ggml-abi/abi.h"

void *buffer_base(struct abi_buffer *object)
{
	const struct buffer *b = object->context;

	return b->base;
}

struct abi_buffer *buffer_under(const struct abi_tensor *t)
{
	return t->view_src ? t->view_src->buffer : t->buffer;
}

struct buffer *buffer_of(const struct abi_tensor *t)
{
	const struct abi_buffer *object = buffer_under(t);

	return object && object->iface.get_base == buffer_base ? object->context : NULL;
}
