/* SPDX-License-Identifier: MIT */
/* Deadlines on the monotonic clock, in milliseconds, as poll() and the futex take them. */
#ifndef GUEST_TRANSPORT_DEADLINE_H
#define GUEST_TRANSPORT_DEADLINE_H

#include <limits.h>
#include <stdint.h>

#include "platform/clock.h"

#define DEADLINE_NEVER INT64_MAX

/* timeout_ms < 0: never */
static inline int64_t deadline_after(int timeout_ms)
{
	return timeout_ms < 0 ? DEADLINE_NEVER : clock_ms() + timeout_ms;
}

/* What is left, at most `most` ms; 0 when it has passed. */
static inline int deadline_left(int64_t deadline, int most)
{
	int64_t left = deadline == DEADLINE_NEVER ? INT_MAX : deadline - clock_ms();

	return left <= 0 ? 0 : left < most ? (int)left : most;
}

#endif
