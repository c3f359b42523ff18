/* SPDX-License-Identifier: MIT */
/* Small writes that were collected (pending.h) are put together where they lie side by side, and posted. */
#ifndef GUEST_FLUSH_H
#define GUEST_FLUSH_H

#include "guest/call.h"

/* Posts everything, between blobs_enter() and blobs_leave(). What can't be, or fails, is noted in loss.h. */
void flush_pending(struct session *s);

#endif
