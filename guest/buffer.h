/* SPDX-License-Identifier: MIT */
/* Memory on the host under a handle, and the range of addresses here that stands for it. What ggml does with it is
 * buffer_slots.c's. */
#ifndef GUEST_BUFFER_H
#define GUEST_BUFFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct abi_buffer;
struct abi_tensor;
struct device;

struct buffer {
	struct device *device;
	uint64_t handle; /* the host's */
	char *base;      /* address space reserved here, never accessible */
	size_t size;
	const struct abi_buffer *_Atomic object; /* ggml's, whose context this is; NULL: it is no more */
	/* loss.c's */
	_Atomic uint64_t taints;
	struct buffer *next, **link;
	struct buffer *left; /* buffer_slots.c's: another that is still to be freed */
};

/* ggml's get_base: what has it is ours. */
void *buffer_base(struct abi_buffer *object);
/* The buffer, whosever it is, that the tensor lies in, or what it views; NULL: none yet. */
struct abi_buffer *buffer_under(const struct abi_tensor *t);
/* The same, if it is ours; else NULL. */
struct buffer *buffer_of(const struct abi_tensor *t);

#endif
