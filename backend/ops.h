/* SPDX-License-Identifier: MIT */
/* What must be true of an operation before the device is asked about it; by name, since numbers differ. */
#ifndef BACKEND_OPS_H
#define BACKEND_OPS_H

#include "ggml-abi/symbols.h"

struct ops {
	int32_t unary, glu, cpy;        /* numbers; -1: this ggml has none */
	bool computes[ABI_N_OPS];       /* not NONE, VIEW, RESHAPE, PERMUTE, TRANSPOSE: it reads and writes data */
	bool permitted[ABI_N_OPS];      /* carries no host pointer in its parameters */
	uint8_t min_srcs[ABI_N_OPS];    /* so many sources, from the first on, it reads without asking */
	int64_t blck_size[ABI_N_TYPES]; /* 0: no such type any more */
	size_t type_size[ABI_N_TYPES];
};

void ops_learn(struct ops *ops, const struct abi_symbols *fn);

/* Type, shape, operation and parameters of one tensor by itself; *extent gets its bytes. False, and *why. */
bool ops_check_tensor(const struct ops *ops, const struct abi_tensor *t, size_t *extent, const char **why);
/* How the elements of a checked tensor lie, as whoever reads or writes them takes for granted. Not asked of a node that
 * computes nothing: the transposed view of quantised data is such a one. False, and *why. */
bool ops_check_layout(const struct ops *ops, const struct abi_tensor *t, const char **why);
/* Its sources are there. False, and *why. */
bool ops_check_srcs(const struct ops *ops, const struct abi_tensor *t, const char **why);

#endif
