/* SPDX-License-Identifier: MIT */
/* Where our own files are. A build tree is told by the program lying in its folder "cli". */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "platform/self.h"
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
	char folder[PATH_MAX];

	if (self_folder(folder, sizeof folder) &&
		(found(out, size, "%s/../%s/%s", folder, build_dir, name) || found(out, size, "%s/%s", folder, name)))
		return true;
	return found(out, size, "%s/%s", installed_dir, name);
}
