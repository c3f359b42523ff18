/* SPDX-License-Identifier: MIT */
/* See say.h. */
#include "guest/say.h"

#include <stdarg.h>
#include <stdio.h>

static void (*ggml_log)(int32_t, const char *, ...);

void say_through(const struct abi_symbols *s)
{
	ggml_log = s ? s->log_internal : NULL;
}

void say(int level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (ggml_log)
		ggml_log(level, "ggml-virtgpu: %s\n", line);
	else if (level >= ABI_LOG_WARN)
		fprintf(stderr, "ggml-virtgpu: %s\n", line);
}
