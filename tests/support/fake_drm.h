/* SPDX-License-Identifier: MIT */
/*
 * libdrm with one device, that of a kernel as the test describes it, and with a host behind it that the test plays. A
 * program that links it wraps open64() (--wrap=open64) and has one file, FAKE_DRM_NODE.
 */
#ifndef TESTS_SUPPORT_FAKE_DRM_H
#define TESTS_SUPPORT_FAKE_DRM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_DRM_NODE "/tmp/test-drm-node"

struct fake_drm {
	const char *driver; /* NULL: there is no device */
	int locked;         /* the node can't be opened: errno */
	int no_contexts, no_blobs, no_window;
	uint32_t capsets; /* a bit each */
	int slow_capsets; /* so often the host doesn't answer in the kernel's time when it is asked for them */
	int context_error;
	int no_fence; /* errno of an EXECBUFFER that is to give one: the program has no descriptor left */
	/* errno of the EXECBUFFER at hand, 0: it goes through. NULL: all do. */
	int (*failing)(void);
	/* One EXECBUFFER; its size is 0 for a fence alone. NULL: there are no blobs and no commands. */
	void (*execute)(const void *cmd, size_t size, bool fence);
};

/* What is there now; NULL: the device was unplugged. */
void fake_drm_be(const struct fake_drm *d);
/* Of the last context that was made; 0: none since fake_drm_be(). */
uint32_t fake_drm_capset(void);
/* The memory of the blob with this number, NULL: there is none. */
void *fake_drm_blob(uint32_t res_id);
/* The last fence that was given out is done. */
void fake_drm_signal(void);

#endif
