/* SPDX-License-Identifier: MIT */
/* The virtio-gpu device: the guest's commands, turned into calls of apir and of the window. */
#ifndef VHOST_USER_GPU_H
#define VHOST_USER_GPU_H

#include <linux/virtio_gpu.h>

#include "apir/apir.h"

#include "virtqueue.h"
#include "window.h"

/* The configuration space: Linux's struct, and the field that came after it. */
struct gpu_config {
	struct virtio_gpu_config base;
	uint32_t blob_alignment;
};
static_assert(sizeof(struct gpu_config) == 20, "what config_size=20 on QEMU's command line says");

enum gpu_queue { GPU_CONTROL, GPU_CURSOR, GPU_QUEUES };

enum request_state {
	REQUEST_FREE,
	REQUEST_BUSY,   /* being handled */
	REQUEST_WINDOW, /* the window will answer */
	REQUEST_FENCE,  /* apir will report its fence */
	REQUEST_DONE,   /* answered; waits for the ring to take it */
};

/* A command of the guest from when it is taken off the ring until its response is on it. */
struct request {
	enum request_state state;
	struct chain chain;
	struct virtio_gpu_ctrl_hdr hdr; /* the guest's */
	uint64_t token;                 /* FENCE: what apir knows the fence by: a serial number, and our index */
	uint32_t response;              /* DONE */
};

/* Ids that the guest holds, kept so that its reset can drop them; apir limits how many there are. */
struct id_list {
	uint32_t *ids;
	size_t count, room;
};

struct gpu {
	struct apir *apir;
	struct guest_memory *memory;
	struct virtqueue *queues; /* GPU_QUEUES of them */
	struct window *window;
	struct id_list contexts, blobs;
	struct request requests[VIRTQUEUE_NUM_MAX];
	unsigned done; /* requests in DONE */
	unsigned hint; /* where to look for a free one */
	uint64_t fences;
	unsigned complaints; /* lines that the guest may still have in the log */
	int64_t complaints_from;
	uint8_t *buf;
};

int gpu_init(
	struct gpu *g, struct apir *apir, struct guest_memory *memory, struct virtqueue *queues, struct window *window);
void gpu_close(struct gpu *g);
void gpu_config_fill(const struct gpu *g, struct gpu_config *c);

/* Handles some of what waits in the queues; true when there may be more. */
bool gpu_run(struct gpu *g);
/* Puts answers onto the ring that could not go there when they were made, and interrupts the guest. */
void gpu_flush(struct gpu *g);

/* Outcomes: of a window request, of a fence, of a context whose worker died. */
void gpu_window_answer(void *user, struct request *r, int err);
void gpu_fence_done(struct gpu *g, uint64_t token);

/* The guest's driver is gone: no context, no blob, no request is left. */
void gpu_reset(struct gpu *g);

#endif
