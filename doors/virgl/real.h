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

/* Loads it at the first call; never NULL. Without functions after a start that failed. Thread-safe. */
const struct real *real(void);

/*
 * Starts it for the VMM; without Venus where it can't start with it. The flags that it works with, or -1: it doesn't
 * work, which was logged.
 */
int real_start(void *cookie, int flags, struct virgl_renderer_callbacks *cb);
void real_stop(void *cookie);
/* A call that it makes to itself: it cleans up by its own exported function when a start fails. */
bool real_is_starting(void);

#endif
