/* SPDX-License-Identifier: MIT */
/*
 * virglrenderer's vtest protocol, version 3, as far as APIR needs it; spoken by the socket door and by the
 * plugin's socket transport.
 *
 * A stream of messages, each `uint32 length, uint32 command` and then `length` 32-bit words; only
 * CREATE_RENDERER, which comes first, counts its name in bytes (the NUL included). Replies repeat the
 * command. A descriptor comes behind the reply that announces it, as SCM_RIGHTS on a message of one byte.
 * There are no error replies: a server that refuses something hangs up.
 */
#ifndef PROTO_VTEST_WIRE_H
#define PROTO_VTEST_WIRE_H

#include <assert.h>
#include <stdint.h>

#define VTEST_VERSION 3u

struct vtest_header {
	uint32_t length; /* words; CREATE_RENDERER: bytes */
	uint32_t command;
};
static_assert(sizeof(struct vtest_header) == 8, "wire");

enum vtest_command {
	VTEST_GET_CAPS = 1, /* nothing -> the old GL capabilities */
	VTEST_RESOURCE_UNREF = 3,
	VTEST_RESOURCE_BUSY_WAIT = 7, /* uint32 resource, flags -> uint32 busy */
	VTEST_CREATE_RENDERER = 8,    /* the program's name */
	VTEST_PING_PROTOCOL_VERSION = 10,
	VTEST_PROTOCOL_VERSION = 11, /* uint32 client's -> uint32 agreed */
	VTEST_GET_PARAM = 15,        /* uint32 param -> uint32 valid, value */
	VTEST_GET_CAPSET = 16,       /* uint32 id, version -> uint32 valid [, the capset] */
	VTEST_CONTEXT_INIT = 17,     /* uint32 capset id */
	VTEST_RESOURCE_CREATE_BLOB = 18,
	VTEST_SYNC_CREATE = 19, /* uint64 value -> uint32 id */
	VTEST_SYNC_UNREF = 20,  /* uint32 id */
	VTEST_SYNC_READ = 21,   /* uint32 id -> uint64 value */
	VTEST_SYNC_WRITE = 22,  /* struct vtest_sync_point */
	VTEST_SYNC_WAIT = 23,   /* struct vtest_sync_wait, points -> descriptor, readable when they are reached */
	VTEST_SUBMIT_CMD2 = 24, /* uint32 batches, struct vtest_batch each, then commands and points */
	VTEST_COMMAND_COUNT
};

enum vtest_param { VTEST_PARAM_MAX_TIMELINE_COUNT = 1 };
#define VTEST_RINGS 64u

enum vtest_blob_type { VTEST_BLOB_GUEST = 1, VTEST_BLOB_HOST3D = 2, VTEST_BLOB_HOST3D_GUEST = 3 };
#define VTEST_BLOB_MAPPABLE 1u

/*
 * -> uint32 resource, then the blob's memfd. Ours: resource 0 and the byte without a descriptor say that the
 * host has no memory or no room for it; other servers hang up then.
 */
struct vtest_blob_create {
	uint32_t type, flags;
	uint32_t size_lo, size_hi;
	uint32_t id_lo, id_hi;
};
static_assert(sizeof(struct vtest_blob_create) == 24, "wire");

struct vtest_sync_point {
	uint32_t id;
	uint32_t value_lo, value_hi;
};
static_assert(sizeof(struct vtest_sync_point) == 12, "wire");

#define VTEST_SYNC_WAIT_ANY 1u
struct vtest_sync_wait {
	uint32_t flags;
	uint32_t timeout_ms; /* above INT32_MAX: none */
};
static_assert(sizeof(struct vtest_sync_wait) == 8, "wire");

#define VTEST_BATCH_RING 1u /* without it the points are reached as soon as the command was handed over */
struct vtest_batch {
	uint32_t flags;
	uint32_t cmd_offset, cmd_words; /* offsets are in words, from the number of batches on */
	uint32_t sync_offset, sync_count;
	uint32_t ring;
	uint32_t reserved[2]; /* a client may leave them out of the last batch */
};
static_assert(sizeof(struct vtest_batch) == 32, "wire");
#define VTEST_BATCH_WORDS     8u
#define VTEST_BATCH_WORDS_MIN 6u

static inline uint64_t vtest_u64(uint32_t lo, uint32_t hi)
{
	return (uint64_t)hi << 32 | lo;
}

#endif
