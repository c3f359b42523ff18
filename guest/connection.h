/* SPDX-License-Identifier: MIT */
/* The way to the host, and whether it is open. Dead is for good: everything fails at once then, and makes no ioctl. */
#ifndef GUEST_CONNECTION_H
#define GUEST_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "guest/transport/transport.h"

struct connection {
	struct transport *transport; /* NULL: closed */
	_Atomic bool dead;
	_Atomic bool told; /* that it is dead */
	_Atomic bool torn; /* the device took its memory away: as dead */
};

/* To where the program's variables say. 0, or -errno and one line in err. */
int connection_open(struct connection *c, char *err, size_t err_size);
/* Blobs must have been given back. */
void connection_close(struct connection *c);
/* Whether what is asked can still be answered; false in a forked child too. */
bool connection_alive(const struct connection *c);
/* Whether this is a forked child: its parent's context isn't its own, and a lock may be held by a thread that isn't there. */
bool connection_forked(void);

#endif
