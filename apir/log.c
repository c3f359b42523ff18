/* SPDX-License-Identifier: MIT */
/* See log.h. A file that can't be opened or written is told of once; from then on the lines go to stderr. */
#include "apir/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/rate.h"

#define FILE_ENV "VIRGL_APIR_LOG_TO_FILE"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic int log_fd = STDERR_FILENO;
static enum apir_log_level threshold = APIR_LOG_WARN; /* of stderr; a file takes everything */
static char name[48] = "apir";

static void file_complain(const char *what, int err)
{
	dprintf(STDERR_FILENO, "ggml-virtgpu %s: cannot %s the log file '%s' (" FILE_ENV "): %s; logging to stderr\n",
		name, what, getenv(FILE_ENV), strerror(err));
}

static void log_open(void)
{
	const char *path = getenv(FILE_ENV);
	int fd;

	if (!path)
		return;
	/* O_NONBLOCK: a pipe that nobody reads must not stop a door */
	fd = fd_above_std(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
	if (fd < 0)
		file_complain("open", errno);
	else
		log_fd = fd;
}

void apir_log_name(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof name, fmt, ap);
	va_end(ap);
}

void apir_log_verbose(void)
{
	if (threshold > APIR_LOG_INFO)
		threshold = APIR_LOG_INFO;
}

/* 1: it takes a line without blocking; 0: not now; -EPIPE: nobody reads it any more, and writing would raise SIGPIPE. */
static int writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, 0) <= 0)
		return 0;
	return p.revents & (POLLERR | POLLHUP | POLLNVAL) ? -EPIPE : 1;
}

/* What a guest can provoke must not fill a disk; who names a file gets more. */
static bool line_allowed(int fd)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct rate rates[2];
	bool file = fd != STDERR_FILENO;
	unsigned dropped;
	bool allowed;

	pthread_mutex_lock(&lock);
	allowed = rate_take(&rates[file], file ? RATE_LINES_FILE : RATE_LINES, &dropped);
	pthread_mutex_unlock(&lock);
	if (allowed && dropped && writable(fd) > 0)
		dprintf(fd, "ggml-virtgpu %s: %u lines were too many and left out\n", name, dropped);
	return allowed;
}

/* One write a line, so that the lines of several processes don't mix. 0, or -errno: it could not be written. */
static int line_write(int fd, enum apir_log_level level, const char *text)
{
	static const char *const words[] = { "debug: ", "", "warning: ", "error: " };
	char line[1024];
	struct timespec t;
	int n = 0, ready;

	ready = writable(fd);
	if (ready <= 0)
		return ready; /* a reader that doesn't read must not stop a door */
	if (fd != STDERR_FILENO) {
		clock_gettime(CLOCK_REALTIME, &t);
		n = snprintf(line, sizeof line, "%lld.%03ld ", (long long)t.tv_sec, t.tv_nsec / 1000000);
	}
	n += snprintf(line + n, sizeof line - (size_t)n, "ggml-virtgpu %s: %s%s", name, words[level], text);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	return write(fd, line, (size_t)n) < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

/* Only one thread gives the file up, and only it complains. The descriptor stays: others may be writing to it. */
static void file_give_up(int fd, int err)
{
	if (atomic_compare_exchange_strong(&log_fd, &fd, STDERR_FILENO))
		file_complain("write", err);
}

void apir_log(enum apir_log_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int fd, err;

	pthread_once(&once, log_open);
	fd = log_fd;
	if (fd == STDERR_FILENO && level < threshold)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (fd != STDERR_FILENO) {
		err = line_allowed(fd) ? line_write(fd, level, text) : 0;
		if (!err)
			return;
		file_give_up(fd, -err);
	}
	if (level >= threshold && line_allowed(STDERR_FILENO))
		line_write(STDERR_FILENO, level, text); /* a log that can't be written is survived */
}

const char *log_escape(char *out, size_t n, const char *s)
{
	size_t i = 0;

	for (; s[i] && i + 1 < n; i++)
		out[i] = s[i] >= ' ' && s[i] <= '~' ? s[i] : '?';
	if (n)
		out[i] = '\0';
	return out;
}
