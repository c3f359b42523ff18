/* SPDX-License-Identifier: MIT */
/*
 * The host's answers about operations, remembered by signature: the operation, its parameters, and the types,
 * shapes and strides of it and its sources. Asking costs a round trip, and ggml's scheduler asks for every node.
 */
#ifndef GUEST_MEMO_H
#define GUEST_MEMO_H

#include <pthread.h>

#include "ggml-abi/abi.h"

struct memo_entry;

struct memo {
	pthread_mutex_t lock;
	struct memo_entry **slots; /* power of two */
	size_t n_slots, n_used;
};

struct signature {
	size_t size; /* bytes that count */
	uint64_t hash;
	uint8_t bytes[80 + 80 * (2 + ABI_SRCS)];
};

void signature_make(struct signature *sig, const struct abi_tensor *op);
void memo_init(struct memo *m);
bool memo_get(struct memo *m, const struct signature *sig, uint64_t *answer);
void memo_put(struct memo *m, const struct signature *sig, uint64_t answer);
void memo_fini(struct memo *m);

#endif
