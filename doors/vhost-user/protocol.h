/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user protocol as far as this device speaks it: numbers, messages, and the channel that carries
 * them. The same framing serves both directions: the main channel, where QEMU asks, and the backend channel,
 * where we ask and QEMU answers.
 */
#ifndef VHOST_USER_PROTOCOL_H
#define VHOST_USER_PROTOCOL_H

#include <assert.h>

#include "proto/util.h"

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_GET_SHMEM_CONFIG = 44,
	VU_REQUEST_COUNT
};

enum vu_backend_request {
	VU_BACKEND_SHMEM_MAP = 9,
	VU_BACKEND_SHMEM_UNMAP = 10,
};

/* header flags */
#define VU_VERSION      0x1u
#define VU_VERSION_MASK 0x3u
#define VU_REPLY        0x4u
#define VU_NEED_REPLY   0x8u

/* feature bit of the device that switches protocol features on */
#define VU_F_PROTOCOL_FEATURES 30

/* protocol features */
enum vu_protocol_feature {
	VU_PF_MQ = 0,
	VU_PF_REPLY_ACK = 3,
	VU_PF_BACKEND_REQ = 5,
	VU_PF_CONFIG = 9,
	VU_PF_BACKEND_SEND_FD = 10,
	VU_PF_CONFIGURE_MEM_SLOTS = 15,
	VU_PF_SHMEM = 22,
};

/* SET_VRING_KICK, CALL and ERR: the ring's number, and whether a descriptor comes along */
#define VU_VRING_INDEX_MASK 0xffu
#define VU_VRING_NO_FD      0x100u

#define VU_SHMEM_READ_WRITE 1u

#define VU_TABLE_REGIONS 8u
#define VU_CONFIG_MAX    256u
#define VU_SHMEM_REGIONS 256u

struct vu_header {
	uint32_t request, flags, size;
};
static_assert(sizeof(struct vu_header) == 12, "wire");

struct vu_vring_state {
	uint32_t index, num;
};
static_assert(sizeof(struct vu_vring_state) == 8, "wire");

struct vu_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log; /* addresses in QEMU's process */
};
static_assert(sizeof(struct vu_vring_addr) == 40, "wire");

struct vu_region {
	uint64_t gpa, size, uva, offset;
};
static_assert(sizeof(struct vu_region) == 32, "wire");

struct vu_mem_table {
	uint32_t count, pad;
	struct vu_region regions[VU_TABLE_REGIONS];
};
static_assert(sizeof(struct vu_mem_table) == 264, "wire");

struct vu_mem_reg {
	uint64_t pad;
	struct vu_region region;
};
static_assert(sizeof(struct vu_mem_reg) == 40, "wire");

struct vu_config {
	uint32_t offset, size, flags;
	uint8_t data[VU_CONFIG_MAX];
};
static_assert(sizeof(struct vu_config) == 268, "wire");
#define VU_CONFIG_HEADER 12u

struct vu_shmem_config {
	uint32_t count, pad;
	uint64_t sizes[VU_SHMEM_REGIONS]; /* by shmid */
};
static_assert(sizeof(struct vu_shmem_config) == 2056, "wire");

struct vu_mmap {
	uint8_t shmid, pad[7];
	uint64_t fd_offset, shm_offset, len, flags;
};
static_assert(sizeof(struct vu_mmap) == 40, "wire");

union vu_body {
	uint64_t u64;
	struct vu_vring_state vring_state;
	struct vu_vring_addr vring_addr;
	struct vu_mem_table mem_table;
	struct vu_mem_reg mem_reg;
	struct vu_config config;
	struct vu_shmem_config shmem_config;
	struct vu_mmap mmap;
};

#define VU_FDS_MAX 8u

/* A connection and the message that is coming in on it, piece by piece. */
struct vu_channel {
	int fd;      /* -1: none */
	size_t have; /* bytes of header and body so far */
	struct vu_header hdr;
	union vu_body body;
	int fds[VU_FDS_MAX];
	unsigned fd_count;
};

/* Takes ownership of fd, which becomes non-blocking and close-on-exec. */
int vu_channel_open(struct vu_channel *c, int fd);
void vu_channel_close(struct vu_channel *c);

/* Goes on reading, never waits: 1 when a whole message is there, 0 when more must come, -ECONNRESET at the
 * end, else -errno. After 1 the caller handles the message and calls vu_channel_next(), which closes the
 * descriptors that nobody took. */
int vu_channel_read(struct vu_channel *c);
void vu_channel_next(struct vu_channel *c);
/* The message's i-th descriptor, handed over; -1 when it brought none. */
int vu_channel_take_fd(struct vu_channel *c, unsigned i);

/* Sends one message; fd (-1: none) goes along. Waits only while the socket's buffer is full. */
int vu_channel_send(struct vu_channel *c, uint32_t request, uint32_t flags, const void *body, uint32_t size, int fd);

const char *vu_request_name(uint32_t request);

#endif
