/* SPDX-License-Identifier: MIT */
/* A split virtqueue, the device's side: chains come out as private copies, replies go back in. */
#ifndef VHOST_USER_VIRTQUEUE_H
#define VHOST_USER_VIRTQUEUE_H

#include <linux/virtio_ring.h>

#include "guest_memory.h"

#define VIRTQUEUE_NUM_MAX 1024u
/* Pieces of a reply that are kept; replies are short, and guests give them one or two descriptors. */
#define CHAIN_PARTS_MAX 8u

/* A request of the guest: which buffer it is, and where its reply goes. */
struct chain {
	uint16_t head;
	uint16_t part_count;
	struct chain_part {
		uint64_t gpa;
		uint32_t len;
	} parts[CHAIN_PARTS_MAX];
	size_t size; /* bytes that the guest wrote; those beyond the buffer's capacity were not copied */
};

struct virtqueue {
	unsigned index; /* for the log */
	uint32_t num;
	struct vu_vring_addr addr;
	int kick, call; /* eventfds, -1: none */
	bool started, enabled, broken;
	uint16_t avail_next; /* index of the next chain that we take */
	uint16_t used_next;  /* index of the next one that we give back */
	uint32_t in_flight;  /* taken, not given back */
	bool notify;         /* something was given back since virtqueue_flush() */
	/* where the rings lie, as of this generation of the memory table */
	uint32_t generation;
	bool resolved, lost; /* lost: they weren't there, and that was logged */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

void virtqueue_init(struct virtqueue *q, unsigned index);
/* Closes its descriptors. */
void virtqueue_close(struct virtqueue *q);

/* Takes the ring into use as QEMU described it; forgets that it was broken. */
void virtqueue_start(struct virtqueue *q);
void virtqueue_stop(struct virtqueue *q);
/* May be worked on: started, enabled, sound, its rings in memory. */
bool virtqueue_runs(struct virtqueue *q, struct guest_memory *m);
/* Can take replies; true for a broken queue too, which drops them. */
bool virtqueue_writable(struct virtqueue *q, struct guest_memory *m);

/* Takes the next chain and copies what the guest wrote, at most cap bytes, to buf. 1, 0 when there is none,
 * -errno when the ring is broken, which was logged and stops it. */
int virtqueue_pop(struct virtqueue *q, struct guest_memory *m, struct chain *c, void *buf, size_t cap);
/* Gives a chain back with a reply, cut to the room that the guest left for it. Only while
 * virtqueue_writable(). */
void virtqueue_push(struct virtqueue *q, struct guest_memory *m, const struct chain *c, const void *reply, size_t len);
/* Interrupts the guest if something was given back and it wants to know. */
void virtqueue_flush(struct virtqueue *q, struct guest_memory *m);

#endif
