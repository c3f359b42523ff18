/* SPDX-License-Identifier: MIT */
/* See log.h. stderr gets what a user must see; the file gets everything. */
#include "backend/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/rate.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static FILE *file; /* NULL: stderr */

static void log_open(void)
{
	const char *path = getenv("APIR_LLAMA_CPP_LOG_TO_FILE");

	if (!path)
		return;
	file = fopen(path, "ae");
	if (!file)
		fprintf(stderr,
			"ggml-virtgpu-backend: cannot open the log file '%s' (APIR_LLAMA_CPP_LOG_TO_FILE): %s; "
			"logging to stderr\n",
			path, strerror(errno));
}

void backend_log_open(void)
{
	pthread_once(&once, log_open);
}

/* stderr is limited; who names a file wants everything. */
static bool line_allowed(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct rate rate;
	unsigned dropped = 0;
	bool allowed;

	if (file)
		return true;
	pthread_mutex_lock(&lock);
	allowed = rate_take(&rate, &dropped);
	pthread_mutex_unlock(&lock);
	if (dropped)
		fprintf(stderr, "ggml-virtgpu-backend: %u lines were too many and left out\n", dropped);
	return allowed;
}

static void on_ggml_log(int32_t level, const char *text, void *user)
{
	static _Thread_local int shown; /* a continued line goes where its beginning went */

	(void)user;
	if (level != ABI_LOG_CONT)
		shown = (file || level >= ABI_LOG_WARN) && line_allowed();
	if (!shown)
		return;
	fputs(text, file ? file : stderr);
	if (file)
		fflush(file);
}

void backend_log_adopt(const struct abi_symbols *s)
{
	s->log_set(on_ggml_log, NULL);
}

void backend_log(int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if ((!file && level < ABI_LOG_INFO) || !line_allowed())
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	fprintf(file ? file : stderr, "ggml-virtgpu-backend: %s\n", line);
	if (file)
		fflush(file);
}
