/* SPDX-License-Identifier: MIT */
/*
 * What the plugin says when no render node can be used, whole lines. libdrm is replaced by what each row tells of one
 * device; a real kernel's words come in tests/vm/hosts.sh.
 */
#include "tests/support/cm.h"

#include <errno.h>

#include "guest/transport/transport.h"
#include "proto/apir_wire.h"
#include "proto/util.h"
#include "tests/support/fake_drm.h"

#define NODE FAKE_DRM_NODE

struct row {
	const char *name;
	struct fake_drm drm;
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
	{ "drm_other_driver", .drm = { .driver = "i915" }, .error = -ENODEV,
		.line = "no virtio-gpu render node in /dev/dri: give the virtual machine a virtio-gpu device, or set "
			"GGML_VIRTGPU_SOCKET" },
	{ "drm_no_permission", .drm = { .driver = "virtio_gpu", .locked = EACCES }, .error = -EACCES,
		.line = "cannot open " NODE
			" (Permission denied): add the user to the group 'render' that owns it, or allow "
			"the device to the container" },
	{ "drm_cannot_open", .drm = { .driver = "virtio_gpu", .locked = ENXIO }, .error = -ENXIO,
		.line = "cannot open " NODE ": No such device or address" },
	{ "drm_no_contexts", .drm = { .driver = "virtio_gpu", .no_contexts = 1 }, .error = -ENOTSUP,
		.line = NODE
		" is a virtio-gpu device without contexts (as QEMU's virtio-gpu-pci, vhost-user-gpu-pci and "
		"vhost-user-vga): give the virtual machine one with context_init (QEMU's vhost-user-test-device-pci "
		"before `ggml-virtgpu serve`, or its virtio-gpu-gl-pci); the guest needs Linux 5.16 or later" },
	{ "drm_no_blobs", .drm = { .driver = "virtio_gpu", .no_blobs = 1 }, .error = -ENOTSUP,
		.line = NODE " has no host-visible blobs: give the device blob resources and host memory (QEMU's "
			     "virtio-gpu-gl: blob=on,hostmem=8G)" },
	{ "drm_no_window", .drm = { .driver = "virtio_gpu", .no_window = 1 }, .error = -ENOTSUP,
		.line = NODE " has no host-visible blobs: give the device blob resources and host memory (QEMU's "
			     "virtio-gpu-gl: blob=on,hostmem=8G)" },
	{ "drm_no_capset", .drm = { .driver = "virtio_gpu" }, .error = -ENOTSUP,
		.line = NODE
		" offers neither the APIR (10) nor the Venus (4) capset: run a host with APIR (`ggml-virtgpu "
		"serve`), or a device with venus=on" },
	{ "drm_no_apir_capset", .drm = { .driver = "virtio_gpu", .capsets = VENUS }, .use_apir_capset = 1,
		.error = -ENOTSUP,
		.line = NODE
		" doesn't offer the APIR capset (10), which GGML_REMOTING_USE_APIR_CAPSET asks for: unset it, or "
		"run a host with APIR" },
	{ "drm_no_context", .drm = { .driver = "virtio_gpu", .capsets = APIR, .context_error = EINVAL },
		.error = -EINVAL,
		.line = NODE ": cannot make a context of capset 10: Invalid argument: see the host's log" },
	{ "drm_slow_host", .drm = { .driver = "virtio_gpu", .capsets = APIR | VENUS, .slow_capsets = 2 } },
	{ "drm_silent_host", .drm = { .driver = "virtio_gpu", .capsets = APIR | VENUS, .slow_capsets = 1000 },
		.error = -EBUSY,
		.line = NODE
		": its host does not say which capsets it offers: is it stopped, or overloaded? Start this "
		"program again when it isn't" },
	{ "drm_apir_capset", .drm = { .driver = "virtio_gpu", .capsets = APIR } },
	{ "drm_both_capsets_unset", .drm = { .driver = "virtio_gpu", .capsets = APIR | VENUS } },
	{ "drm_both_capsets_set", .drm = { .driver = "virtio_gpu", .capsets = APIR | VENUS }, .use_apir_capset = 1 },
};

static void row_test(void **state)
{
	const struct row *now = *state;
	struct transport *t = NULL;
	char err[384] = "";

	fake_drm_be(&now->drm);
	assert_int_equal(transport_drm_open(&t, now->use_apir_capset, err, sizeof err), now->error);
	assert_string_equal(err, now->line ? now->line : "");
	if (now->error)
		return;
	assert_int_equal(t->capset_id,
		now->use_apir_capset || !(now->drm.capsets & VENUS) ? APIR_CAPSET_APIR : APIR_CAPSET_VENUS);
	assert_int_equal(fake_drm_capset(), t->capset_id);
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
