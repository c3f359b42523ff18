/* SPDX-License-Identifier: MIT */
/*
 * How much a graph asks for, roughly, and how much it may. A tensor of zero strides has as many elements as it likes over
 * no memory, and a device that computes them doesn't stop.
 */
#ifndef BACKEND_WORK_H
#define BACKEND_WORK_H

#include "ggml-abi/symbols.h"

/*
 * In multiply-adds. A prompt of 4096 tokens in one graph is 70e9 * 4096 = 2.9e14 of them with a 70B model, and 1.7e15 with
 * a 405B one; this is 4.5e15. A CPU takes half a day for it, and the fastest GPU seconds: it keeps out what has no end.
 */
#define WORK_DEFAULT (UINT64_C(1) << 52)
#define WORK_MOST    (UINT64_C(1) << 62)

enum work_kind {
	WORK_EACH,  /* so much an element, of the result or of what is read */
	WORK_INNER, /* a row of the first source for each element of the result */
	WORK_OUTER, /* its columns */
	WORK_KERNEL, /* the first source is a kernel, gone through for each element of the result but for its last dimension */
	WORK_KERNEL_ALL, /* for each of the result or of the second source, all of it */
	WORK_ATTENTION,  /* each query meets every key, and every value */
	WORK_WINDOW,     /* its second parameter for each element, */
	WORK_WINDOW_2D,  /* and its third, however little of that lies over anything */
	WORK_GROUPS,     /* its first parameter for each of the last dimension */
};

struct work {
	uint64_t most; /* a graph's, summed over its nodes */
	uint8_t kinds[ABI_N_OPS];
};

/* Learns the operations' kinds; value: the key ggml.graph.work, NULL: the default. False: it is no such number. */
bool work_learn(struct work *w, const struct abi_symbols *fn, const char *value);
/* What a node that computes adds to the sum so far, or UINT64_MAX. */
uint64_t work_add(const struct work *w, const struct abi_tensor *node, uint64_t sum);

#endif
