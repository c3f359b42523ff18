/* SPDX-License-Identifier: MIT */
#ifndef BACKEND_CORES_H
#define BACKEND_CORES_H

/* The host's physical cores that this process may run on, at least 1: the CPU backend's default thread count. */
long cores_physical(void);

#endif
