/* SPDX-License-Identifier: MIT */
/* What the plugin's parts share: one plugin, one device, the ggml that loaded it. */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "ggml-abi/names.h"
#include "guest/buffer.h"
#include "guest/turn.h"
#include "guest/entry.h"
#include "guest/loss.h"
#include "guest/memo.h"
#include "proto/idmap.h"

struct plugin {
	struct abi_symbols fn;
	enum abi_version api;
	bool idle[ABI_N_OPS];        /* operations that compute nothing */
	uint16_t written[ABI_N_OPS]; /* sources that operations write to, a bit each */
	bool has_counts;             /* use counts can be read: ggml-abi/counts.h */
	struct abi_numbers numbers;  /* from our ggml's to the wire's */
	char host_version[32];       /* of the host's ggml; empty: it doesn't tell */
	struct session session;
	struct abi_reg reg;
	size_t n_devices;
	struct abi_device device;
	char device_name[16];
	char device_description[160];
	union abi_buft buft;
	uint64_t buft_handle;              /* the host's name for the device's buffer type */
	size_t alignment, max_size;        /* of buffers, bytes */
	struct memo supports, alloc_sizes; /* the host's answers, by shape */
};

extern struct plugin plugin;

/* Whether the tensor, as a node, computes nothing: it looks at what another one has. */
static inline bool op_idle(const struct abi_tensor *t)
{
	return t->op >= 0 && t->op < ABI_N_OPS && plugin.idle[t->op];
}

/* Whether the node writes to its source i, as it does to its result. */
static inline bool op_writes(const struct abi_tensor *t, int i)
{
	return t->op >= 0 && t->op < ABI_N_OPS && plugin.written[t->op] >> i & 1;
}

/* device.c: the device's name, from its variable or as ever; 0 or -errno and a line. */
int device_name_choose(char *err, size_t err_size);
/* Asks the host about its device; 0 or -errno and a line. */
int device_setup(char *err, size_t err_size);
/* names.c: agrees with the host on what numbers mean; 0 or -errno. */
int names_agree(void);
/* buffer_type.c */
void buffer_type_setup(void);
/* stream.c: ggml's init_backend for our device */
struct abi_backend *stream_new(struct abi_device *dev, const char *params);

/* tensor.c. The buffer that the tensor lies in, or what it views; NULL: none yet. */
const struct abi_buffer *tensor_memory(const struct abi_tensor *t);
/* Why a tensor can't travel, as the end of a sentence: another's buffer, or a dimension or stride past 32 bits.
 * NULL: it can. */
const char *tensor_fault(const struct abi_tensor *t);
/* Into wire form, without sources and view. False where tensor_fault() says why it can't be. */
bool tensor_encode(const struct abi_tensor *t, struct apir_tensor *w);
/* What the host is told of its memory: APIR_MEMORY_*. A program may change it at any time, and without a call. */
uint32_t tensor_memory_told(const struct abi_tensor *t);
/* Adds what is to be computed to a tensor that was encoded as data. False: the host's ggml has no such operation. */
bool tensor_encode_op(const struct abi_tensor *t, struct apir_tensor *w);
/* Whether the host's ggml has its type and its sources', and the operation itself. */
bool tensor_types_known(const struct abi_tensor *t);
bool tensor_op_known(const struct abi_tensor *t);
/* Whether shape and strides fit the protocol's 32 bits. */
bool tensor_fits(const struct abi_tensor *t);
/* Appends the raw structs that supports_op and get_alloc_size take. */
void tensor_encode_raw(struct call *c, const struct abi_tensor *op);

/* graph.c: computes the stream's graph on the host; ggml's status. */
int32_t graph_compute(struct stream *stream, struct abi_graph *graph);

#endif
