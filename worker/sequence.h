/* SPDX-License-Identifier: MIT */
/*
 * The guest's commands in the order in which it gave them, by whichever of its two ways: through the door, or past it by
 * the ring, which says of each how many came through the door before it.
 */
#ifndef WORKER_SEQUENCE_H
#define WORKER_SEQUENCE_H

#include "worker/worker.h"

/* Whether there is a command in the ring whose turn it is. */
bool sequence_ready(struct worker *w);
/* Executes those that there are. Before whatever the door has sent behind them. */
void sequence_run(struct worker *w);
/* Executes one that came through the door; cmd is private memory. */
void sequence_door(struct worker *w, uint8_t *cmd, size_t size);

#endif
