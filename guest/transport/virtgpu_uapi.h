/* SPDX-License-Identifier: MIT */
/*
 * The virtio-gpu driver's ioctls that APIR needs, by Linux's ABI: blobs and contexts came with Linux 5.16,
 * and the headers that distributions ship are older. All are read-write ioctls of the driver's own range.
 */
#ifndef GUEST_TRANSPORT_VIRTGPU_UAPI_H
#define GUEST_TRANSPORT_VIRTGPU_UAPI_H

#include <assert.h>
#include <stdint.h>

#include <xf86drm.h>

#define VIRTGPU_IOCTL(nr, type) DRM_IOWR(DRM_COMMAND_BASE + (nr), type)

struct virtgpu_map {
	uint64_t offset; /* out: for mmap() on the node */
	uint32_t handle;
	uint32_t pad;
};
static_assert(sizeof(struct virtgpu_map) == 16, "kernel ABI");
#define VIRTGPU_IOCTL_MAP VIRTGPU_IOCTL(0x01, struct virtgpu_map)

enum virtgpu_exec_flag { VIRTGPU_EXEC_FENCE_FD_OUT = 2, VIRTGPU_EXEC_RING_IDX = 4 };
struct virtgpu_execbuffer {
	uint32_t flags;
	uint32_t size;    /* of the command, bytes */
	uint64_t command; /* its address */
	uint64_t bo_handles;
	uint32_t bo_handle_count;
	int32_t fence_fd; /* out, with FENCE_FD_OUT */
	uint32_t ring_idx;
	uint32_t pad;
};
static_assert(sizeof(struct virtgpu_execbuffer) == 40, "kernel ABI");
#define VIRTGPU_IOCTL_EXECBUFFER VIRTGPU_IOCTL(0x02, struct virtgpu_execbuffer)

enum virtgpu_param_id {
	VIRTGPU_HAS_3D = 1,
	VIRTGPU_HAS_BLOBS = 3,
	VIRTGPU_HAS_HOST_VISIBLE = 4,
	VIRTGPU_HAS_CONTEXT_INIT = 6,
};
struct virtgpu_getparam {
	uint64_t param;
	uint64_t value; /* address of an int */
};
static_assert(sizeof(struct virtgpu_getparam) == 16, "kernel ABI");
#define VIRTGPU_IOCTL_GETPARAM VIRTGPU_IOCTL(0x03, struct virtgpu_getparam)

struct virtgpu_get_caps {
	uint32_t id;
	uint32_t version;
	uint64_t addr;
	uint32_t size;
	uint32_t pad;
};
static_assert(sizeof(struct virtgpu_get_caps) == 24, "kernel ABI");
#define VIRTGPU_IOCTL_GET_CAPS VIRTGPU_IOCTL(0x09, struct virtgpu_get_caps)

#define VIRTGPU_MEM_HOST3D    2u
#define VIRTGPU_BLOB_MAPPABLE 1u
struct virtgpu_create_blob {
	uint32_t mem;
	uint32_t flags;
	uint32_t handle; /* out: GEM */
	uint32_t res_id; /* out: the host's */
	uint64_t size;
	uint32_t pad;
	uint32_t cmd_size;
	uint64_t cmd;
	uint64_t blob_id;
};
static_assert(sizeof(struct virtgpu_create_blob) == 48, "kernel ABI");
#define VIRTGPU_IOCTL_CREATE_BLOB VIRTGPU_IOCTL(0x0a, struct virtgpu_create_blob)

enum virtgpu_context_key { VIRTGPU_CONTEXT_CAPSET = 1, VIRTGPU_CONTEXT_RINGS = 2, VIRTGPU_CONTEXT_POLL_MASK = 3 };
struct virtgpu_context_param {
	uint64_t key;
	uint64_t value;
};
static_assert(sizeof(struct virtgpu_context_param) == 16, "kernel ABI");
struct virtgpu_context_init {
	uint32_t count;
	uint32_t pad;
	uint64_t params; /* address of struct virtgpu_context_param[count] */
};
static_assert(sizeof(struct virtgpu_context_init) == 16, "kernel ABI");
#define VIRTGPU_IOCTL_CONTEXT_INIT VIRTGPU_IOCTL(0x0b, struct virtgpu_context_init)

#endif
