/* SPDX-License-Identifier: MIT */
/*
 * The original's guest (tests/protocol/original_guest.h) on a render node: original NODE CAPSET MOST. It computes, makes buffers
 * of 16 KiB, at most so many and until there are no more, frees none, and computes again. It prints
 * "original: N buffers; right".
 */
#include <drm/virtgpu_drm.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "../protocol/original_guest.h"

#define BUFFER 16384

static int node;

static bool node_blob(size_t size, struct original_blob *out)
{
	struct drm_virtgpu_resource_create_blob b = {
		.blob_mem = VIRTGPU_BLOB_MEM_HOST3D,
		.blob_flags = VIRTGPU_BLOB_FLAG_USE_MAPPABLE,
		.size = (size + 0x3fff) & ~(size_t)0x3fff,
	};
	struct drm_virtgpu_map m = { 0 };
	void *p;

	if (ioctl(node, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, &b) < 0) {
		fprintf(stderr, "original: create_blob: %s\n", strerror(errno));
		return false;
	}
	m.handle = b.bo_handle;
	if (ioctl(node, DRM_IOCTL_VIRTGPU_MAP, &m) < 0) {
		fprintf(stderr, "original: map: %s\n", strerror(errno));
		return false;
	}
	p = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_SHARED, node, (off_t)m.offset);
	if (p == MAP_FAILED) {
		fprintf(stderr, "original: mmap: %s\n", strerror(errno));
		return false;
	}
	*out = (struct original_blob){ .res = b.res_handle, .ptr = p, .size = b.size };
	return true;
}

static bool node_submit(const void *cmd, size_t size)
{
	struct drm_virtgpu_execbuffer e = {
		.flags = VIRTGPU_EXECBUF_RING_IDX,
		.size = (__u32)size,
		.command = (__u64)(uintptr_t)cmd,
	};

	return ioctl(node, DRM_IOCTL_VIRTGPU_EXECBUFFER, &e) == 0;
}

static void node_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 15000 }, NULL);
}

static bool node_open(const char *path, uint32_t capset)
{
	struct drm_virtgpu_context_set_param params[] = {
		{ VIRTGPU_CONTEXT_PARAM_CAPSET_ID, capset },
		{ VIRTGPU_CONTEXT_PARAM_NUM_RINGS, 1 },
		{ VIRTGPU_CONTEXT_PARAM_POLL_RINGS_MASK, 0 },
	};
	struct drm_virtgpu_context_init c = { .num_params = 3, .ctx_set_params = (__u64)(uintptr_t)params };
	uint32_t caps[40] = { 0 };
	struct drm_virtgpu_get_caps g = { .cap_set_id = capset, .addr = (__u64)(uintptr_t)caps, .size = sizeof caps };

	node = open(path, O_RDWR | O_CLOEXEC);
	if (node < 0 || ioctl(node, DRM_IOCTL_VIRTGPU_GET_CAPS, &g) < 0 || !caps[1] ||
		ioctl(node, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &c) < 0) {
		fprintf(stderr, "original: %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct original_device device = { node_blob, node_submit, node_pause };
	struct original_buffer first;
	struct original g;
	uint32_t capset = argc == 4 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	unsigned n = 0, most = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (!capset || !node_open(argv[1], capset))
		return 2;
	if (!original_open(&g, &device, capset)) {
		fprintf(stderr, "original: LOADLIBRARY: code %u\n", g.load_code);
		return 1;
	}
	original_ask(&g);
	first = original_alloc(&g, 4096);
	if (!first.handle || !original_adds(&g, &first))
		return 1;
	while (n < most && original_alloc(&g, BUFFER).handle)
		n++;
	printf("original: %u buffers; %s\n", n, original_adds(&g, &first) ? "right" : "wrong");
	return 0;
}
