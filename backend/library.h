/* SPDX-License-Identifier: MIT */
/*
 * The GGML library of a context: opened, registered, and one of its devices initialised.
 *
 * Libraries stay loaded when a context ends: GPU drivers leave threads behind that must not lose their code.
 */
#ifndef BACKEND_LIBRARY_H
#define BACKEND_LIBRARY_H

#include "ggml-abi/symbols.h"

/* Numbers of operations that need special care, found by name. -1: this ggml has none. */
struct op_numbers {
	int32_t unary, glu;
	bool computes[ABI_N_OPS];   /* not NONE, VIEW, RESHAPE, PERMUTE, TRANSPOSE: it reads and writes data */
	bool permitted[ABI_N_OPS];  /* carries no host pointer in its parameters */
};

struct library {
	struct abi_symbols fn;
	struct abi_device *device;
	struct abi_backend *backend; /* owned */
	union abi_buft *buft;        /* the device's own */
	struct op_numbers ops;
	bool has_counts; /* use counts can be set in its graphs: ggml-abi/counts.h */
	int64_t blck_size[ABI_N_TYPES]; /* 0: no such type any more */
	size_t type_size[ABI_N_TYPES];
};

/* get(user, key) answers configuration keys; NULL: not set. Returns what apir_backend_initialize() returns, having
 * logged the reason when that is no success. */
uint32_t library_open(struct library *lib, const char *(*get)(void *user, const char *key), void *user);
void library_close(struct library *lib);

#endif
