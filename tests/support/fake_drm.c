/* SPDX-License-Identifier: MIT */
/* See fake_drm.h. Blobs lie one behind the other in a memfd, which is the node; a fence is an eventfd. */
#include "tests/support/fake_drm.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/transport/virtgpu_uapi.h"

#define SPACE     ((size_t)64 << 20)
#define MAX_BLOBS 64

static struct {
	const struct fake_drm *_Atomic now;
	uint32_t capset;
	int caps_asked;
	int memory;
	int fence; /* the last one, ours to signal; -1: none */
	char *mapped;
	size_t at[MAX_BLOBS + 1]; /* where blob i + 1 starts */
	uint32_t n_blobs;
} fake = { .fence = -1 };

void fake_drm_be(const struct fake_drm *d)
{
	fake.now = d;
	if (!d)
		return;
	if (fake.mapped) {
		munmap(fake.mapped, SPACE);
		close(fake.memory);
		fake.mapped = NULL;
	}
	fake.capset = fake.n_blobs = 0;
	fake.caps_asked = 0;
	if (!d->execute)
		return;
	fake.memory = memfd_create("fake-drm", MFD_CLOEXEC);
	if (ftruncate(fake.memory, (off_t)SPACE) == 0)
		fake.mapped = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED, fake.memory, 0);
}

uint32_t fake_drm_capset(void)
{
	return fake.capset;
}

void *fake_drm_blob(uint32_t res_id)
{
	return res_id && res_id <= fake.n_blobs ? fake.mapped + fake.at[res_id - 1] : NULL;
}

void fake_drm_signal(void)
{
	if (fake.fence >= 0)
		eventfd_write(fake.fence, 1);
}

int drmGetDevices2(uint32_t flags, drmDevicePtr devices[], int max)
{
	static char node[] = FAKE_DRM_NODE;
	static char *nodes[DRM_NODE_MAX];
	static drmDevice device = { .nodes = nodes, .available_nodes = 1 << DRM_NODE_RENDER };
	const struct fake_drm *now = fake.now;

	(void)flags, (void)max;
	nodes[DRM_NODE_RENDER] = node;
	devices[0] = &device;
	return now && now->driver ? 1 : 0;
}

void drmFreeDevices(drmDevicePtr devices[], int count)
{
	(void)devices, (void)count;
}

drmVersionPtr drmGetVersion(int fd)
{
	const struct fake_drm *now = fake.now;
	static drmVersion v;

	(void)fd;
	v.name = (char *)(uintptr_t)now->driver;
	return &v;
}

void drmFreeVersion(drmVersionPtr v)
{
	(void)v;
}

static int param_get(const struct fake_drm *now, const struct virtgpu_getparam *p)
{
	*(int *)(uintptr_t)p->value = !((p->param == VIRTGPU_HAS_CONTEXT_INIT && now->no_contexts) ||
					(p->param == VIRTGPU_HAS_BLOBS && now->no_blobs) ||
					(p->param == VIRTGPU_HAS_HOST_VISIBLE && now->no_window));
	return 0;
}

static int context_make(const struct fake_drm *now, const struct virtgpu_context_init *c)
{
	const struct virtgpu_context_param *params = (const void *)(uintptr_t)c->params;

	for (uint32_t i = 0; i < c->count; i++) {
		if (params[i].key == VIRTGPU_CONTEXT_CAPSET)
			fake.capset = (uint32_t)params[i].value;
	}
	errno = now->context_error;
	return errno ? -1 : 0;
}

static int blob_make(struct virtgpu_create_blob *b)
{
	uint32_t n = fake.n_blobs;

	if (n == MAX_BLOBS || b->size > SPACE - fake.at[n]) {
		errno = ENOSPC;
		return -1;
	}
	fake.at[n + 1] = fake.at[n] + b->size;
	fake.n_blobs++;
	b->handle = b->res_id = fake.n_blobs;
	return 0;
}

static int execute(const struct fake_drm *now, struct virtgpu_execbuffer *e)
{
	bool fence = e->flags & VIRTGPU_EXEC_FENCE_FD_OUT;

	e->fence_fd = -1;
	errno = now->failing ? now->failing() : 0;
	if (errno)
		return -1;
	if (fence && now->no_fence) { /* nothing is sent then */
		errno = now->no_fence;
		return -1;
	}
	if (fence) {
		if (fake.fence >= 0)
			close(fake.fence);
		fake.fence = eventfd(0, EFD_CLOEXEC);
		e->fence_fd = dup(fake.fence);
	}
	now->execute((const void *)(uintptr_t)e->command, e->size, fence);
	return 0;
}

int drmIoctl(int fd, unsigned long request, void *arg)
{
	const struct fake_drm *now = fake.now;

	(void)fd;
	if (!now) {
		errno = ENODEV;
		return -1;
	}
	if (request == VIRTGPU_IOCTL_GETPARAM)
		return param_get(now, arg);
	if (request == VIRTGPU_IOCTL_GET_CAPS && fake.caps_asked++ < now->slow_capsets) {
		errno = EBUSY;
		return -1;
	}
	if (request == VIRTGPU_IOCTL_GET_CAPS && now->capsets & 1u << ((struct virtgpu_get_caps *)arg)->id)
		return 0;
	if (request == VIRTGPU_IOCTL_CONTEXT_INIT)
		return context_make(now, arg);
	if (now->execute && request == VIRTGPU_IOCTL_CREATE_BLOB)
		return blob_make(arg);
	if (now->execute && request == VIRTGPU_IOCTL_MAP) {
		struct virtgpu_map *m = arg;

		m->offset = fake.at[m->handle - 1];
		return 0;
	}
	if (now->execute && request == VIRTGPU_IOCTL_EXECBUFFER)
		return execute(now, arg);
	if (now->execute && request == DRM_IOCTL_GEM_CLOSE)
		return 0;
	errno = EINVAL;
	return -1;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	const struct fake_drm *now = fake.now;

	if (strcmp(path, FAKE_DRM_NODE) != 0)
		return __real_open64(path, flags);
	errno = now->locked;
	return errno ? -1 : dup(now->execute ? fake.memory : STDIN_FILENO);
}
