/* SPDX-License-Identifier: MIT */
/* See library.h. */
#include "platform/library.h"

#include <stddef.h>

const char *const library_places[] = {
#if defined(__x86_64__)
	"/usr/lib/x86_64-linux-gnu/ggml/backends*",
	"/usr/lib/x86_64-linux-gnu/ggml",
	"/usr/lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
	"/usr/lib/aarch64-linux-gnu/ggml/backends*",
	"/usr/lib/aarch64-linux-gnu/ggml",
	"/usr/lib/aarch64-linux-gnu",
#endif
	"/usr/lib64/ggml",
	"/usr/lib64",
	"/usr/lib/ggml",
	"/usr/lib",
	"/usr/local/lib/ggml",
	"/usr/local/lib",
	"/usr/local/lib64",
	NULL,
};
