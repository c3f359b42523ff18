/* SPDX-License-Identifier: MIT */
/* The ggml that loaded us: its functions, and what had to be found out about it. One a process, learned once. */
#ifndef GUEST_OWN_GGML_H
#define GUEST_OWN_GGML_H

#include "ggml-abi/optimize.h"

struct own_ggml {
	struct abi_symbols fn;
	enum abi_version api;
	bool idle[ABI_N_OPS];        /* operations that compute nothing */
	uint16_t written[ABI_N_OPS]; /* sources that operations write to, a bit each */
	bool has_counts;             /* use counts can be read: ggml-abi/counts.h */
	bool has_uid;                /* and graphs' uids: ggml-abi/uid.h */
	enum abi_optimize optimize;  /* how it calls a backend's graph_optimize */
};

extern struct own_ggml own;

/* Finds it, by an address in the code that called us. dlopen's handle; NULL: it is none that we know, which was told. */
void *own_ggml_find(const void *caller);
/* What only a device of ours is in need of. */
void own_ggml_learn(void *handle);

/* Whether the tensor, as a node, computes nothing: it looks at what another one has. */
static inline bool own_op_idle(const struct abi_tensor *t)
{
	return t->op >= 0 && t->op < ABI_N_OPS && own.idle[t->op];
}

/* Whether the node writes to its source i, as it does to its result. */
static inline bool own_op_writes(const struct abi_tensor *t, int i)
{
	return t->op >= 0 && t->op < ABI_N_OPS && own.written[t->op] >> i & 1;
}

#endif
