/* SPDX-License-Identifier: MIT */
/*
 * Whoever can make memory of this process such that the device copies straight from and to it: its vendor's driver, for the
 * libraries that we know. ggml's own registration is for reading only.
 */
#ifndef BACKEND_PINNER_H
#define BACKEND_PINNER_H

#include <stdbool.h>
#include <stddef.h>

struct pinner {
	/* Whole pages. False: it can't be, and is as before. */
	bool (*pin)(void *p, size_t size);
	/* The device doesn't use it. */
	void (*unpin)(void *p);
};

/* For a registry's and a device's name; NULL: none. The answers hold for the process. */
const struct pinner *pinner_for(const char *reg_name, const char *device_name);

/* pinner_cuda.c: for CUDA's device of that number. NULL: its driver isn't there, or has no such device. */
const struct pinner *pinner_cuda(int device);

#endif
