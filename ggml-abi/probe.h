/* SPDX-License-Identifier: MIT */
/* Which plugin API the ggml that loads us has: it doesn't say, so its accessors are watched at work. */
#ifndef GGML_ABI_PROBE_H
#define GGML_ABI_PROBE_H

#include "ggml-abi/symbols.h"

/*
 * Calls the public accessors on objects of ours whose slots record that they were called. 0 and *api, or -EPROTO
 * and a line in err that names the ggml found and those supported. `handle` is dlopen's of that ggml.
 */
int abi_probe(const struct abi_symbols *s, void *handle, enum abi_version *api, char *err, size_t err_size);

#endif
