/* SPDX-License-Identifier: MIT */
/* See log_file.h. A file that is given up keeps its descriptor: others may be writing to it. */
#include "log/log_file.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

static void file_complain(const struct log_file *f, const char *what, int err)
{
	dprintf(STDERR_FILENO, "%s: cannot %s the log file '%s' (%s): %s; logging to stderr\n", f->who, what,
		getenv(f->env), f->env, strerror(err));
}

static int file_open(const struct log_file *f)
{
	const char *path = getenv(f->env);
	int fd;

	if (!path)
		return STDERR_FILENO;
	/* O_NONBLOCK: a pipe that nobody reads must not stop us */
	fd = fd_above_std(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
	if (fd >= 0)
		return fd;
	file_complain(f, "open", errno);
	return STDERR_FILENO;
}

void log_file_open(struct log_file *f)
{
	if (f->fd != LOG_FILE_UNOPENED)
		return;
	pthread_mutex_lock(&f->lock);
	if (f->fd == LOG_FILE_UNOPENED)
		f->fd = file_open(f);
	pthread_mutex_unlock(&f->lock);
}

/* 1: it takes a line without blocking; 0: not now; -EPIPE: nobody reads it any more, and writing would raise SIGPIPE. */
static int writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, 0) <= 0)
		return 0;
	return p.revents & (POLLERR | POLLHUP | POLLNVAL) ? -EPIPE : 1;
}

int log_file_begin(struct log_file *f, bool for_stderr)
{
	unsigned dropped;
	bool file, allowed;
	int fd;

	log_file_open(f);
	fd = f->fd;
	file = fd != STDERR_FILENO;
	if (!file && !for_stderr)
		return -1;
	pthread_mutex_lock(&f->lock);
	allowed = rate_take(&f->rates[file], file ? RATE_LINES_FILE : RATE_LINES, &dropped);
	pthread_mutex_unlock(&f->lock);
	if (dropped && writable(fd) > 0)
		dprintf(fd, "%s: %u lines were too many and left out\n", f->who, dropped);
	return allowed ? fd : -1;
}

bool log_file_put(struct log_file *f, int fd, const char *text, size_t size)
{
	int ready = writable(fd), err = ready < 0 ? -ready : 0;

	if (ready > 0 && write(fd, text, size) < 0 && errno != EAGAIN && errno != EINTR)
		err = errno;
	if (!err || fd == STDERR_FILENO) /* a log that can't be written is survived */
		return true;
	if (atomic_compare_exchange_strong(&f->fd, &fd, STDERR_FILENO)) /* only one thread complains */
		file_complain(f, "write", err);
	return false;
}
