/* SPDX-License-Identifier: MIT */
/*
 * Every function that ggml calls and that may lock, ask or change something begins with entry_begin(), and ends with
 * entry_end() if that was true. False: it can do no more than give the answer that it has for such a case. That is so in a
 * forked child; and within another call of the same thread, made by a signal handler: that call holds the lock, and
 * whatever it changes is half changed.
 *
 * Between both the thread isn't cancelled: it would keep the lock for ever. A cancellation waits for the call's end.
 */
#ifndef GUEST_ENTRY_H
#define GUEST_ENTRY_H

#include <stdbool.h>

/* `what` it was that couldn't be done within another call is told when that one is over; NULL: it isn't worth it. */
bool entry_begin(const char *what);
void entry_end(void);
/* After entry_begin() was false, where the device itself was asked for: a forked child is told, once, why it has none. */
void entry_forked_tell(void);

#endif
