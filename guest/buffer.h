/* SPDX-License-Identifier: MIT */
/* Memory on the host under a handle, and the range of addresses here that stands for it. See buffer.c. */
#ifndef GUEST_BUFFER_H
#define GUEST_BUFFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct abi_buffer;
struct abi_tensor;

struct buffer {
	uint64_t handle; /* the host's */
	char *base;      /* address space reserved here, never accessible */
	size_t size;
	const struct abi_buffer *_Atomic object; /* ggml's, whose context this is; NULL: it is no more */
	/* loss.c's */
	_Atomic uint64_t taints;
	struct buffer *next, **link;
	struct buffer *left; /* buffer.c's: another that is still to be freed */
};

/* Makes a buffer of the host's, NULL when it has no memory. */
struct abi_buffer *buffer_new(size_t size);
/* The tensor's buffer if it is one of ours, following its view; NULL otherwise. */
struct buffer *buffer_of(const struct abi_tensor *t);

/* Changes whenever a buffer comes or goes: addresses may mean something else then. */
uint64_t buffers_epoch(void);

#endif
