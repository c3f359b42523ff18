/* SPDX-License-Identifier: MIT */
/*
 * See memory.h: /proc/meminfo, and the cgroups of memory from ours up to the root, each of which may have a limit. Where a
 * container sees its own group as the root of the hierarchy, the root's files are those of the group.
 */
#include "platform/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/util.h"

/* The two versions of cgroups: how /proc/self/cgroup names them, where distributions mount them, their files. */
static const struct hierarchy {
	const char *name;
	const char *mounts[3];
	const char *limit, *used, *events;
	const char *files[2]; /* in memory.stat: the files that it keeps */
} hierarchies[] = {
	{ "0::", { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }, "memory.max", "memory.current", "memory.events",
		{ "inactive_file", "active_file" } },
	{ ":memory:", { "/sys/fs/cgroup/memory" }, "memory.limit_in_bytes", "memory.usage_in_bytes",
		"memory.oom_control", { "total_inactive_file", "total_active_file" } },
};

/* The number behind a word that begins a line; the first of the file where word is "". */
static bool number_in(const char *path, const char *word, uint64_t *out)
{
	FILE *f = fopen(path, "re");
	size_t n = strlen(word);
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f))
		found = !strncmp(line, word, n) && (!n || line[n] == ' ' || line[n] == ':') &&
		        sscanf(line + n + (n && line[n] == ':'), "%" SCNu64, out) == 1;
	if (f)
		fclose(f);
	return found;
}

static bool number_of(const char *folder, const char *file, const char *word, uint64_t *out)
{
	char path[1200];

	return snprintf(path, sizeof path, "%s/%s", folder, file) < (int)sizeof path && number_in(path, word, out);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void group_look(const struct hierarchy *h, const char *folder, struct memory *m)
{
	uint64_t limit, used, file, left;

	if (!number_of(folder, h->limit, "", &limit) || !number_of(folder, h->used, "", &used))
		return; /* no limit: "max", or the real root */
	for (size_t i = 0; i < ARRAY_SIZE(h->files); i++) {
		if (number_of(folder, "memory.stat", h->files[i], &file))
			used -= less(used, file);
	}
	left = limit > used ? limit - used : 0;
	m->total = less(m->total, limit);
	m->free = less(m->free, left);
}

/* Our group's folder, if it is there: else, in a container, the hierarchy's root is. */
static bool group_find(const struct hierarchy *h, char *folder, size_t size, size_t *root)
{
	char line[1024];
	FILE *f = fopen("/proc/self/cgroup", "re");
	const char *at = NULL;

	while (f && !at && fgets(line, sizeof line, f))
		at = strstr(line, h->name);
	if (f)
		fclose(f);
	if (!at || (h->name[0] != ':' && at != line))
		return false;
	at += strlen(h->name);
	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(h->mounts) && h->mounts[i]; i++) {
		*root = strlen(h->mounts[i]);
		if (snprintf(folder, size, "%s%s", h->mounts[i], strcmp(at, "/") ? at : "") < (int)size &&
			access(folder, R_OK) == 0)
			return true;
	}
	/* A mount's root may be no group, but the folder of other mounts. */
	for (size_t i = 0; i < ARRAY_SIZE(h->mounts) && h->mounts[i]; i++) {
		*root = strlen(h->mounts[i]);
		if (snprintf(folder, size, "%s/%s", h->mounts[i], h->used) < (int)size && access(folder, R_OK) == 0) {
			folder[*root] = '\0';
			return true;
		}
	}
	return false;
}

bool memory_look(struct memory *out)
{
	char folder[1100], *slash;
	size_t root;

	if (!number_in("/proc/meminfo", "MemTotal", &out->total) ||
		!number_in("/proc/meminfo", "MemAvailable", &out->free))
		return false;
	out->total *= 1024;
	out->free *= 1024;
	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		if (!group_find(&hierarchies[i], folder, sizeof folder, &root))
			continue;
		for (;;) {
			group_look(&hierarchies[i], folder, out);
			slash = strrchr(folder, '/');
			if (strlen(folder) <= root || !slash)
				break;
			*slash = '\0';
		}
	}
	return true;
}

void memory_kills(struct memory_kills *out)
{
	char folder[1100];
	size_t root;
	uint64_t n;

	*out = (struct memory_kills){ 0 };
	out->told = number_in("/proc/vmstat", "oom_kill", &out->machine);
	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		if (group_find(&hierarchies[i], folder, sizeof folder, &root) &&
			number_of(folder, hierarchies[i].events, "oom_kill", &n)) {
			out->group += n;
			out->told = true;
		}
	}
}
