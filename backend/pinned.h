/* SPDX-License-Identifier: MIT */
/*
 * Blobs that bytes travel through, mapped once more and pinned, so that the device copies straight from and to them. Each
 * mapping is ours, and ends when it is unpinned: nothing is unmapped under a pin. What they hold beyond their blobs' ends is
 * bounded, and given back with the next command.
 */
#ifndef BACKEND_PINNED_H
#define BACKEND_PINNED_H

#include <stdint.h>

#include "backend/pinner.h"

struct backend_context;

#define PINNED_BLOBS 16
#define PINNED_BYTES (UINT64_C(256) << 20) /* of one context */
#define PINNED_LEAST (UINT64_C(256) << 10) /* smaller ones aren't worth it */

struct pinned {
	const struct pinner *by; /* NULL: nobody can */
	struct {
		uint32_t res;
		uint64_t serial; /* which of those that were called so */
		char *ptr;
		uint64_t size;
	} blobs[PINNED_BLOBS];
	uint32_t n;
	uint64_t bytes;
	uint64_t dropped; /* when none of them had ended the last time */
	bool in_vain;     /* one couldn't be */
};

/* The blob's bytes, as context_shm(): pinned where that can be. */
void *pinned_shm(struct backend_context *ctx, uint32_t res, uint64_t off, uint64_t n);
/* Before a command: gives up those whose blobs have ended. */
void pinned_sweep(struct backend_context *ctx);
void pinned_fini(struct backend_context *ctx);

#endif
