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

/* Whether one of that size is pinned too. */
bool pinned_has_room(const struct pinned *p, uint64_t size);
/* Pins a mapping of our own of the blob that is mapped there; the last of them then. False: it can't be. */
bool pinned_add(struct pinned *p, void *shm, uint32_t res, uint64_t serial, uint64_t size);
/* Gives up the i-th, with which no device is at work; the last comes to its place. */
void pinned_drop(struct pinned *p, uint32_t i);
void pinned_fini(struct pinned *p);

#endif
