/* SPDX-License-Identifier: MIT */
/*
 * A raw APIR 0.2 guest: it writes the protocol's bytes itself, so that it can also write wrong ones. What
 * answers is real: the APIR component, a worker process, the backend library and ggml's CPU library.
 */
#ifndef TESTS_PROTOCOL_HARNESS_H
#define TESTS_PROTOCOL_HARNESS_H

#include "proto/apir_wire.h"
#include "proto/cursor.h"
#include "tests/support/host.h"

/* What a FORWARD answers when the backend refused, or could not do it. */
#define REFUSED (APIR_FORWARD_BASE + APIR_FN_REFUSED)
#define FAILED  (APIR_FORWARD_BASE + APIR_FN_FAILED)
#define INVALID (APIR_FORWARD_BASE + APIR_FN_INVALID)
/* No answer at all: the command was dropped, or the context is lost. */
#define DROPPED (-1)
#define LOST    (-2)
/* A FORWARD of a guest that didn't greet was answered with 0, which is no code of APIR 0.2. */
#define NO_CODE (-3)

struct guest_blob {
	uint32_t res;
	uint8_t *ptr;
	uint64_t size;
};

struct guest {
	struct host *host;
	uint32_t ctx;
	int32_t type_base; /* 0, or APIR_VENUS_TYPE_BASE */
	bool shaken;       /* there was a handshake, */
	bool greeted;      /* and the first had a greeting: success is answered with 0 then */
	struct guest_blob reply, data;
	struct cursor args;
	struct cursor answer; /* what came back, a private copy */
	uint8_t args_bytes[APIR_CMD_MAX], answer_bytes[APIR_REPLY_BLOB_SIZE];
	uint64_t buft, buffer; /* made by guest_ready(): the buffer type, a buffer of GUEST_BUFFER bytes */
};
#define GUEST_BUFFER 65536u

/* A context with its two blobs; nothing said yet. */
bool guest_open(struct guest *g, struct host *h, uint32_t ctx);
/* Handshake, the library, a buffer: ready to compute. */
bool guest_ready(struct guest *g);
/* The last step of it: for guests that load the library themselves. */
bool guest_loaded(struct guest *g);
/* Destroys the context and its blobs. */
void guest_close(struct guest *g);

bool guest_blob_make(struct guest *g, uint64_t size, struct guest_blob *b);
void guest_blob_drop(struct guest *g, struct guest_blob *b);

/* Starts the arguments of the next command; then arg_*(). */
void args_start(struct guest *g);
void arg_u32(struct guest *g, uint32_t v);
void arg_u64(struct guest *g, uint64_t v);
void arg_bytes(struct guest *g, const void *p, size_t n);

/* Sends the arguments as a command of that type and waits: the code, DROPPED or LOST. */
int64_t command(struct guest *g, int32_t type, int32_t flags);
/* The same, with but the first n bytes of them. */
int64_t command_cut(struct guest *g, int32_t type, int32_t flags, size_t n);
/* The same for a FORWARD; 0 where the function did it, which the wire tells by APIR_FORWARD_OK, or 0 to one that greeted. */
int64_t forward(struct guest *g, uint32_t fn);
int64_t forward_cut(struct guest *g, uint32_t fn, size_t n);

int64_t handshake(struct guest *g, uint32_t *major, uint32_t *minor);
int64_t load_library(struct guest *g);

/* The protocol's functions that the tests use all the time. */
uint64_t buffer_alloc(struct guest *g, uint64_t size);
int64_t buffer_free(struct guest *g, uint64_t buffer);
/* With the bytes in the data blob. */
int64_t tensor_set(struct guest *g, uint64_t buffer, const struct apir_tensor *t, uint64_t offset, uint64_t size);
int64_t tensor_get(struct guest *g, uint64_t buffer, const struct apir_tensor *t, uint64_t offset, uint64_t size);

/* A contiguous f32 tensor at `data` of the buffer. */
struct apir_tensor tensor_f32(uint64_t id, uint64_t buffer, uint64_t data, uint32_t ne0, uint32_t ne1);

struct wire_graph {
	uint32_t n_nodes, n_tensors;
	uint64_t nodes[8];
	struct apir_tensor tensors[8];
};

/* c = a + b, 8 elements each, in the guest's buffer at 0, 64, 128; its ids are 1, 2, 3. */
struct wire_graph graph_add(const struct guest *g);
/* Writes it to the data blob; its size in bytes. */
size_t graph_put(struct guest *g, const struct wire_graph *w);
/* Computes the bytes in the data blob; the code, and ggml's status if that is 0. */
int64_t graph_run(struct guest *g, uint32_t res, uint64_t size, int32_t *status);
/* Puts it, computes it: the code, or 1000 + status where ggml failed. */
int64_t graph_try(struct guest *g, const struct wire_graph *w);

/* The guest's context is of use: a small graph gets its right result. */
bool guest_computes(struct guest *g);

#endif
