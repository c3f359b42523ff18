/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user door: a headless virtio-gpu device for one VM. QEMU reaches it with
 *     -chardev socket,id=gpu,path=SOCKET
 *     -device vhost-user-test-device-pci,chardev=gpu,virtio-id=16,num_vqs=2,config_size=20,vq_size=256
 * and shared guest memory (-object memory-backend-memfd,...,share=on -machine memory-backend=...).
 */
#ifndef VHOST_USER_VHOST_USER_H
#define VHOST_USER_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "apir/apir.h"

#define VHOST_USER_WINDOW_DEFAULT (8ull << 30)

struct vhost_user_options {
	/* Host-visible window, bytes: a power of two from 2 MiB, because QEMU makes a PCI BAR of it; 0:
	 * VHOST_USER_WINDOW_DEFAULT. */
	uint64_t window_size;
	bool venus_capset;               /* offer capset 4 too; its contexts are APIR's */
	const struct apir_options *apir; /* may be NULL: the defaults */
	/* Sets keys before the VM is served; may be NULL; a result < 0 ends it. */
	int (*configure)(struct apir *a, void *user);
	void *user;
};

/* Serves the VM at the other end of `conn` until it hangs up or stop_fd (-1: none) becomes readable. Takes
 * ownership of conn, not of stop_fd, which it never reads. Returns 0 after either, else -errno. Needs a
 * process or a thread of its own; SIGPIPE is never raised. */
int vhost_user_serve(int conn, int stop_fd, const struct vhost_user_options *opt);

#endif
