/* SPDX-License-Identifier: MIT */
/*
 * The client's end of a vtest connection: one request at a time, each ended by its reply or by an error.
 *
 * No call waits longer than timeout_ms, or than `waited` lets it. After a failure in the middle of a message nobody knows where
 * the next one starts, so the connection is marked broken and everything returns -EPIPE from then on.
 */
#ifndef GUEST_TRANSPORT_VTEST_H
#define GUEST_TRANSPORT_VTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/vtest_wire.h"

#define VTEST_TIMEOUT_MS 5000

struct vtest {
	int fd; /* owned; -1: none */
	bool broken;
	int timeout_ms; /* VTEST_TIMEOUT_MS at first */
	/* transport.h's */
	int (*waited)(void *user, uint32_t ms);
	void *user;
};

/* Connects to the unix socket at path. vtest_close() afterwards also when it failed. */
int vtest_connect(struct vtest *v, const char *path);
void vtest_close(struct vtest *v);
/* Whether the peer is gone; doesn't block. */
bool vtest_hung_up(struct vtest *v);

/* Sends a command with `size` bytes behind its header. The length is in words, or as CREATE_RENDERER has it.
 */
int vtest_send(struct vtest *v, uint32_t command, const void *data, size_t size);
/* Sends a complete message, header included. */
int vtest_send_raw(struct vtest *v, const void *msg, size_t size);
/*
 * Reads the reply to `command`: at least min and at most max bytes into data, whatever follows is skipped.
 * Returns the number of bytes it wrote.
 */
int vtest_receive(struct vtest *v, uint32_t command, void *data, size_t min, size_t max);
/* Reads the byte behind a reply; the descriptor that it carries, -ENOENT when it carries none, -EMFILE when this
 * process can have no more. */
int vtest_receive_fd(struct vtest *v);

/* The protocol version that both speak; 0 with servers from before there were versions. */
int vtest_negotiate(struct vtest *v, uint32_t *version);
/* Sends something that any server answers: the peer has done all that was sent before, and is alive. */
int vtest_ping(struct vtest *v);

#endif
