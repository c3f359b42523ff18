/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection, as far as shares go. */
#ifndef CLI_PEER_H
#define CLI_PEER_H

#include <stddef.h>

/*
 * A name for the group of processes that the peer is one of: its cgroup, or its user where nobody can tell. Processes cost
 * nothing, and all rootful containers are user 0, but a container can't leave its cgroup. -ESRCH: the process that connected
 * is gone, and has passed the connection on if anybody has it: its group can't be told.
 */
int peer_group(int conn, char *out, size_t size);

#endif
