/* SPDX-License-Identifier: MIT */
/* The handshake: what either side speaks, where the host's pulse is, and whether it reads commands from a ring. */
#ifndef GUEST_GREETING_H
#define GUEST_GREETING_H

#include "guest/channel.h"

/* plain: APIR 0.2 and nothing beyond. A host that is ours has a pulse from then on, and takes fences. 0, or -errno and a
 * line. */
int greeting_run(struct channel *c, bool plain, char *err, size_t err_size);
/* Opens the channel's ring, where the host is ours and reads one, and there is memory for it. */
void greeting_offer_ring(struct channel *c);

#endif
