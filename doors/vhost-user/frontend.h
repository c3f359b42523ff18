/* SPDX-License-Identifier: MIT */
/* What QEMU, the frontend, asks on the main channel, and the state of one served VM that it changes. */
#ifndef VHOST_USER_FRONTEND_H
#define VHOST_USER_FRONTEND_H

#include "gpu.h"

struct door {
	struct vu_channel main;
	struct guest_memory memory;
	struct virtqueue queues[GPU_QUEUES];
	struct window window;
	struct gpu gpu;
	struct apir *apir;
	uint64_t features, protocol_features; /* that QEMU took */
	bool halted;                          /* the control queue was stopped and hasn't been started again */
	int64_t declines, declines_at;        /* blobs that may be declined as regions, as of this second */
	bool apir_failed;                     /* and that was logged */
};

/* Handles the messages that have arrived. -ECONNRESET: QEMU hung up; else -errno: it can't be talked to. */
int frontend_dispatch(struct door *d);

#endif
