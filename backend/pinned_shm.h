/* SPDX-License-Identifier: MIT */
/* A context's blobs, pinned where they can be (pinned.h). */
#ifndef BACKEND_PINNED_SHM_H
#define BACKEND_PINNED_SHM_H

#include <stdint.h>

struct backend_context;

/* The blob's bytes, as context_shm(): pinned where that can be. */
void *pinned_shm(struct backend_context *ctx, uint32_t res, uint64_t off, uint64_t n);
/* Before a command: gives up those whose blobs have ended. */
void pinned_sweep(struct backend_context *ctx);

#endif
