/* SPDX-License-Identifier: MIT */
/*
 * The transport of a virtual machine: a virtio-gpu render node.
 *
 * Opening tries the render nodes in turn and keeps the failure that came furthest, since that is the one to
 * tell about. Blobs are host memory that the kernel maps through the device's host-visible window. Commands
 * go out on ring 0, long ones with a fence whose descriptor wakes the waiter. A fence can come late (hosts that
 * poll for finished work) or before the word that it answers for is visible here, so waiting looks at the
 * word in growing steps, and a fence without the word is given GRACE_MS before the host counts as gone.
 * Where the host takes no fences, or the program can have none, there is only the word to look at, in steps that grow
 * with the wait.
 */
#include "guest/transport/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/transport/deadline.h"
#include "guest/transport/virtgpu_uapi.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define NODES_MAX     64
#define CAPS_TRIES    3
#define WAIT_SLICE_MS 50
#define GRACE_MS      50
#define GRACE_STEP_NS 100000L
#define LOOK_LEAST_NS 20000L
#define LOOK_MOST_NS  1000000L
#define LOOK_SHARE    16 /* of the time waited so far: that much later than it came an answer may be seen */

struct drm_transport {
	struct transport base;
	int fd;
	int fence_fd; /* of the last submission; -1: none yet */
	pid_t owner;  /* a forked child shares the node's handles, and must not close them */
	uint32_t padded[APIR_CMD_MAX / 4];
};

static struct drm_transport *drm_of(struct transport *t)
{
	return (struct drm_transport *)t;
}

static int node_ioctl(int fd, unsigned long request, void *arg)
{
	return drmIoctl(fd, request, arg) < 0 ? -errno : 0;
}

static void gem_close(int fd, uint32_t handle)
{
	struct drm_gem_close c = { .handle = handle };

	node_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &c);
}

/* The host's refusal of a blob shows only when the blob is mapped, as EINVAL; a full window as ENOSPC. */
static int blob_error(int err)
{
	return err == -EINVAL || err == -ENOSPC ? -EREMOTEIO : err;
}

static int blob_map(struct drm_transport *d, uint32_t handle, size_t size, void **ptr)
{
	struct virtgpu_map m = { .handle = handle };
	int err = node_ioctl(d->fd, VIRTGPU_IOCTL_MAP, &m);

	if (err)
		return err;
	*ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, (off_t)m.offset);
	return *ptr == MAP_FAILED ? -errno : 0;
}

static int drm_blob_create(struct transport *t, size_t size, struct shm *out)
{
	struct drm_transport *d = drm_of(t);
	struct virtgpu_create_blob b = {
		.mem = VIRTGPU_MEM_HOST3D,
		.flags = VIRTGPU_BLOB_MAPPABLE,
		.size = round_up(size, APIR_BLOB_GRANULE),
	};
	void *ptr = NULL;
	int err;

	if (!b.size)
		return -EINVAL;
	err = node_ioctl(d->fd, VIRTGPU_IOCTL_CREATE_BLOB, &b);
	if (err)
		return blob_error(err);
	err = blob_map(d, b.handle, b.size, &ptr);
	if (err) {
		gem_close(d->fd, b.handle);
		return blob_error(err);
	}
	*out = (struct shm){ .res_id = b.res_id, .handle = b.handle, .ptr = ptr, .size = b.size };
	return 0;
}

static void drm_blob_destroy(struct transport *t, struct shm *shm)
{
	struct drm_transport *d = drm_of(t);

	if (shm->ptr)
		munmap(shm->ptr, shm->size);
	if (shm->handle && d->owner == getpid())
		gem_close(d->fd, shm->handle);
	*shm = (struct shm){ 0 };
}

/* A thread may fork meanwhile: what is closed is forgotten first. */
static void fence_drop(struct drm_transport *d)
{
	int fd = fd_steal(&d->fence_fd);

	if (fd >= 0)
		close(fd);
}

/* e->fence_fd is the fence's, where one was asked for and could be had: a program that may have no more descriptors goes
 * without, since the word will tell, too. */
static int execute(const struct drm_transport *d, struct virtgpu_execbuffer *e, bool fence)
{
	int err;

	e->flags = VIRTGPU_EXEC_RING_IDX | (fence ? VIRTGPU_EXEC_FENCE_FD_OUT : 0);
	e->fence_fd = -1;
	err = node_ioctl(d->fd, VIRTGPU_IOCTL_EXECBUFFER, e);
	if (!fence || (err != -EMFILE && err != -ENFILE))
		return err;
	return e->size ? execute(d, e, false) : 0;
}

/* An empty command is a fence behind everything before it. */
static int drm_submit(struct transport *t, const void *cmd, size_t size, unsigned flags)
{
	bool fence = (flags & SUBMIT_FENCE) && t->takes_fences;
	struct drm_transport *d = drm_of(t);
	struct virtgpu_execbuffer e = { .size = (uint32_t)round_up(size, 4), .command = (uintptr_t)cmd };
	int err;

	if (size > sizeof d->padded)
		return -E2BIG;
	if (e.size != size) { /* hosts count in words */
		d->padded[e.size / 4 - 1] = 0;
		memcpy(d->padded, cmd, size);
		e.command = (uintptr_t)d->padded;
	}
	err = execute(d, &e, fence);
	if (err)
		return err;
	fence_drop(d);
	d->fence_fd = e.fence_fd < 0 ? -1 : fd_above_std(e.fence_fd);
	return 0;
}

/* Pairs with the host's release store of the word, behind the reply's bytes. */
static bool word_set(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* The fence is done: the word is on its way, or will never come. */
static int grace_wait(const _Atomic uint32_t *word, int64_t deadline)
{
	const struct timespec step = { .tv_nsec = GRACE_STEP_NS };
	int64_t grace = deadline_after(GRACE_MS);

	atomic_thread_fence(memory_order_acquire);
	while (!word_set(word)) {
		int64_t now = clock_ms();

		if (now >= grace)
			return word_set(word) ? 1 : -EPIPE;
		if (now >= deadline)
			return word_set(word);
		nanosleep(&step, NULL);
	}
	return 1;
}

/* Whether the kernel still has the device; asks nobody else, so it returns though the host is gone. */
static bool device_is_there(int fd)
{
	int value = 0;
	struct virtgpu_getparam p = { .param = VIRTGPU_HAS_3D, .value = (uintptr_t)&value };

	return node_ioctl(fd, VIRTGPU_IOCTL_GETPARAM, &p) != -ENODEV;
}

/* Nothing wakes us, so we look, the rarer the longer it takes. */
static int word_wait(const struct drm_transport *d, const _Atomic uint32_t *word, int64_t deadline)
{
	int64_t waited = 0;

	while (!word_set(word)) {
		int64_t step = waited / LOOK_SHARE;

		if (!deadline_left(deadline, 1)) {
			if (d->owner == getpid() && !device_is_there(d->fd))
				return word_set(word) ? 1 : -EPIPE;
			return word_set(word);
		}
		step = step < LOOK_LEAST_NS ? LOOK_LEAST_NS : step > LOOK_MOST_NS ? LOOK_MOST_NS : step;
		nanosleep(&(struct timespec){ .tv_nsec = step }, NULL);
		waited += step;
	}
	return 1;
}

static int drm_wait(struct transport *t, const _Atomic uint32_t *word, int timeout_ms)
{
	struct drm_transport *d = drm_of(t);
	int64_t deadline = deadline_after(timeout_ms);
	int err = 0;

	if (!t->takes_fences)
		return word_wait(d, word, deadline);
	if (d->fence_fd < 0 && d->owner == getpid())
		err = drm_submit(t, NULL, 0, SUBMIT_FENCE);
	if (err && !transport_passing(err))
		return word_set(word) ? 1 : err;
	if (d->fence_fd < 0)
		return word_wait(d, word, deadline);
	while (!word_set(word)) {
		struct pollfd p = { .fd = d->fence_fd, .events = POLLIN };
		int left = deadline_left(deadline, WAIT_SLICE_MS);

		if (!left)
			return word_set(word);
		if (poll(&p, 1, left) > 0)
			return grace_wait(word, deadline);
	}
	return 1;
}

static void drm_passed(struct transport *t)
{
	fence_drop(drm_of(t));
}

static bool drm_gone(struct transport *t)
{
	return !device_is_there(drm_of(t)->fd);
}

static void drm_leave(struct transport *t)
{
	struct drm_transport *d = drm_of(t);
	int fd = fd_steal(&d->fd);

	fence_drop(d);
	if (fd >= 0)
		close(fd);
}

static void drm_close(struct transport *t)
{
	drm_leave(t);
	free(drm_of(t));
}

static const struct transport_ops drm_ops = {
	.name = "virtio-gpu",
	.no_blob =
		"enlarge the device's host-visible window (`serve --window`, QEMU's hostmem=), or mend what kept the "
		"host from making it, by its log",
	.blob_create = drm_blob_create,
	.blob_destroy = drm_blob_destroy,
	.submit = drm_submit,
	.passed = drm_passed,
	.wait = drm_wait,
	.gone = drm_gone,
	.leave = drm_leave,
	.close = drm_close,
};

/* How far a node came; the furthest failure is told. */
enum stage { STAGE_NONE, STAGE_OPEN, STAGE_FEATURES, STAGE_CAPSET, STAGE_CONTEXT };

struct opening {
	int use_apir_capset;
	enum stage failed;
	int error;
	char *err;
	size_t err_size;
};

PRINTF_LIKE(4, 5) static int fail(struct opening *o, enum stage stage, int error, const char *fmt, ...)
{
	va_list ap;

	if (o->failed && stage <= o->failed)
		return error;
	o->failed = stage;
	o->error = error;
	va_start(ap, fmt);
	vsnprintf(o->err, o->err_size, fmt, ap);
	va_end(ap);
	return error;
}

static bool node_is_virtio_gpu(int fd)
{
	drmVersion *v = drmGetVersion(fd);
	bool is = v && v->name && !strcmp(v->name, "virtio_gpu");

	drmFreeVersion(v);
	return is;
}

/* For a node that can't be opened: false where sysfs knows that another driver has it. */
static bool node_may_be_virtio_gpu(const char *node)
{
	const char *slash = strrchr(node, '/');
	char link[128], driver[256];
	ssize_t n;

	snprintf(link, sizeof link, "/sys/class/drm/%s/device/driver", slash ? slash + 1 : node);
	n = readlink(link, driver, sizeof driver - 1);
	if (n < 0)
		return true;
	driver[n] = '\0';
	slash = strrchr(driver, '/');
	return strstr(slash ? slash : driver, "virtio");
}

static bool node_has(int fd, enum virtgpu_param_id id)
{
	int value = 0;
	struct virtgpu_getparam p = { .param = id, .value = (uintptr_t)&value };

	return !node_ioctl(fd, VIRTGPU_IOCTL_GETPARAM, &p) && value;
}

static int node_check(struct opening *o, const char *node, int fd)
{
	if (!node_has(fd, VIRTGPU_HAS_CONTEXT_INIT))
		return fail(o, STAGE_FEATURES, -ENOTSUP,
			"%s is a virtio-gpu device without contexts (as QEMU's virtio-gpu-pci, vhost-user-gpu-pci and "
			"vhost-user-vga): give the virtual machine one with context_init (QEMU's "
			"vhost-user-test-device-pci before `ggml-virtgpu serve`, or its virtio-gpu-gl-pci); the guest "
			"needs Linux 5.16 or later",
			node);
	if (!node_has(fd, VIRTGPU_HAS_BLOBS) || !node_has(fd, VIRTGPU_HAS_HOST_VISIBLE))
		return fail(o, STAGE_FEATURES, -ENOTSUP,
			"%s has no host-visible blobs: give the device blob resources and host memory "
			"(QEMU's "
			"virtio-gpu-gl: blob=on,hostmem=8G)",
			node);
	return 0;
}

struct asked {
	int fd;
	bool silent; /* the host told nothing, neither yes nor no */
};

/* The kernel waits 5 s for an answer, which is little for a host that is overloaded. */
static int offers_capset(void *user, uint32_t id)
{
	uint8_t data[APIR_CAPSET_VENUS_SIZE];
	struct virtgpu_get_caps c = { .id = id, .addr = (uintptr_t)data, .size = sizeof data };
	struct asked *a = user;
	int err = -EBUSY;

	for (int i = 0; err == -EBUSY && !a->silent && i < CAPS_TRIES; i++)
		err = node_ioctl(a->fd, VIRTGPU_IOCTL_GET_CAPS, &c);
	a->silent = err == -EBUSY;
	return err == 0;
}

static int context_init(int fd, uint32_t capset_id)
{
	const struct virtgpu_context_param params[] = {
		{ VIRTGPU_CONTEXT_CAPSET, capset_id },
		{ VIRTGPU_CONTEXT_RINGS, 1 },
		{ VIRTGPU_CONTEXT_POLL_MASK, 0 },
	};
	struct virtgpu_context_init c = { .count = ARRAY_SIZE(params), .params = (uintptr_t)params };

	return node_ioctl(fd, VIRTGPU_IOCTL_CONTEXT_INIT, &c);
}

/* Opens a node and makes the context on it; returns the descriptor, or -errno with the opening's message set.
 */
static int node_open(struct opening *o, const char *node, uint32_t *capset_id)
{
	AUTO_CLOSE int fd = fd_above_std(open(node, O_RDWR | O_CLOEXEC));
	struct asked asked = { 0 };
	int err;

	if (fd < 0) {
		err = -errno;
		if (!node_may_be_virtio_gpu(node))
			return err;
		if (err == -EACCES || err == -EPERM)
			return fail(o, STAGE_OPEN, err,
				"cannot open %s (%s): add the user to the group 'render' that owns it, or "
				"allow the "
				"device to the container",
				node, strerror(-err));
		return fail(o, STAGE_OPEN, err, "cannot open %s: %s", node, strerror(-err));
	}
	if (!node_is_virtio_gpu(fd))
		return -ENODEV;
	err = node_check(o, node, fd);
	if (err)
		return err;
	asked.fd = fd;
	*capset_id = transport_choose_capset(o->use_apir_capset, offers_capset, &asked);
	if (!*capset_id && asked.silent)
		return fail(o, STAGE_CAPSET, -EBUSY,
			"%s: its host does not say which capsets it offers: is it stopped, or overloaded? Start this "
			"program again when it isn't",
			node);
	if (!*capset_id && o->use_apir_capset)
		return fail(o, STAGE_CAPSET, -ENOTSUP,
			"%s doesn't offer the APIR capset (%u), which GGML_REMOTING_USE_APIR_CAPSET asks "
			"for: unset "
			"it, or run a host with APIR",
			node, APIR_CAPSET_APIR);
	if (!*capset_id)
		return fail(o, STAGE_CAPSET, -ENOTSUP,
			"%s offers neither the APIR (%u) nor the Venus (%u) capset: run a host with APIR "
			"(`ggml-virtgpu serve`), or a device with venus=on",
			node, APIR_CAPSET_APIR, APIR_CAPSET_VENUS);
	err = context_init(fd, *capset_id);
	if (err)
		return fail(o, STAGE_CONTEXT, err, "%s: cannot make a context of capset %u: %s: see the host's log",
			node, *capset_id, strerror(-err));
	return fd_steal(&fd);
}

static int transport_make(struct transport **out, int fd, const char *node, uint32_t capset_id)
{
	struct drm_transport *d = calloc(1, sizeof *d);

	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	d->base.ops = &drm_ops;
	d->base.capset_id = capset_id;
	snprintf(d->base.where, sizeof d->base.where, "%s", node);
	d->fd = fd;
	d->fence_fd = -1;
	d->owner = getpid();
	*out = &d->base;
	return 0;
}

static int devices_try(struct opening *o, drmDevice **devices, int count, struct transport **out)
{
	for (int i = 0; i < count; i++) {
		const char *node = devices[i]->nodes[DRM_NODE_RENDER];
		uint32_t capset_id = 0;
		int fd;

		if (!(devices[i]->available_nodes & 1 << DRM_NODE_RENDER))
			continue;
		fd = node_open(o, node, &capset_id);
		if (fd < 0)
			continue;
		if (transport_make(out, fd, node, capset_id) < 0)
			return fail(o, STAGE_CONTEXT, -ENOMEM, "%s: out of memory", node);
		return 0;
	}
	if (!o->failed)
		return fail(o, STAGE_NONE, -ENODEV,
			"no virtio-gpu render node in /dev/dri: give the virtual machine a virtio-gpu "
			"device, or set "
			"GGML_VIRTGPU_SOCKET");
	return o->error;
}

int transport_drm_open(struct transport **out, int use_apir_capset, char *err, size_t err_size)
{
	struct opening o = { .use_apir_capset = use_apir_capset, .err = err, .err_size = err_size };
	drmDevice *devices[NODES_MAX] = { NULL };
	int count = drmGetDevices2(0, devices, NODES_MAX), r;

	if (count > NODES_MAX)
		count = NODES_MAX;
	r = devices_try(&o, devices, count, out);
	if (count > 0)
		drmFreeDevices(devices, count);
	return r;
}
