/* SPDX-License-Identifier: MIT */
/* See self.h. */
#include "platform/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "proto/util.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

bool self_folder(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

void self_keep_rights(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* A hidden process's files belong to root: this one is opened before. */
static int oom_fd = -1;

/* The kernel ends who has the most points: its resident memory, and this many thousandths of all that there is. */
#define ADJ_BASE 800
#define ADJ_MOST 1000

static int adj_write(uint64_t adj)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)adj);

	return oom_fd >= 0 && pwrite(oom_fd, text, (size_t)n, 0) < 0 ? -errno : 0;
}

int self_first_to_go(void)
{
	oom_fd = fd_above_std(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
	return adj_write(ADJ_BASE);
}

void self_holds(uint64_t bytes, uint64_t of)
{
	static uint64_t written = ADJ_BASE;
	uint64_t share = of ? (uint64_t)((double)bytes / (double)of * 1000) : 0;
	uint64_t adj = share > ADJ_MOST - ADJ_BASE ? ADJ_MOST : ADJ_BASE + share;

	if (adj != written && adj_write(adj) == 0)
		written = adj;
}

void self_hide(void)
{
#ifndef SANITIZED /* a sanitizer looks for itself */
	prctl(PR_SET_DUMPABLE, 0);
#endif
}
