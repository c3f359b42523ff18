/* SPDX-License-Identifier: MIT */
/*
 * Mapped memory that may go away under us: a device's, when the device is reset or unbound. Whoever touches it then is
 * not ended by SIGBUS, but reads zeros and finds a flag set.
 *
 * The signal's handler is put in front of whatever the program has there, acts only for faults within guarded
 * mappings, and hands everything else on as if it weren't there.
 */
#ifndef PLATFORM_GUARD_H
#define PLATFORM_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Guards the mapping until guard_remove(), which comes before it is unmapped. *lost is set, and stays, before anybody
 * sees the first zero; it must outlive the mapping. -ENOSPC: too many. */
int guard_add(void *ptr, size_t size, _Atomic bool *lost);
void guard_remove(void *ptr);
/* In a forked child, which hasn't the mappings: nothing is guarded any more. Async-signal-safe. */
void guard_abandon(void);

/* Between both, this thread may touch guarded memory: a program may have put its own handler in front of ours since, or
 * keep the signal from this thread. One thread at a time; enter() says what leave() is to be told. */
bool guard_enter(void);
void guard_leave(bool entered);

#endif
