/* SPDX-License-Identifier: MIT */
/*
 * APIR 0.2 as it travels: the numbers and structures that llama.cpp's ggml-virtgpu and its hypervisor side
 * agree on, and our own extensions, which an older peer ignores or answers with "invalid index".
 *
 * A command is one EXECBUFFER payload (at most APIR_CMD_MAX bytes here; upstream's guest never sends more):
 *     int32 type, int32 flags, uint32 reply resource, arguments
 * With the Venus capset the guest adds APIR_VENUS_TYPE_BASE to `type`. The reply lies in the reply blob: an
 * atomic uint32 that the guest zeroes before it submits and in which the host stores 1 + code when the bytes
 * that follow it are complete.
 */
#ifndef PROTO_APIR_WIRE_H
#define PROTO_APIR_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APIR_PROTOCOL_MAJOR 0u
#define APIR_PROTOCOL_MINOR 2u

/* virtio-gpu capability sets */
#define APIR_CAPSET_APIR  10u
#define APIR_CAPSET_VENUS 4u

struct apir_capset {
	uint32_t version;                 /* 1 */
	uint32_t supports_blob_resources; /* 1 */
	uint32_t reserved[4];
};
static_assert(sizeof(struct apir_capset) == 24, "wire");
#define APIR_CAPSET_VENUS_SIZE 160u /* what guests expect of capset 4; APIR's data, then zeros */

/* commands */
enum apir_type {
	APIR_HANDSHAKE = 0,   /* uint32 guest major, minor [, struct apir_greeting [, struct apir_ring_offer]]
		   -> uint32 host major, minor [, uint32 APIR_GREETING_MAGIC] [, uint32 APIR_RING_MAGIC] */
	APIR_LOADLIBRARY = 1, /* nothing -> nothing; the code tells */
	APIR_FORWARD = 2,     /* flags = enum apir_fn; arguments and reply are the function's */
	APIR_TYPE_COUNT,
	APIR_DOORBELL = 0x100, /* ours: nothing, and nothing is answered; it wakes who reads the ring */
};
#define APIR_VENUS_TYPE_BASE 331
#define APIR_HANDSHAKE_MAGIC 0xab1eu
#define APIR_CMD_HEADER_SIZE 12u
#define APIR_CMD_MAX         0x10000u
#define APIR_REPLY_BLOB_SIZE 0x4000u
#define APIR_DATA_BLOB_SIZE  0x1830000u
#define APIR_BLOB_GRANULE    0x4000u

/*
 * Ours: appended to the handshake's arguments. The worker keeps the word at `offset` of the blob `res_id`
 * changing at least every APIR_HEARTBEAT_MS while it lives, from then on; a host that understood says so with
 * APIR_GREETING_MAGIC behind its version. A word that stands still says that the host does; one that is
 * APIR_HEARTBEAT_GONE, that the host's worker or its door has ended: who is left writes it.
 *
 * The word behind it is the host's own, where the offset is a multiple of 8: the door changes it as often, and the
 * worker's beat stops when that does.
 */
#define APIR_GREETING_MAGIC 0x54524248u /* "HBRT" */
#define APIR_HEARTBEAT_MS   200
#define APIR_HEARTBEAT_GONE UINT32_MAX /* counting leaves it out */
struct apir_greeting {
	uint32_t magic;
	uint32_t res_id;
	uint32_t offset; /* bytes, multiple of 4 */
};
static_assert(sizeof(struct apir_greeting) == 12, "wire");

/* Ours: behind the greeting, in a handshake of its own, since the first is known by its size. Commands may come by the ring in
 * that blob (proto/ring.h), past the door; a host that says APIR_RING_MAGIC reads it from then on. */
#define APIR_RING_MAGIC 0x474e4952u /* "RING" */
struct apir_ring_offer {
	uint32_t magic;
	uint32_t res_id;
};
static_assert(sizeof(struct apir_ring_offer) == 8, "wire");

/* LOADLIBRARY's codes; APIR_LOAD_INIT + n: the backend library was opened, and its initialise returned n. That is one of
 * these from APIR_LOAD_ENV_MISSING to APIR_LOAD_SYMBOL_MISSING, about the GGML library, or APIR_LOAD_INIT + its own
 * enum apir_init_code. So a success of it is APIR_LOAD_INIT, which LOADLIBRARY tells as APIR_LOAD_OK. */
enum apir_load_code {
	APIR_LOAD_OK = 0,
	APIR_LOAD_HYPERCALL = 1,
	APIR_LOAD_ALREADY = 2,
	APIR_LOAD_ENV_MISSING = 3,
	APIR_LOAD_CANNOT_OPEN = 4,
	APIR_LOAD_SYMBOL_MISSING = 5,
	APIR_LOAD_INIT = 6,
};

/* What apir_backend_initialize() adds to APIR_LOAD_INIT when the GGML library was opened but is of no use. */
enum apir_init_code {
	APIR_INIT_OK = 0,
	APIR_INIT_FAILED = 5,     /* upstream's, for what it has no name for */
	APIR_INIT_NO_REG = 6,     /* the registration function returned NULL */
	APIR_INIT_ALREADY = 7,    /* the context has a library */
	APIR_INIT_NO_DEVICE = 8,  /* the library offers no device */
	APIR_INIT_NO_BACKEND = 9, /* the device could not be initialised */

	/* Ours. An original guest prints the number. */
	APIR_INIT_BAD_ABI = 100, /* a ggml that we don't know */
	APIR_INIT_NO_MEMORY = 101,
};

/* FORWARD's codes: what the dispatch says itself, or APIR_FORWARD_BASE + n, n the function's own code (enum apir_fn_code).
 * Upstream's guest takes anything below the base for a failure, 0 too. */
enum apir_forward_code {
	APIR_FORWARD_OLD_OK =
		0, /* ours: a guest that greeted hears this for APIR_FORWARD_OK; our first take no other */
	APIR_FORWARD_NO_DISPATCH = 1,
	APIR_FORWARD_TIMEOUT = 2,
	APIR_FORWARD_NO_SYNC = 3,
	APIR_FORWARD_BASE = 4,
	APIR_FORWARD_OK = APIR_FORWARD_BASE, /* + APIR_FN_OK */
};

/* Whether a FORWARD's code says that the function did it. */
static inline bool apir_forward_ok(int64_t code)
{
	return code == APIR_FORWARD_OK || code == APIR_FORWARD_OLD_OK;
}

/* The dispatcher's codes. Upstream's functions answer 0 or 1; APIR_FN_INVALID is upstream's for an index of no function. */
enum apir_fn_code {
	APIR_FN_OK = 0,
	APIR_FN_FAILED = 1,  /* it was understood and could not be done */
	APIR_FN_REFUSED = 2, /* malformed, or a handle or range that isn't the context's */
	APIR_FN_INVALID = 6,
};

enum apir_fn {
	APIR_FN_DEVICE_COUNT_OLD = 0,       /* -> int32 */
	APIR_FN_DEVICE_COUNT = 1,           /* -> int32 */
	APIR_FN_DEVICE_NAME = 2,            /* -> string */
	APIR_FN_DEVICE_DESCRIPTION = 3,     /* -> string */
	APIR_FN_DEVICE_TYPE = 4,            /* -> uint32 */
	APIR_FN_DEVICE_MEMORY = 5,          /* -> size free, size total */
	APIR_FN_DEVICE_SUPPORTS_OP = 6,     /* raw ggml_tensor structs -> bool */
	APIR_FN_DEVICE_BUFFER_TYPE = 7,     /* -> handle */
	APIR_FN_DEVICE_PROPS = 8,           /* -> bool async, host_buffer, buffer_from_host_ptr, events, mmap_support */
	APIR_FN_DEVICE_BUFFER_FROM_PTR = 9, /* uint32 res, size, size max_tensor -> buffer handle, buffer type handle */
	APIR_FN_BUFT_NAME = 10,             /* handle -> string */
	APIR_FN_BUFT_ALIGNMENT = 11,        /* handle -> size */
	APIR_FN_BUFT_MAX_SIZE = 12,         /* handle -> size */
	APIR_FN_BUFT_IS_HOST = 13,          /* handle -> bool, always false */
	APIR_FN_BUFT_ALLOC_BUFFER = 14,     /* handle, size -> buffer handle, 0: out of memory */
	APIR_FN_BUFT_ALLOC_SIZE = 15,       /* handle, raw ggml_tensor structs -> size */
	APIR_FN_BUFFER_BASE = 16,           /* buffer -> uint64 */
	APIR_FN_BUFFER_SET_TENSOR = 17,     /* buffer, tensor, uint32 res, size offset, size n */
	APIR_FN_BUFFER_GET_TENSOR = 18,     /* buffer, tensor, uint32 res, size offset, size n */
	APIR_FN_BUFFER_CPY_TENSOR = 19,     /* buffer, tensor src, tensor dst -> bool */
	APIR_FN_BUFFER_CLEAR = 20,          /* buffer, uint8 */
	APIR_FN_BUFFER_FREE = 21,           /* buffer */
	APIR_FN_GRAPH_COMPUTE = 22,         /* uint32 res, size n -> int32 ggml_status */
	APIR_FN_COUNT,

	/* Ours. An older host answers APIR_FN_INVALID. */
	APIR_FN_HELLO =
		0x100, /* uint32 version, uint64 features -> uint32 version, uint64 features that hold from now on */
	APIR_FN_WRITE =
		0x101, /* times: struct apir_write, its bytes padded to 8; several small set_tensors in one command */
	APIR_FN_GRAPH_AGAIN =
		0x102, /* as GRAPH_COMPUTE, of a blob that holds what it held when it was computed last: the host needn't
			  look; where it doesn't know it any more it does */
	APIR_FN_SYNCHRONIZE = 0x103, /* nothing -> nothing, once all that was begun is over */
	APIR_FN_GRAPH_OPTIMIZE =
		0x104, /* uint32 res, size n: a graph without memory -> uint32 n_deps; the blob then begins with uint32
			  order[n_nodes], which node is to come there, and struct apir_dep[n_deps] */
	APIR_FN_SET_TENSOR_AT =
		0x105, /* buffer, tensor, uint32 res, size at, size offset, size n: as SET_TENSOR, but the bytes lie
					  in the blob from `at` on */
	APIR_FN_GET_TENSOR_AT = 0x106, /* likewise */
	APIR_FN_NAMES =
		0x108, /* string: the guest's ggml version -> string: the host's, and its names (ggml-abi/names.h); from
			  then on operations and types travel by the host's numbers */
};

#define APIR_HELLO_VERSION 1u
/* struct apir_tensor's use_count is the count of the guest's graph. */
#define APIR_FEATURE_USE_COUNTS UINT64_C(1)
/* APIR_FN_WRITE is understood. */
#define APIR_FEATURE_WRITE UINT64_C(2)
/* APIR_FN_NAMES is understood. */
#define APIR_FEATURE_NAMES UINT64_C(8)
/* struct apir_tensor's memory is told. */
#define APIR_FEATURE_MEMORY UINT64_C(16)

/* APIR_FN_GRAPH_AGAIN is understood. */
#define APIR_FEATURE_AGAIN UINT64_C(32)
/* A graph's computation is answered once it has begun. Whatever else is asked for waits until it is over, but for GRAPH_OPTIMIZE. */
#define APIR_FEATURE_ASYNC UINT64_C(64)
/* APIR_FN_GRAPH_OPTIMIZE is understood, and may change something. */
#define APIR_FEATURE_OPTIMIZE UINT64_C(128)
#define APIR_OPTIMIZE_MAX     (UINT64_C(4) << 20) /* bytes of a graph; the answer takes no more than those */
/* APIR_FN_SET_TENSOR_AT and APIR_FN_GET_TENSOR_AT are understood. */
#define APIR_FEATURE_AT UINT64_C(256)

/* What a tensor's memory is for: 0, not told; else 1 + ggml's usage of the buffer, as it is now. */
#define APIR_MEMORY_USAGE     0xffu
#define APIR_MEMORY_USAGE_MAX 3u
/* It is a part of another tensor that isn't told: what lies behind it isn't its own. */
#define APIR_MEMORY_PART 0x100u

struct apir_write {
	uint64_t buffer;
	uint64_t start, size; /* within the buffer, bytes */
};
static_assert(sizeof(struct apir_write) == 24, "wire");

/* A tensor within set_tensor, get_tensor, cpy_tensor and a graph: C layout, natural alignment. */
struct apir_tensor {
	uint64_t id; /* the guest's own name for it, unique within a graph */
	uint32_t type;
	uint32_t memory; /* upstream: padding, undefined. Ours, once hello agreed on it: APIR_MEMORY_* */
	uint64_t buffer; /* handle, 0: none */
	uint32_t ne[4];  /* elements */
	uint32_t nb[4];  /* bytes; strides of 4 GiB and more don't fit */
	uint32_t op;
	int32_t op_params[16];
	int32_t flags;
	uint64_t src[10]; /* ids, 0: none */
	uint64_t view_src;
	uint64_t view_offs; /* bytes */
	uint64_t data;      /* offset from the buffer's base, bytes */
	char name[64];
	uint32_t use_count; /* upstream: padding, undefined. Ours, once hello agreed on it: the guest graph's count */
	uint32_t pad1;
};
static_assert(sizeof(struct apir_tensor) == 304, "wire");
static_assert(offsetof(struct apir_tensor, src) == 128, "wire");
static_assert(offsetof(struct apir_tensor, data) == 224, "wire");
static_assert(offsetof(struct apir_tensor, use_count) == 296, "wire");

/* A graph in a blob: uint32 n_nodes, uint64 ids[n_nodes], uint32 n_tensors, struct apir_tensor[n_tensors]; packed. */

/* The tensor's memory isn't to be another's until that node has been computed: places in the graph's two lists. */
struct apir_dep {
	uint32_t tensor, until;
};
static_assert(sizeof(struct apir_dep) == 8, "wire");

#endif
