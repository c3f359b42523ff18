/* SPDX-License-Identifier: MIT */
/* The backend's and ggml's log: the file that APIR_LLAMA_CPP_LOG_TO_FILE names (appended to), else stderr. */
#ifndef BACKEND_LOG_H
#define BACKEND_LOG_H

#include "ggml-abi/symbols.h"
#include "proto/util.h"

/* Opens the file once per process; one that can't be opened is reported on stderr and survived. */
void backend_log_open(void);
/* Sends ggml's own log the same way. */
void backend_log_adopt(const struct abi_symbols *s);
/* One line, no newline at its end; level is an enum abi_log_level. Thread-safe; what is too much is left out (log/rate.h). */
void backend_log(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
