/* SPDX-License-Identifier: MIT */
/* See peer.h. */
#include "cli/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/util.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* The longest of its paths: version 1 has one for each controller, and "/" where a controller isn't used. */
static bool cgroup_read(pid_t pid, char *out, size_t size)
{
	char path[64], line[4096];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
	f = fopen(path, "re");
	*out = '\0';
	while (f && fgets(line, sizeof line, f)) {
		const char *at = strchr(line, ':');

		at = at ? strchr(at + 1, ':') : NULL;
		line[strcspn(line, "\n")] = '\0';
		if (at && strlen(at + 1) > strlen(out))
			snprintf(out, size, "%s", at + 1);
	}
	if (f)
		fclose(f);
	return *out;
}

/* The process that connected is gone, so the number that it had may be another's by now. */
static bool is_gone(int conn)
{
	socklen_t len = sizeof(int);
	int pidfd = -1;
	struct pollfd p;
	bool gone;

	if (getsockopt(conn, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return errno == ESRCH || errno == ENODATA ||
		       errno == EINVAL; /* else nobody can tell: Linux before 6.5 */
	p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	gone = poll(&p, 1, 0) > 0;
	close(pidfd);
	return gone;
}

int peer_group(int conn, char *out, size_t size)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof peer;

	getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	if (peer.pid <= 0 || !cgroup_read(peer.pid, out, size))
		snprintf(out, size, "user %u", peer.uid);
	return is_gone(conn) ? -ESRCH : 0;
}
