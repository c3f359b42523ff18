/* SPDX-License-Identifier: MIT */
/* What the door asks for (proto/worker_wire.h). */
#ifndef WORKER_MESSAGE_H
#define WORKER_MESSAGE_H

#include "proto/worker_wire.h"
#include "worker/worker.h"

/* Does it; takes the descriptor, -1: none came along. What can't be done is logged. */
void message_serve(struct worker *w, const struct worker_msg *m, uint8_t *payload, size_t size, int fd);

#endif
