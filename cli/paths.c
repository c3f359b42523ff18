/* SPDX-License-Identifier: MIT */
/* Where our own files are. A build tree is told by the program lying in its folder "cli". */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "proto/util.h"

static bool found(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

static bool found(char *out, size_t size, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(out, size, format, ap);
	va_end(ap);
	return n > 0 && (size_t)n < size && access(out, R_OK) == 0;
}

bool path_find(char *out, size_t size, const char *build_dir, const char *name, const char *installed_dir)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		*slash = '\0';
		if (found(out, size, "%s/../%s/%s", self, build_dir, name) || found(out, size, "%s/%s", self, name))
			return true;
	}
	return found(out, size, "%s/%s", installed_dir, name);
}
