/* SPDX-License-Identifier: MIT */
/*
 * One client's syncs: named 64-bit counters, points on them that submissions will reach, and waits for
 * points.
 *
 * A submission's points are held back until the fence behind it is done; fences of a ring are done in order,
 * so one that is done takes the earlier ones of its ring along. A wait is an eventfd that becomes readable
 * when its points are reached; the client holds the other copy. An id that the client dropped lives on,
 * nameless, as long as a submission or a wait refers to it. Everything is bounded; over a bound is -EDQUOT.
 */
#ifndef DOORS_SOCKET_SYNC_H
#define DOORS_SOCKET_SYNC_H

#include "proto/util.h"
#include "proto/vtest_wire.h"

#define SYNC_MAX        1024u  /* syncs that a client has */
#define SYNC_POINTS_MAX 1024u  /* points in one wait or submission */
#define SYNC_WAITS_MAX  256u   /* waits that pend */
#define SYNC_HELD_MAX   16384u /* submissions that pend; and points in them, and points in waits */

struct sync {
	uint64_t value;
	uint32_t refs; /* the client's own, one for each pending point */
	bool named;    /* the client can use the id */
};

struct sync_wait;
struct sync_submission;

struct sync_table {
	struct sync syncs[SYNC_MAX]; /* id - 1 */
	struct sync_wait *waits;
	uint32_t wait_count, wait_points;
	struct sync_submission *first, **last; /* oldest first */
	uint32_t submission_count, submission_points;
};

void sync_table_init(struct sync_table *t);
/* Closes the waits' descriptors; nothing is signalled. */
void sync_table_fini(struct sync_table *t);

int sync_create(struct sync_table *t, uint64_t value, uint32_t *id);
/* The others return -ENOENT for an id that isn't there. */
int sync_unref(struct sync_table *t, uint32_t id);
int sync_read(const struct sync_table *t, uint32_t id, uint64_t *value);
/* May also take the value back. */
int sync_write(struct sync_table *t, uint32_t id, uint64_t value);

/* Makes a wait; returns the eventfd, which the caller closes when it has sent it, or -errno. */
int sync_wait(
	struct sync_table *t, const struct vtest_sync_wait *how, const struct vtest_sync_point *points, uint32_t count);

/* Holds the points back until `fence` on `ring` is done. fence grows from call to call. */
int sync_hold(
	struct sync_table *t, uint32_t ring, uint64_t fence, const struct vtest_sync_point *points, uint32_t count);
void sync_fence_done(struct sync_table *t, uint32_t ring, uint64_t fence);

#endif
