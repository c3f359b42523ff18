/* SPDX-License-Identifier: MIT */
/*
 * What the backend keeps for one guest context: its device, its objects, its graphs. Contexts share nothing but
 * the libraries' code.
 */
#ifndef BACKEND_CONTEXT_H
#define BACKEND_CONTEXT_H

#include "backend/apir_backend.h"
#include "backend/graph_incoming.h"
#include "backend/graph_store.h"
#include "backend/library.h"
#include "backend/pinned.h"
#include "proto/apir_wire.h"
#include "proto/handle.h"

enum object_type { OBJ_BUFT = 1, OBJ_BUFFER = 2 };

#define MAX_OBJECTS 65536
/* Made-up addresses start here, each buffer's apart from the others': nothing in them tells of the host. */
#define FAKE_BASE (UINT64_C(1) << 44)

struct counters {
	uint64_t commands, graphs, graphs_reused, graphs_again, nodes, bytes_set, bytes_get, refused;
};

struct backend_context {
	uint32_t id;
	struct apir_callbacks *callbacks;
	struct library lib;
	struct handle_table handles;
	uint64_t buft_handle;
	uint64_t next_fake;
	uint64_t blobs_dropped;     /* when no buffer's blob was gone the last time */
	uint64_t features;          /* agreed by hello; APIR_FEATURE_* */
	struct abi_numbers numbers; /* from the wire's to the library's */
	struct graph_store graphs;
	struct graph_incoming incoming;
	struct pinned pinned;
	struct graph *optimized; /* that the library was asked about last; NULL: none */
	struct graph_spare spare;
	bool computing; /* the device may be */
	struct counters counters;
};

/* NULL, and *code says why (apir_backend.h): the context is open where that is a success. */
struct backend_context *context_open(uint32_t id, struct apir_callbacks *callbacks, uint32_t *code);
/* Frees all that it has. */
void context_close(struct backend_context *ctx);

/* Waits until the device has computed what it was given. */
void context_drain(struct backend_context *ctx);

/* The blob's bytes [off, off + n), NULL when the context has no such blob or it is too small. Guest-writable:
 * copy before looking. Sizes are the host's word ("apir.blob.<id>.size"); a host that doesn't tell is trusted. */
void *context_shm(struct backend_context *ctx, uint32_t res_id, uint64_t off, uint64_t n);

/* Whether the host tells blob sizes, and this one's. */
bool context_shm_size(struct backend_context *ctx, uint32_t res_id, uint64_t *size);

/* Which blob of those that were called so it is, and how many were given up so far: 0 where the host doesn't tell, since it
 * trusts its guests. */
uint64_t context_blob_serial(struct backend_context *ctx, uint32_t res_id);
uint64_t context_blobs_dropped(struct backend_context *ctx);

/* Names `ggml` (stolen; mapping too) for the guest. 0 on failure, having freed both. */
uint64_t context_add_buffer(struct backend_context *ctx, struct abi_buffer *ggml, void *mapping, uint64_t mapping_size);
void context_free_buffer(struct backend_context *ctx, struct buffer *b);

/* Logs why something was refused, at most 20 times a context: a guest must not fill the disk. */
void context_refuse(struct backend_context *ctx, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
