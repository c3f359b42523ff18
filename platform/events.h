/* SPDX-License-Identifier: MIT */
/*
 * An event set: descriptors to watch, a wake that one gives oneself, and an alarm, behind one pollable descriptor.
 *
 * Descriptors are watched level-triggered and leave the set when they are closed. Each has a word, which comes back
 * with its events; the two highest are ours. One thread at a time.
 */
#ifndef PLATFORM_EVENTS_H
#define PLATFORM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#define EVENTS_MAX 16         /* taken at once */
#define EVENTS_OWN UINT64_MAX /* the word of the wake and the alarm */

struct events;

struct event {
	uint64_t word;
	bool writable; /* it takes more; else: there is something to read, or it hung up */
};

/* *out is owned by the caller. 0 or -errno. */
int events_create(struct events **out);
/* Watched descriptors stay open. e may be NULL. */
void events_destroy(struct events *e);
/* Readable when events_take() has something; owned by e. */
int events_fd(const struct events *e);

/* Watches fd for input. 0 or -errno. */
int events_add(struct events *e, int fd, uint64_t word);
/* From now on a watched fd, with its word, is watched for taking output too, or not any more. 0 or -errno. */
int events_want_write(struct events *e, int fd, uint64_t word, bool want);

/* Makes an event of word EVENTS_OWN; several before it is taken are one. */
void events_wake(struct events *e);
/* The same at `at_ms` of clock_ms(), instead of any earlier alarm; 0: no alarm. */
void events_alarm(struct events *e, int64_t at_ms);

/* What has happened, without waiting: how many were written to out, 0: nothing, or -errno. */
int events_take(struct events *e, struct event out[EVENTS_MAX]);

#endif
