/* SPDX-License-Identifier: MIT */
/* See log.h. stderr gets what a user must see; the file gets everything. */
#include "backend/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log/log_file.h"

static struct log_file file = LOG_FILE_INIT("APIR_LLAMA_CPP_LOG_TO_FILE", "ggml-virtgpu-backend");

void backend_log_open(void)
{
	log_file_open(&file);
}

/* Where it went, if anywhere. */
static int text_put(int fd, bool for_stderr, const char *text)
{
	size_t n = strlen(text);

	while (fd >= 0 && !log_file_put(&file, fd, text, n))
		fd = log_file_begin(&file, for_stderr);
	return fd;
}

static void on_ggml_log(int32_t level, const char *text, void *user)
{
	static _Thread_local int fd = -1; /* a continued line goes where its beginning went */
	bool for_stderr = level >= ABI_LOG_WARN;

	(void)user;
	if (level != ABI_LOG_CONT)
		fd = log_file_begin(&file, for_stderr);
	fd = text_put(fd, for_stderr, text);
}

void backend_log_adopt(const struct abi_symbols *s)
{
	s->log_set(on_ggml_log, NULL);
}

void backend_log(int level, const char *fmt, ...)
{
	bool for_stderr = level >= ABI_LOG_INFO;
	int fd = log_file_begin(&file, for_stderr);
	char text[1024], line[sizeof text + 32];
	va_list ap;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(line, sizeof line, "ggml-virtgpu-backend: %s\n", text);
	text_put(fd, for_stderr, line);
}
