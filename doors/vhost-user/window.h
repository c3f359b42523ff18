/* SPDX-License-Identifier: MIT */
/* The host-visible window: blobs that QEMU maps into the guest for us, asynchronously. */
#ifndef VHOST_USER_WINDOW_H
#define VHOST_USER_WINDOW_H

#include <sys/types.h>

#include "protocol.h"

/* Each mapping takes one of the regions that QEMU can keep; the rest is for the guest's RAM. */
#define WINDOW_MAPPINGS_MAX 480u
#define WINDOW_SHMID        1u /* VIRTIO_GPU_SHM_ID_HOST_VISIBLE */

struct request; /* the guest's request that waits for an outcome; gpu.h */

enum mapping_state {
	MAPPING_FREE,
	MAPPING_QUEUED, /* to be mapped; not sent yet */
	MAPPING_SENT,
	MAPPING_ACKED, /* QEMU said yes; the guest sees it once QEMU has committed it */
	MAPPING_MAPPED,
	MAPPING_UNMAP_QUEUED,
	MAPPING_UNMAP_SENT,
};

struct mapping {
	enum mapping_state state;
	uint32_t res_id; /* 0: its resource is gone, or the guest was reset */
	uint64_t offset, size;
	int fd; /* own, until it is sent; then -1 */
	dev_t dev;
	ino_t ino;        /* recognises the blob in the memory table */
	bool unmap;       /* to be unmapped as soon as it is mapped */
	bool after_stop;  /* QEMU handles it after it stopped the device: a reset there doesn't undo it */
	int64_t deadline; /* ACKED: ms; commits are taken for granted then */
	struct request *map_req, *unmap_req, *unref_req;
};

struct window {
	uint64_t size;
	struct vu_channel backend;
	bool dead;    /* QEMU closed the channel */
	bool stopped; /* nothing is sent meanwhile */
	struct mapping maps[WINDOW_MAPPINGS_MAX];
	unsigned acked;         /* mappings that are ACKED */
	struct mapping *flying; /* the one that QEMU has been asked about; one at a time */
	/* mappings in QUEUED or UNMAP_QUEUED, first come first served; each is in here at most once */
	uint16_t fifo[WINDOW_MAPPINGS_MAX];
	unsigned fifo_head, fifo_count;
	void (*answer)(void *user, struct request *r, int err); /* a request's outcome; once per request */
	void *user;
};

void window_init(struct window *w, uint64_t size, void (*answer)(void *user, struct request *r, int err), void *user);
void window_close(struct window *w);
/* QEMU's end of the backend channel; takes ownership of fd. */
int window_connect(struct window *w, int fd);

/* 0: the answer comes later. -EINVAL: misplaced. -EEXIST: overlaps, or is mapped. -ENOSPC, -EPIPE. fd is
 * borrowed. */
int window_map(struct window *w, uint32_t res_id, uint64_t offset, uint64_t size, int fd, struct request *r);
/* 0: the answer comes later. -ENOENT: not mapped, or being unmapped already. */
int window_unmap(struct window *w, uint32_t res_id, struct request *r);
/* The resource goes away: 0: the answer comes once it is unmapped, -ENOENT: it isn't mapped. */
int window_unref(struct window *w, uint32_t res_id, struct request *r);

/* QEMU's answers. -EPIPE: the channel is closed, everything that waited was answered. */
int window_dispatch(struct window *w);
/* Milliseconds until window_tick() has work, -1: none. */
int window_timeout(const struct window *w);
void window_tick(struct window *w);

/* Whether a region of the memory table is one of our blobs. */
bool window_owns(const struct window *w, dev_t dev, ino_t ino);
/* QEMU offers a blob as a region: all that it acknowledged is visible. */
void window_committed(struct window *w);

/* QEMU stopped the rings; then either they go on, or the guest was reset, at which QEMU has unmapped all
 * itself. */
void window_stop(struct window *w);
void window_resume(struct window *w);
/* Forgets every request, without answers. */
void window_reset(struct window *w);

#endif
