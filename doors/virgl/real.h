/* SPDX-License-Identifier: MIT */
/*
 * The real virglrenderer, if there is one. The VMM's calls resolve to us, since we were loaded first; it is reached by
 * its file's own handle. VIRGL_APIR_RENDERER_LIBRARY names another file than libvirglrenderer.so.1.
 */
#ifndef DOORS_VIRGL_REAL_H
#define DOORS_VIRGL_REAL_H

#include <stdbool.h>

#include "doors/virgl/virgl_api.h"

/* A NULL pointer: the library isn't there, or too old to have it. */
struct real {
#define REAL_POINTER(type, name, params) type(*name) params;
	VIRGL_FUNCTIONS(REAL_POINTER)
#undef REAL_POINTER
};

/* Loads it at the first call; never NULL. Thread-safe. */
const struct real *real(void);

#endif
