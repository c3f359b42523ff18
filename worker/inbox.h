/* SPDX-License-Identifier: MIT */
/* The ring that the guest writes commands to, where it has one (proto/ring.h). */
#ifndef WORKER_INBOX_H
#define WORKER_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/ring.h"

/* It is in this blob from now on; at most once. False: it can't be there. */
bool inbox_open(uint32_t res_id);
/* What the next command is, which stays there. False: there is none. */
bool inbox_peek(struct ring_record *record);
/* Takes that one, of at most RING_COMMAND bytes. */
void inbox_take(const struct ring_record *record, void *cmd);
/* From here on the guest has to wake us through the door; look again afterwards. No matter without a ring. */
void inbox_park(void);
void inbox_unpark(void);

#endif
