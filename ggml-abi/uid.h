/* SPDX-License-Identifier: MIT */
/*
 * A graph's uid: two graphs with the same one, which isn't 0, are the same to a backend, which then looks no further: CUDA
 * replays what it recorded, RPC sends nothing. ggml has no public access to it, so the graph's private layout is used
 * where it is what we know, which is checked first.
 */
#ifndef GGML_ABI_UID_H
#define GGML_ABI_UID_H

#include "ggml-abi/symbols.h"

/* Whether a new graph has one where we expect it: at the end of a struct of the size that we know, and 0. Where this is false
 * the functions below must not be called. */
bool abi_uid_check(const struct abi_symbols *s);

/* 0: none. */
uint64_t abi_uid_get(struct abi_graph *graph);
/* Of a part that ggml's scheduler has made of a graph, and makes anew with another uid when it splits or allocates again; 0: it is
 * none. The user's own graph gets one, too, and may be changed after that. */
uint64_t abi_uid_of_split(struct abi_graph *graph);
/* Gives the graph one that no other in this process has or had. To be called anew whenever anything about the graph, or about
 * what it refers to, has changed. */
void abi_uid_renew(struct abi_graph *graph);

#endif
