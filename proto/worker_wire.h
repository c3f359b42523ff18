/* SPDX-License-Identifier: MIT */
/*
 * What a door's APIR component and a worker say to each other, one SOCK_SEQPACKET message each, on the worker's
 * descriptor WORKER_FD. The worker is presumed compromised: the door believes nothing but "this fence is done", and does no
 * more than stores in the context's own memory for "the heartbeat is there".
 */
#ifndef PROTO_WORKER_WIRE_H
#define PROTO_WORKER_WIRE_H

#include <assert.h>
#include <stdint.h>

#define WORKER_FD 3

enum worker_msg_type {
	WORKER_CONFIG = 1, /* -> worker: payload key NUL value NUL; replaces an earlier value */
	WORKER_BLOB_ADD,   /* -> worker: res_id, value = size in bytes; the memfd comes along */
	WORKER_BLOB_DEL,   /* -> worker: res_id */
	WORKER_SUBMIT,     /* -> worker: payload: one or more times struct worker_cmd and the command, padded to 8 */
	WORKER_FENCE,      /* -> worker: ring, value = fence id; answered by: */
	WORKER_FENCE_DONE, /* <- worker: ring, value = fence id */
	WORKER_BEAT,       /* <- worker: res_id, value = offset: where the guest watches its heartbeat; once */
};

struct worker_msg {
	uint32_t type;
	uint32_t id; /* res_id or ring */
	uint64_t value;
};
static_assert(sizeof(struct worker_msg) == 16, "wire");

struct worker_cmd {
	uint32_t ring;
	uint32_t size; /* of the command, bytes */
};
static_assert(sizeof(struct worker_cmd) == 8, "wire");

/*
 * To a server that starts workers for VMMs that may not: one message, and with it the worker's end of a socket pair. The
 * server closes the connection when the worker has ended; the VMM's hanging up ends the worker.
 */
struct worker_request {
	uint32_t magic;
	uint32_t ctx_id;
};
static_assert(sizeof(struct worker_request) == 8, "wire");

#define WORKER_REQUEST_MAGIC 0x4b524f57u /* "WORK" */

#define WORKER_PAYLOAD_MAX 0x18000u

#endif
