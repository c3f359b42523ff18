/* SPDX-License-Identifier: MIT */
/*
 * The APIR component's log. VIRGL_APIR_LOG_TO_FILE names a file: everything is appended there. Without it,
 * warnings and errors go to stderr. A file that can't be opened is reported once on stderr and survived.
 */
#ifndef APIR_LOG_H
#define APIR_LOG_H

#include "proto/util.h"

enum apir_log_level { APIR_LOG_DEBUG, APIR_LOG_INFO, APIR_LOG_WARN, APIR_LOG_ERROR };

/* One line; no newline at the end of fmt. Strings from a guest go through log_escape(). Thread-safe. */
void apir_log(enum apir_log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) apir_log(APIR_LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  apir_log(APIR_LOG_INFO, __VA_ARGS__)
#define log_warn(...)  apir_log(APIR_LOG_WARN, __VA_ARGS__)
#define log_error(...) apir_log(APIR_LOG_ERROR, __VA_ARGS__)

/* Names this process in its lines ("serve", "vhost-user 3", "worker ctx 7"); copied. */
void apir_log_name(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Shows information (not debugging) on stderr too; the command line's --verbose. */
void apir_log_verbose(void);

/* Copies at most n - 1 bytes of s, what isn't printable ASCII as '?'; returns out. */
const char *log_escape(char *out, size_t n, const char *s);

#endif
