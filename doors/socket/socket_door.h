/* SPDX-License-Identifier: MIT */
/*
 * The socket door: virglrenderer's vtest protocol, version 3, on a connected unix stream socket. One client
 * is one process' worth of trust: it gets a struct apir, a context and blobs of its own, and nothing outlives
 * it.
 */
#ifndef DOORS_SOCKET_SOCKET_DOOR_H
#define DOORS_SOCKET_SOCKET_DOOR_H

#include "apir/apir.h"

struct socket_door_options {
	const struct apir_options *apir;
	/* Sets the client's configuration keys, before it can make a context; NULL: the environment alone. An
	 * error (-errno) ends the connection. */
	int (*configure)(struct apir *a, void *user);
	void *user;
};

/*
 * Serves one client until it hangs up, misbehaves, loses its context, or stop_fd (-1: none) is readable.
 * Takes ownership of conn. Returns 0 when the client or stop_fd ended it; -EPROTO: the client was refused;
 * -EPIPE: its context was lost; other -errno: the door's own trouble. All but 0 have been logged.
 */
int socket_door_serve(int conn, int stop_fd, const struct socket_door_options *opt);

#endif
