/* SPDX-License-Identifier: MIT */
/* See log.h. */
#include "apir/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/rate.h"

#define FILE_ENV "VIRGL_APIR_LOG_TO_FILE"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int log_fd = STDERR_FILENO;
static enum apir_log_level threshold = APIR_LOG_WARN;
static char name[48] = "apir";

static void log_open(void)
{
	const char *path = getenv(FILE_ENV);
	int fd;

	if (!path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		dprintf(STDERR_FILENO,
			"ggml-virtgpu %s: cannot open the log file '%s' (" FILE_ENV "): %s; logging to stderr\n", name,
			path, strerror(errno));
		return;
	}
	log_fd = fd;
	threshold = APIR_LOG_DEBUG;
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

/* stderr is limited; who names a file wants everything. */
static bool line_allowed(unsigned *dropped)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct rate rate;
	bool allowed;

	*dropped = 0;
	if (log_fd != STDERR_FILENO)
		return true;
	pthread_mutex_lock(&lock);
	allowed = rate_take(&rate, dropped);
	pthread_mutex_unlock(&lock);
	return allowed;
}

static bool writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* One write a line, so that the lines of several processes don't mix. */
void apir_log(enum apir_log_level level, const char *fmt, ...)
{
	static const char *const words[] = { "debug: ", "", "warning: ", "error: " };
	char line[1024];
	struct timespec t;
	unsigned dropped;
	va_list ap;
	int n = 0;

	pthread_once(&once, log_open);
	if (level < threshold || !line_allowed(&dropped))
		return;
	if (dropped)
		dprintf(log_fd, "ggml-virtgpu %s: %u lines were too many and left out\n", name, dropped);
	if (log_fd != STDERR_FILENO) {
		clock_gettime(CLOCK_REALTIME, &t);
		n = snprintf(line, sizeof line, "%lld.%03ld ", (long long)t.tv_sec, t.tv_nsec / 1000000);
	}
	n += snprintf(line + n, sizeof line - (size_t)n, "ggml-virtgpu %s: %s", name, words[level]);
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	if (!writable(log_fd))
		return; /* a reader that doesn't read must not stop a door */
	if (write(log_fd, line, (size_t)n) < 0)
		return; /* a log that can't be written is survived */
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
