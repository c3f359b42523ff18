/* SPDX-License-Identifier: MIT */
/* Waiting for the door's next message, or for a command in the ring. */
#ifndef WORKER_INTAKE_H
#define WORKER_INTAKE_H

#include <sys/types.h>

#include "proto/worker_wire.h"
#include "worker/worker.h"

/* One message, of at most WORKER_PAYLOAD_MAX bytes of payload, with at most one descriptor (*fd; else -1). Its whole size, 0 at
 * the door's end, or -errno; -EAGAIN: there is something in the ring instead. */
ssize_t intake_wait(struct worker *w, struct worker_msg *m, uint8_t *payload, int *fd);

#endif
