/* SPDX-License-Identifier: MIT */
/* Graphs are computed on the host: found among those that it knows (kept_store.h) or written, then sent. */
#ifndef GUEST_GRAPH_H
#define GUEST_GRAPH_H

#include "guest/kept_store.h"

/* Has the stream's graph computed, which is kept or will be; ggml's status. */
int32_t graph_send(struct kept_store *kept, struct stream *stream, struct abi_graph *graph);

#endif
