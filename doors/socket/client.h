/* SPDX-License-Identifier: MIT */
/* One client of the socket door: what the loop (socket_door.c) and the commands (command.c) share. */
#ifndef DOORS_SOCKET_CLIENT_H
#define DOORS_SOCKET_CLIENT_H

#include "apir/apir.h"
#include "doors/socket/stream.h"
#include "doors/socket/sync.h"

#define CLIENT_CTX 1u /* the only context of the client's own struct apir */

struct client {
	struct stream stream;
	struct sync_table syncs;
	struct apir *apir;
	bool greeted;       /* CREATE_RENDERER came */
	uint32_t capset_id; /* 0: no context yet */
	bool lost;          /* the context is */
	uint32_t last_res_id;
	uint32_t blobs_refused; /* for want of room; the first is worth a warning */
	uint64_t last_fence;
	char name[64]; /* the program's, as it told; NUL-terminated, unescaped */
};

/*
 * Executes the next complete message in the input. Returns 1 when it did one, 0 when there is none, or
 * -errno, logged, when the client has to go.
 */
int client_command(struct client *c);

#endif
