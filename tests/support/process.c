/* SPDX-License-Identifier: MIT */
/* See process.h. */
#include "tests/support/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "proto/util.h"

const char *test_path(const char *variable)
{
	const char *v = getenv(variable);

	if (!v) {
		fprintf(stderr, "%s is not set: run this by meson test\n", variable);
		exit(99);
	}
	return v;
}

static FILE *proc_open(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	return fopen(path, "re");
}

long process_status(pid_t pid, const char *field)
{
	FILE *f = proc_open(pid, "status");
	size_t n = strlen(field);
	char line[256];
	long v = -1;

	while (f && v < 0 && fgets(line, sizeof line, f)) {
		if (!strncmp(line, field, n) && line[n] == ':')
			v = strtol(line + n + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return v;
}

/* Of its /proc/PID/stat, in clock ticks. */
struct times {
	unsigned long user, system, start;
};

static bool times_look(pid_t pid, struct times *t)
{
	FILE *f = proc_open(pid, "stat");
	char text[1024] = "";
	const char *after;

	if (!f)
		return false;
	if (!fgets(text, sizeof text, f))
		text[0] = '\0';
	fclose(f);
	after = strrchr(text, ')'); /* the command's name may hold anything */
	return after &&
	       sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %lu",
		       &t->user, &t->system, &t->start) == 3;
}

long process_cpu_ms(pid_t pid)
{
	struct times t;

	return times_look(pid, &t) ? (long)((t.user + t.system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK)) : -1;
}

/* Numbers start again from below when they have reached the highest, which may be 32768. */
static bool newer(pid_t pid, pid_t than)
{
	struct times a, b;

	if (!times_look(pid, &a) || !times_look(than, &b) || a.start == b.start)
		return abs(pid - than) < 16384 ? pid > than : pid < than;
	return a.start > b.start;
}

static bool command_begins(pid_t pid, const char *name)
{
	FILE *f = proc_open(pid, "comm");
	char comm[32] = "";
	bool yes;

	if (!f)
		return false;
	/* The kernel keeps 15 bytes of a command's name. */
	yes = fgets(comm, sizeof comm, f) && !strncmp(comm, name, strlen(name) < 15 ? strlen(name) : 15);
	fclose(f);
	return yes;
}

/* A worker's parent is its keeper. */
static bool is_child(pid_t pid, pid_t parent)
{
	long over = process_status(pid, "PPid");

	return over == parent ||
	       (command_begins((pid_t)over, "virtgpu-keeper") && process_status((pid_t)over, "PPid") == parent);
}

pid_t process_child(pid_t parent, const char *name)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;
	pid_t newest = 0;

	while (d && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (command_begins(pid, name) && is_child(pid, parent) && (!newest || newer(pid, newest)))
			newest = pid;
	}
	if (d)
		closedir(d);
	return newest;
}

size_t process_children(pid_t parent)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		n += pid > 0 && process_status(pid, "PPid") == parent;
	}
	if (d)
		closedir(d);
	return n;
}

bool process_ends(pid_t pid, int timeout_ms)
{
	AUTO_CLOSE int fd = pidfd_open(pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r;

	if (fd < 0)
		return errno == ESRCH;
	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

size_t process_memory(pid_t pid)
{
	long kib = process_status(pid, "RssAnon");

	return kib < 0 ? 0 : (size_t)kib * 1024;
}

void process_fd_link(pid_t pid, int fd, char *out, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
}

int process_fds_but(pid_t pid, int known, const char *prefix)
{
	char path[64], link[256];
	const struct dirent *e;
	int others = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return -1;
	while ((e = readdir(d))) {
		int fd = e->d_name[0] == '.' ? -1 : (int)strtol(e->d_name, NULL, 10);

		if (fd < known)
			continue;
		process_fd_link(pid, fd, link, sizeof link);
		if (strncmp(link, prefix, strlen(prefix)) != 0) {
			fprintf(stderr, "process %d has descriptor %d: %s\n", (int)pid, fd, link);
			others++;
		}
	}
	closedir(d);
	return others;
}

bool process_has_env(pid_t pid, const char *name)
{
	FILE *f = proc_open(pid, "environ");
	char *var = NULL;
	size_t room = 0;
	bool has = false;

	while (f && !has && getdelim(&var, &room, '\0', f) > 0)
		has = !strncmp(var, name, strlen(name));
	free(var);
	if (f)
		fclose(f);
	return has;
}
