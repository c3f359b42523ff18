/* SPDX-License-Identifier: MIT */
/*
 * See log.h. stderr gets what a user must see; the file gets everything. A file that can't be opened or written is told
 * of once; from then on the lines go to stderr.
 */
#include "backend/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "proto/rate.h"

#define FILE_ENV "APIR_LLAMA_CPP_LOG_TO_FILE"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *_Atomic file; /* NULL: stderr */

static void file_complain(const char *what, int err)
{
	fprintf(stderr, "ggml-virtgpu-backend: cannot %s the log file '%s' (" FILE_ENV "): %s; logging to stderr\n",
		what, getenv(FILE_ENV), strerror(err));
}

static void log_open(void)
{
	const char *path = getenv(FILE_ENV);
	int fd;

	if (!path)
		return;
	/* O_NONBLOCK: not to wait for a pipe's reader */
	fd = fd_above_std(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666));
	if (fd >= 0)
		file = fdopen(fd, "a");
	if (!file)
		file_complain("open", errno);
}

/* Whether the file has it: there is one, and it could be written. */
static bool file_write(const char *text)
{
	FILE *f;
	bool ok;

	pthread_mutex_lock(&file_lock);
	f = file;
	ok = f && fputs(text, f) >= 0 && fflush(f) == 0;
	if (f && !ok) {
		file_complain("write", errno);
		file = NULL;
		fclose(f);
	}
	pthread_mutex_unlock(&file_lock);
	return ok;
}

void backend_log_open(void)
{
	pthread_once(&once, log_open);
}

/* What a guest can provoke must not fill a disk; who names a file gets more. */
static bool line_allowed(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct rate rates[2];
	bool to_file = file, allowed;
	unsigned dropped = 0;
	char line[96];

	pthread_mutex_lock(&lock);
	allowed = rate_take(&rates[to_file], to_file ? RATE_LINES_FILE : RATE_LINES, &dropped);
	pthread_mutex_unlock(&lock);
	if (dropped) {
		snprintf(line, sizeof line, "ggml-virtgpu-backend: %u lines were too many and left out\n", dropped);
		if (!file_write(line))
			fputs(line, stderr);
	}
	return allowed;
}

static void on_ggml_log(int32_t level, const char *text, void *user)
{
	static _Thread_local int shown; /* a continued line goes where its beginning went */

	(void)user;
	if (level != ABI_LOG_CONT)
		shown = (file || level >= ABI_LOG_WARN) && line_allowed();
	if (shown && !file_write(text) && level >= ABI_LOG_WARN)
		fputs(text, stderr);
}

void backend_log_adopt(const struct abi_symbols *s)
{
	s->log_set(on_ggml_log, NULL);
}

void backend_log(int level, const char *fmt, ...)
{
	char text[1024], line[sizeof text + 32];
	va_list ap;

	if ((!file && level < ABI_LOG_INFO) || !line_allowed())
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(line, sizeof line, "ggml-virtgpu-backend: %s\n", text);
	if (!file_write(line) && level >= ABI_LOG_INFO)
		fputs(line, stderr);
}
