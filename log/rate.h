/* SPDX-License-Identifier: MIT */
/* How many lines a process logs: what a guest can provoke must not fill the host's disk. */
#ifndef LOG_RATE_H
#define LOG_RATE_H

#include <stdbool.h>

#include "platform/clock.h"

#define RATE_LINES      200  /* in each window, to stderr */
#define RATE_LINES_FILE 5000 /* to a file that somebody named to see everything */
#define RATE_MS         10000

struct rate {
	int64_t window; /* when it began, clock_ms() */
	unsigned lines;
};

/* Whether one more line may be logged now; *dropped: how many were not in the window that has just ended. Under the
 * caller's lock. */
static inline bool rate_take(struct rate *r, unsigned most, unsigned *dropped)
{
	int64_t now = clock_ms();

	*dropped = 0;
	if (now - r->window >= RATE_MS) {
		*dropped = r->lines > most ? r->lines - most : 0;
		*r = (struct rate){ .window = now };
	}
	return ++r->lines <= most;
}

#endif
