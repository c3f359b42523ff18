/* SPDX-License-Identifier: MIT */
/*
 * The GGML library of a context: opened, registered, and one of its devices initialised.
 *
 * Libraries stay loaded when a context ends: GPU drivers leave threads behind that must not lose their code.
 */
#ifndef BACKEND_LIBRARY_H
#define BACKEND_LIBRARY_H

#include "backend/ops.h"
#include "backend/pinner.h"
#include "backend/work.h"
#include "ggml-abi/names.h"

struct library {
	struct abi_symbols fn;
	struct abi_device *device;
	struct abi_backend *backend; /* owned */
	union abi_buft *buft;        /* the device's own */
	struct ops ops;
	struct work work;
	struct abi_names names;
	const struct pinner *pinner; /* NULL: none */
	bool has_counts;             /* use counts can be set in its graphs: ggml-abi/counts.h */
	bool has_uid;                /* and a uid: ggml-abi/uid.h */
	bool optimizes;              /* it has a say in the order of graphs' nodes: ggml-abi/optimize.h */
};

/* get(user, key) answers configuration keys; NULL: not set. Returns what apir_backend_initialize() returns, having
 * logged the reason when that is no success. */
uint32_t library_open(struct library *lib, const char *(*get)(void *user, const char *key), void *user);
void library_close(struct library *lib);

#endif
