/* SPDX-License-Identifier: MIT */
/*
 * What the plugin says when no render node can be used, whole lines. libdrm is replaced by what each row tells of one
 * device; a real kernel's words come in tests/vm/hosts.sh.
 */
#include "tests/support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "guest/transport/transport.h"
#include "guest/transport/virtgpu_uapi.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define NODE "/tmp/test-drm-node"

struct row {
	const char *name;
	const char *driver; /* NULL: there is no device */
	int locked;         /* the node can't be opened */
	int no_contexts, no_blobs, no_window;
	uint32_t capsets; /* a bit each */
	int context_error;
	int use_apir_capset; /* GGML_REMOTING_USE_APIR_CAPSET */
	int error;
	const char *line;
};

#define APIR  (1u << APIR_CAPSET_APIR)
#define VENUS (1u << APIR_CAPSET_VENUS)

static const struct row rows[] = {
	{ "drm_no_device", .error = -ENODEV,
		.line = "no virtio-gpu render node in /dev/dri: give the virtual machine a virtio-gpu device, or set "
			"GGML_VIRTGPU_SOCKET" },
	{ "drm_other_driver", "i915", .error = -ENODEV,
		.line = "no virtio-gpu render node in /dev/dri: give the virtual machine a virtio-gpu device, or set "
			"GGML_VIRTGPU_SOCKET" },
	{ "drm_no_permission", "virtio_gpu", .locked = EACCES, .error = -EACCES,
		.line = "cannot open " NODE
			" (Permission denied): add the user to the group 'render' that owns it, or allow "
			"the device to the container" },
	{ "drm_cannot_open", "virtio_gpu", .locked = ENXIO, .error = -ENXIO,
		.line = "cannot open " NODE ": No such device or address" },
	{ "drm_no_contexts", "virtio_gpu", .no_contexts = 1, .error = -ENOTSUP,
		.line = NODE
		" has no contexts: the guest needs Linux 5.16 or later, and the host a virtio-gpu device with "
		"context_init" },
	{ "drm_no_blobs", "virtio_gpu", .no_blobs = 1, .error = -ENOTSUP,
		.line = NODE " has no host-visible blobs: give the device blob resources and host memory (QEMU's "
			     "virtio-gpu-gl: blob=on,hostmem=8G)" },
	{ "drm_no_window", "virtio_gpu", .no_window = 1, .error = -ENOTSUP,
		.line = NODE " has no host-visible blobs: give the device blob resources and host memory (QEMU's "
			     "virtio-gpu-gl: blob=on,hostmem=8G)" },
	{ "drm_no_capset", "virtio_gpu", .error = -ENOTSUP,
		.line = NODE
		" offers neither the APIR (10) nor the Venus (4) capset: run a host with APIR (`ggml-virtgpu "
		"serve`), or a device with venus=on" },
	{ "drm_no_apir_capset", "virtio_gpu", .capsets = VENUS, .use_apir_capset = 1, .error = -ENOTSUP,
		.line = NODE
		" doesn't offer the APIR capset (10), which GGML_REMOTING_USE_APIR_CAPSET asks for: unset it, or "
		"run a host with APIR" },
	{ "drm_no_context", "virtio_gpu", .capsets = APIR, .context_error = EINVAL, .error = -EINVAL,
		.line = NODE ": cannot make a context of capset 10: Invalid argument: see the host's log" },
	{ "drm_apir_capset", "virtio_gpu", .capsets = APIR },
	{ "drm_both_capsets_unset", "virtio_gpu", .capsets = APIR | VENUS },
	{ "drm_both_capsets_set", "virtio_gpu", .capsets = APIR | VENUS, .use_apir_capset = 1 },
};

static const struct row *now;
static uint32_t capset_made;

/* libdrm, and open() of its node, which is open64() to the linker */

int drmGetDevices2(uint32_t flags, drmDevicePtr devices[], int max)
{
	static char node[] = NODE;
	static char *nodes[DRM_NODE_MAX];
	static drmDevice device = { .nodes = nodes, .available_nodes = 1 << DRM_NODE_RENDER };

	(void)flags, (void)max;
	nodes[DRM_NODE_RENDER] = node;
	devices[0] = &device;
	return now->driver ? 1 : 0;
}

void drmFreeDevices(drmDevicePtr devices[], int count)
{
	(void)devices, (void)count;
}

drmVersionPtr drmGetVersion(int fd)
{
	static drmVersion v;

	(void)fd;
	v.name = (char *)(uintptr_t)now->driver;
	return &v;
}

void drmFreeVersion(drmVersionPtr v)
{
	(void)v;
}

static int param_get(const struct virtgpu_getparam *p)
{
	*(int *)(uintptr_t)p->value = !((p->param == VIRTGPU_HAS_CONTEXT_INIT && now->no_contexts) ||
					(p->param == VIRTGPU_HAS_BLOBS && now->no_blobs) ||
					(p->param == VIRTGPU_HAS_HOST_VISIBLE && now->no_window));
	return 0;
}

static int context_make(const struct virtgpu_context_init *c)
{
	const struct virtgpu_context_param *params = (const void *)(uintptr_t)c->params;

	for (uint32_t i = 0; i < c->count; i++) {
		if (params[i].key == VIRTGPU_CONTEXT_CAPSET)
			capset_made = (uint32_t)params[i].value;
	}
	errno = now->context_error;
	return errno ? -1 : 0;
}

int drmIoctl(int fd, unsigned long request, void *arg)
{
	(void)fd;
	if (request == VIRTGPU_IOCTL_GETPARAM)
		return param_get(arg);
	if (request == VIRTGPU_IOCTL_GET_CAPS && now->capsets & 1u << ((struct virtgpu_get_caps *)arg)->id)
		return 0;
	if (request == VIRTGPU_IOCTL_CONTEXT_INIT)
		return context_make(arg);
	errno = EINVAL;
	return -1;
}

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	assert_string_equal(path, NODE);
	assert_int_equal(flags & O_ACCMODE, O_RDWR);
	errno = now->locked;
	return errno ? -1 : dup(STDIN_FILENO);
}

/* The tests */

static void row_test(void **state)
{
	struct transport *t = NULL;
	char err[384] = "";

	now = *state;
	capset_made = 0;
	assert_int_equal(transport_drm_open(&t, now->use_apir_capset, err, sizeof err), now->error);
	assert_string_equal(err, now->line ? now->line : "");
	if (now->error)
		return;
	assert_int_equal(
		t->capset_id, now->use_apir_capset || !(now->capsets & VENUS) ? APIR_CAPSET_APIR : APIR_CAPSET_VENUS);
	assert_int_equal(capset_made, t->capset_id);
	assert_string_equal(t->where, NODE);
	t->ops->close(t);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(rows)];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		tests[i] = (struct CMUnitTest){
			.name = rows[i].name, .test_func = row_test, .initial_state = (void *)(uintptr_t)&rows[i]
		};
	return _cmocka_run_group_tests("drm", tests, ARRAY_SIZE(rows), NULL, NULL);
}
