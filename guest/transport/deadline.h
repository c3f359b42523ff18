/* SPDX-License-Identifier: MIT */
/* Deadlines on the monotonic clock, in milliseconds, as poll() and the futex take them. */
#ifndef GUEST_TRANSPORT_DEADLINE_H
#define GUEST_TRANSPORT_DEADLINE_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define DEADLINE_NEVER INT64_MAX

static inline int64_t deadline_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* timeout_ms < 0: never */
static inline int64_t deadline_after(int timeout_ms)
{
	return timeout_ms < 0 ? DEADLINE_NEVER : deadline_now() + timeout_ms;
}

/* What is left, at most `most` ms; 0 when it has passed. */
static inline int deadline_left(int64_t deadline, int most)
{
	int64_t left = deadline == DEADLINE_NEVER ? INT_MAX : deadline - deadline_now();

	return left <= 0 ? 0 : left < most ? (int)left : most;
}

#endif
