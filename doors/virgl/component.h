/* SPDX-License-Identifier: MIT */
/* The APIR component behind this door, and the thread that hears of finished work. */
#ifndef DOORS_VIRGL_COMPONENT_H
#define DOORS_VIRGL_COMPONENT_H

#include <stdbool.h>

/* door.apir, made at the first call, with its thread; NULL: it can't be made, which was logged. Locked. */
struct apir *component_get(void);
/* Whether the real library answers for capset 4: it has Venus, and Venus isn't routed to APIR. Locked. */
bool component_leaves_venus(void);

#endif
