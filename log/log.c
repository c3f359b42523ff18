/* SPDX-License-Identifier: MIT */
/* See log.h. */
#include "log/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "log/log_file.h"

static struct log_file file = LOG_FILE_INIT("VIRGL_APIR_LOG_TO_FILE", "ggml-virtgpu apir");
static enum log_level threshold = LOG_LEVEL_WARN; /* of stderr; a file takes everything */

void log_name(const char *fmt, ...)
{
	char name[48];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof name, fmt, ap);
	va_end(ap);
	snprintf(file.who, sizeof file.who, "ggml-virtgpu %s", name);
}

void log_verbose(void)
{
	if (threshold > LOG_LEVEL_INFO)
		threshold = LOG_LEVEL_INFO;
}

/* One write a line, so that the lines of several processes don't mix. Its size. */
static size_t line_format(char *line, size_t room, bool timed, enum log_level level, const char *text)
{
	static const char *const words[] = { "debug: ", "", "warning: ", "error: " };
	struct timespec t;
	int n = 0;

	if (timed) {
		clock_gettime(CLOCK_REALTIME, &t);
		n = snprintf(line, room, "%lld.%03ld ", (long long)t.tv_sec, t.tv_nsec / 1000000);
	}
	n += snprintf(line + n, room - (size_t)n, "%s: %s%s", file.who, words[level], text);
	if (n > (int)room - 2)
		n = (int)room - 2;
	line[n++] = '\n';
	return (size_t)n;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int fd = log_file_begin(&file, level >= threshold);
	char text[1024], line[1024];
	va_list ap;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	while (fd >= 0) {
		size_t n = line_format(line, sizeof line, fd != STDERR_FILENO, level, text);

		fd = log_file_put(&file, fd, line, n) ? -1 : log_file_begin(&file, level >= threshold);
	}
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
