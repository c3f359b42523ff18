/* SPDX-License-Identifier: MIT */
/* The plugin's lines: into ggml's own log, so that the program's settings hold, else to stderr. */
#ifndef GUEST_SAY_H
#define GUEST_SAY_H

#include "ggml-abi/symbols.h"
#include "proto/util.h"

/* s may be NULL again. */
void say_through(const struct abi_symbols *s);
/* One line, without its newline; "ggml-virtgpu: " goes before it. level is an enum abi_log_level. */
void say(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define say_error(...) say(ABI_LOG_ERROR, __VA_ARGS__)
#define say_warn(...)  say(ABI_LOG_WARN, __VA_ARGS__)
#define say_info(...)  say(ABI_LOG_INFO, __VA_ARGS__)

#endif
