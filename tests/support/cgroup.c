/* SPDX-License-Identifier: MIT */
/* See cgroup.h. Both versions, where distributions mount them. */
#include "tests/support/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/util.h"

static bool put(const char *folder, const char *file, const char *text)
{
	char path[512];
	AUTO_CLOSE int fd = -1;

	snprintf(path, sizeof path, "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

bool cgroup_make(struct cgroup *c, uint64_t limit)
{
	static const struct {
		const char *root, *limit;
	} places[] = {
		{ "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
		{ "/sys/fs/cgroup", "memory.max" },
		{ "/sys/fs/cgroup/unified", "memory.max" },
	};
	static unsigned made;
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)limit);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		put(places[i].root, "cgroup.subtree_control", "+memory");
		/* Longer than the others that a process may be in: see cli/peer.c. */
		snprintf(c->path, sizeof c->path, "%s/ggml-virtgpu-test-%d-%u-%s", places[i].root, (int)getpid(),
			made++, "a-name-that-is-longer-than-those-of-other-hierarchies");
		if (mkdir(c->path, 0755) < 0)
			continue;
		if (!access(c->path, W_OK) && (!limit || put(c->path, places[i].limit, text)))
			return true;
		rmdir(c->path);
	}
	return false;
}

bool cgroup_enter(const struct cgroup *c)
{
	return put(c->path, "cgroup.procs", "0");
}

void cgroup_remove(const struct cgroup *c)
{
	for (int i = 0; i < 1000 && rmdir(c->path) < 0 && errno == EBUSY; i++)
		usleep(10000);
}
