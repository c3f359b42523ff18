/* SPDX-License-Identifier: MIT */
/* Starting a worker process. */
#ifndef APIR_WORKER_H
#define APIR_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "platform/memory.h"
#include "platform/process.h"

/*
 * Starts the program at `path` as the worker of context ctx_id. It gets `sock`, borrowed, as its only descriptor, and
 * of the environment what GPU libraries read. fixed: "KEY=VALUE" strings, NULL at the end, that what comes over the
 * socket can't change, nor then any other key that names a library; NULL: none. 0, or -ENOENT and the like from exec.
 */
int worker_start(struct process *p, const char *path, uint32_t ctx_id, int sock, char *const *fixed);

/* For the log, behind the signal that ended it: whether it may have been the kernel, for want of memory. Since:
 * memory_kills() before it was started. Returns out, "" where that isn't so. */
const char *worker_killed(const struct process_end *end, const struct memory_kills *since, char *out, size_t size);
#define WORKER_KILLED_TEXT 128 /* bytes, enough for it */

#endif
