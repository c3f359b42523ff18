/* SPDX-License-Identifier: MIT */
/*
 * A door's end of one worker: the process, and messages to it that never block the door.
 *
 * What the socket doesn't take at once waits in a bounded queue; a worker that lets it overflow, because its guest
 * floods it, is given up.
 */
#ifndef APIR_LINK_H
#define APIR_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/memory.h"
#include "platform/process.h"
#include "proto/worker_wire.h"

struct link_item;

struct link {
	int sock;                        /* -1: closed */
	int server;                      /* the connection to the server that started the worker; -1: we did */
	struct process process;          /* then */
	struct memory_kills kills;       /* before it was started */
	struct link_item *first, **last; /* what waits to be sent */
	size_t queued;                   /* bytes */
	unsigned queued_fds;
};

/* Closed; nothing else may be done with it but to start it. */
void link_init(struct link *l);
/* Starts `path` as the worker of context ctx_id. -ENOENT and the like from exec. */
int link_start(struct link *l, const char *path, uint32_t ctx_id);
/* Has the server that listens at this path start the worker, where this process may not; doesn't wait for it. A server
 * that can't hangs up. -ENOENT, -ECONNREFUSED, -EAGAIN (it is too busy) and the like from connect. */
int link_ask(struct link *l, const char *server, uint32_t ctx_id);
/* Queues or sends one message; fd (-1: none) is duplicated as needed. -ENOBUFS: overflow, -EPIPE: it is gone. */
int link_send(struct link *l, const struct worker_msg *m, const void *payload, size_t size, int fd);
/* Sends what waits, as far as it goes. -EPIPE; -EBUSY: the system has no room for it, try again in a moment. */
int link_flush(struct link *l);
/* Something waits to be sent. */
static inline bool link_waits(const struct link *l)
{
	return l->first != NULL;
}
/* One message from the worker: 1, 0 when there is none now, -EPIPE when it hung up or talks nonsense. */
int link_recv(struct link *l, struct worker_msg *m);
/* Hangs up: the worker ends by itself soon. */
void link_hang_up(struct link *l);
/* How the process ended ("ended by signal 9 (Killed)"), or that it hung up; waits for at most a moment. Returns out. */
const char *link_end(struct link *l, char *out, size_t size);
/* Readable once the process has ended; -1: it is reaped, or could never be watched, having ended at once. */
int link_watch(const struct link *l);
/* Waits at most ms for the process's end. */
void link_wait(struct link *l, int ms);
/* True when the process has ended, and is reaped. */
bool link_reap(struct link *l);
/* Ends the process; it is still to be reaped. */
void link_kill(struct link *l);

#endif
