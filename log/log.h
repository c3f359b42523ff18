/* SPDX-License-Identifier: MIT */
/*
 * The log of the host's processes but for the backend library, which has its own. VIRGL_APIR_LOG_TO_FILE names a file:
 * everything is appended there. Without it, warnings and errors go to stderr (log_file.h).
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "proto/util.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* One line; no newline at the end of fmt. Strings from a guest go through log_escape(). Thread-safe. */
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Names this process in its lines ("serve", "vhost-user 3", "worker ctx 7"); copied. */
void log_name(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Shows information (not debugging) on stderr too; the command line's --verbose. */
void log_verbose(void);

/* Copies at most n - 1 bytes of s, what isn't printable ASCII as '?'; returns out. */
const char *log_escape(char *out, size_t n, const char *s);

#endif
