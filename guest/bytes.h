/* SPDX-License-Identifier: MIT */
/* Any bytes of a buffer of the host's, as the protocol describes them: a tensor that is a row of them. */
#ifndef GUEST_BYTES_H
#define GUEST_BYTES_H

#include "ggml-abi/abi.h"
#include "proto/apir_wire.h"

static inline struct apir_tensor bytes_encode(uint64_t buffer, uint64_t start, uint32_t n)
{
	return (struct apir_tensor){
		.id = 1,
		.type = ABI_TYPE_I8,
		.buffer = buffer,
		.ne = { n, 1, 1, 1 },
		.nb = { 1, n, n, n },
		.data = start,
	};
}

#endif
