/* SPDX-License-Identifier: MIT */
/*
 * Waits and submissions are lists, searched from the front: both are short with an honest client, and bounded
 * with another. Points refer to syncs by index and hold a reference, so a slot isn't reused under them.
 */
#include "doors/socket/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "platform/clock.h"

struct sync_ref {
	uint32_t slot; /* in sync_table.syncs */
	uint64_t value;
};

struct sync_wait {
	struct sync_wait *next;
	int fd;
	bool any;
	int64_t expires_ms; /* monotonic; the client gave up then */
	uint32_t count;
	struct sync_ref refs[];
};

struct sync_submission {
	struct sync_submission *next;
	uint32_t ring;
	uint64_t fence;
	uint32_t count;
	struct sync_ref refs[];
};

void sync_table_init(struct sync_table *t)
{
	memset(t, 0, sizeof *t);
	t->last = &t->first;
}

void sync_table_fini(struct sync_table *t)
{
	while (t->waits) {
		struct sync_wait *w = t->waits;

		t->waits = w->next;
		close(w->fd);
		free(w);
	}
	while (t->first) {
		struct sync_submission *s = t->first;

		t->first = s->next;
		free(s);
	}
	sync_table_init(t);
}

/* The slot of an id that the client may use, or -ENOENT. */
static int slot_find(const struct sync_table *t, uint32_t id)
{
	return id - 1 < SYNC_MAX && t->syncs[id - 1].named ? (int)(id - 1) : -ENOENT;
}

static void refs_drop(struct sync_table *t, const struct sync_ref *refs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		t->syncs[refs[i].slot].refs--;
}

/* Turns points into references; takes none when it fails. */
static int refs_take(struct sync_table *t, struct sync_ref *refs, const struct vtest_sync_point *points, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int slot = slot_find(t, points[i].id);

		if (slot < 0) {
			refs_drop(t, refs, i);
			return slot;
		}
		refs[i].slot = (uint32_t)slot;
		refs[i].value = vtest_u64(points[i].value_lo, points[i].value_hi);
		t->syncs[slot].refs++;
	}
	return 0;
}

static bool wait_reached(const struct sync_table *t, const struct sync_wait *w)
{
	uint32_t reached = 0;

	for (uint32_t i = 0; i < w->count; i++)
		reached += t->syncs[w->refs[i].slot].value >= w->refs[i].value;
	return w->any && reached ? true : reached == w->count;
}

static void wait_free(struct sync_table *t, struct sync_wait *w)
{
	refs_drop(t, w->refs, w->count);
	close(w->fd);
	free(w);
}

/* Signals the waits whose points are reached and drops those that nobody waits for any more. */
static void waits_settle(struct sync_table *t)
{
	struct sync_wait **link = &t->waits;
	int64_t now = t->waits ? clock_ms() : 0;

	while (*link) {
		struct sync_wait *w = *link;
		bool reached = wait_reached(t, w);

		if (!reached && w->expires_ms > now) {
			link = &w->next;
			continue;
		}
		if (reached)
			(void)eventfd_write(w->fd, 1);
		*link = w->next;
		t->wait_count--;
		t->wait_points -= w->count;
		wait_free(t, w);
	}
}

int sync_create(struct sync_table *t, uint64_t value, uint32_t *id)
{
	for (uint32_t i = 0; i < SYNC_MAX; i++) {
		struct sync *s = &t->syncs[i];

		if (s->refs)
			continue;
		*s = (struct sync){ .value = value, .refs = 1, .named = true };
		*id = i + 1;
		return 0;
	}
	return -EDQUOT;
}

int sync_unref(struct sync_table *t, uint32_t id)
{
	int slot = slot_find(t, id);

	if (slot < 0)
		return slot;
	t->syncs[slot].named = false;
	t->syncs[slot].refs--;
	return 0;
}

int sync_read(const struct sync_table *t, uint32_t id, uint64_t *value)
{
	int slot = slot_find(t, id);

	if (slot < 0)
		return slot;
	*value = t->syncs[slot].value;
	return 0;
}

int sync_write(struct sync_table *t, uint32_t id, uint64_t value)
{
	int slot = slot_find(t, id);

	if (slot < 0)
		return slot;
	t->syncs[slot].value = value;
	waits_settle(t);
	return 0;
}

int sync_wait(
	struct sync_table *t, const struct vtest_sync_wait *how, const struct vtest_sync_point *points, uint32_t count)
{
	AUTO_FREE struct sync_wait *w = NULL;
	AUTO_CLOSE int fd = -1;
	int err;

	if (count > SYNC_POINTS_MAX)
		return -EDQUOT;
	if (t->wait_count == SYNC_WAITS_MAX || count > SYNC_HELD_MAX - t->wait_points)
		waits_settle(t);
	if (t->wait_count == SYNC_WAITS_MAX || count > SYNC_HELD_MAX - t->wait_points)
		return -EDQUOT;
	w = calloc(1, sizeof *w + count * sizeof w->refs[0]);
	if (!w)
		return -ENOMEM;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0)
		return -errno;
	fd = w->fd; /* closes with a failure; the list's copy is w->fd */
	err = refs_take(t, w->refs, points, count);
	if (err < 0)
		return err;
	w->count = count;
	w->any = how->flags & VTEST_SYNC_WAIT_ANY;
	w->expires_ms = how->timeout_ms > INT32_MAX ? INT64_MAX : clock_ms() + how->timeout_ms;

	if (wait_reached(t, w) || !how->timeout_ms) {
		if (wait_reached(t, w))
			(void)eventfd_write(fd, 1);
		refs_drop(t, w->refs, count);
		return fd_steal(&fd);
	}
	w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0) {
		err = -errno;
		refs_drop(t, w->refs, count);
		return err;
	}
	t->wait_count++;
	t->wait_points += count;
	w->next = t->waits;
	t->waits = w;
	w = NULL;
	return fd_steal(&fd);
}

int sync_hold(
	struct sync_table *t, uint32_t ring, uint64_t fence, const struct vtest_sync_point *points, uint32_t count)
{
	AUTO_FREE struct sync_submission *s = NULL;
	int err;

	if (count > SYNC_POINTS_MAX || t->submission_count == SYNC_HELD_MAX ||
		count > SYNC_HELD_MAX - t->submission_points)
		return -EDQUOT;
	s = calloc(1, sizeof *s + count * sizeof s->refs[0]);
	if (!s)
		return -ENOMEM;
	err = refs_take(t, s->refs, points, count);
	if (err < 0)
		return err;
	s->ring = ring;
	s->fence = fence;
	s->count = count;
	t->submission_count++;
	t->submission_points += count;
	*t->last = s;
	t->last = &s->next;
	s = NULL;
	return 0;
}

void sync_fence_done(struct sync_table *t, uint32_t ring, uint64_t fence)
{
	struct sync_submission **link = &t->first;
	bool moved = false;

	while (*link && (*link)->fence <= fence) {
		struct sync_submission *s = *link;

		if (s->ring != ring) {
			link = &s->next;
			continue;
		}
		for (uint32_t i = 0; i < s->count; i++) {
			struct sync *to = &t->syncs[s->refs[i].slot];

			if (to->value < s->refs[i].value)
				to->value = s->refs[i].value;
		}
		moved = true;
		*link = s->next;
		t->submission_count--;
		t->submission_points -= s->count;
		refs_drop(t, s->refs, s->count);
		free(s);
	}
	/* last points into whatever element is last now */
	if (moved) {
		for (link = &t->first; *link;)
			link = &(*link)->next;
		t->last = link;
		waits_settle(t);
	}
}
