/* SPDX-License-Identifier: MIT */
/* Tensors as they travel: the wire's struct in graphs and transfers, raw ggml structs in questions about shapes. */
#ifndef GUEST_TENSOR_H
#define GUEST_TENSOR_H

#include "guest/call.h"
#include "guest/host.h"

struct buffer;

/* Why a tensor can't travel, as the end of a sentence: another's buffer, or a dimension or stride past 32 bits.
 * NULL: it can. */
const char *tensor_fault(const struct host *host, const struct abi_tensor *t);
/* Into wire form as far as it has neither memory nor a name. False: it can't travel. */
bool tensor_encode_shape(const struct host *host, const struct abi_tensor *t, struct apir_tensor *w);
/* Into wire form, without sources and view. False where tensor_fault() says why it can't be. */
bool tensor_encode(const struct host *host, const struct abi_tensor *t, struct apir_tensor *w);
/* What the host is told of a buffer's memory: APIR_MEMORY_*. A program may change it at any time, and without a call. */
uint32_t tensor_memory_told(const struct host *host, const struct buffer *b);
/* Adds what is to be computed to a tensor that was encoded as data. False: the host's ggml has no such operation. */
bool tensor_encode_op(const struct host *host, const struct abi_tensor *t, struct apir_tensor *w);
/* Whether the host's ggml has its type and its sources', and the operation itself. */
bool tensor_types_known(const struct host *host, const struct abi_tensor *t);
bool tensor_op_known(const struct host *host, const struct abi_tensor *t);
/* Whether shape and strides fit the protocol's 32 bits. */
bool tensor_fits(const struct abi_tensor *t);
/* Appends the raw structs that supports_op and get_alloc_size take. */
void tensor_encode_raw(struct call *c, const struct host *host, const struct abi_tensor *op);

#endif
