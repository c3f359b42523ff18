/* SPDX-License-Identifier: MIT */
/*
 * The window. A blob is mapped by asking QEMU on the backend channel; its answer comes while it may itself be
 * waiting for ours on the main channel, so nothing here waits: requests queue, one is with QEMU at a time, in
 * the order in which the guest made them, and the guest's request is answered when the outcome is known.
 *
 * Three things about QEMU shape this file.
 *  - It closes the backend channel for good when a request fails. So what could fail is refused here: a range
 *    outside the window or over another mapping, an unmap of what isn't mapped.
 *  - It acknowledges a mapping before it makes it visible. A guest that was told at once could reach the
 * place first and lose what it writes. QEMU then offers us a blob as a region of the memory table and waits
 * for our word, with all that it acknowledged before in place: that is what the guest's answer waits for
 * (with a deadline, lest a QEMU that does otherwise hang the guest).
 *  - When the guest resets the device QEMU unmaps everything itself, except what it is told to map between
 *    stopping the rings and the reset. So those mappings are marked, and nothing new is sent while stopped.
 */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "log/log.h"
#include "platform/clock.h"

#define COMMIT_TIMEOUT_MS 500

void window_init(struct window *w, uint64_t size, void (*answer)(void *user, struct request *r, int err), void *user)
{
	*w = (struct window){ .size = size, .backend = { .fd = -1 }, .answer = answer, .user = user };
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++)
		w->maps[i].fd = -1;
}

static void answer(struct window *w, struct request **r, int err)
{
	struct request *was = *r;

	*r = NULL;
	if (was)
		w->answer(w->user, was, err);
}

static void set_state(struct window *w, struct mapping *m, enum mapping_state state)
{
	w->acked += (unsigned)(state == MAPPING_ACKED) - (unsigned)(m->state == MAPPING_ACKED);
	m->state = state;
}

static void make_visible(struct window *w, struct mapping *m)
{
	set_state(w, m, MAPPING_MAPPED);
	answer(w, &m->map_req, 0);
}

/* The mapping is no more. */
static void release(struct window *w, struct mapping *m, int err)
{
	answer(w, &m->map_req, err ? err : -ECANCELED);
	answer(w, &m->unmap_req, 0);
	answer(w, &m->unref_req, 0);
	if (m->fd >= 0)
		close(m->fd);
	set_state(w, m, MAPPING_FREE);
	*m = (struct mapping){ .fd = -1 };
}

/* Without the channel nothing can be mapped or unmapped any more; what is mapped stays so in QEMU. */
static void die(struct window *w)
{
	w->dead = true;
	w->flying = NULL;
	w->fifo_count = 0;
	vu_channel_close(&w->backend);
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++) {
		struct mapping *m = &w->maps[i];

		if (m->state == MAPPING_QUEUED || m->state == MAPPING_SENT)
			release(w, m, -EPIPE);
		/* Keeps its place: the guest must not get another blob there. */
		if (m->state == MAPPING_ACKED)
			make_visible(w, m);
		answer(w, &m->unmap_req, -EPIPE);
		answer(w, &m->unref_req, -EPIPE);
	}
}

void window_close(struct window *w)
{
	window_reset(w);
	vu_channel_close(&w->backend);
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++)
		if (w->maps[i].fd >= 0)
			close(w->maps[i].fd);
}

int window_connect(struct window *w, int fd)
{
	vu_channel_close(&w->backend);
	w->dead = false;
	return vu_channel_open(&w->backend, fd);
}

/* Sends the next request unless one is under way. */
static void pump(struct window *w)
{
	while (!w->flying && w->fifo_count && !w->stopped && !w->dead) {
		struct mapping *m = &w->maps[w->fifo[w->fifo_head]];
		bool map = m->state == MAPPING_QUEUED;
		struct vu_mmap body = {
			.shmid = WINDOW_SHMID, .shm_offset = m->offset, .len = m->size, .flags = VU_SHMEM_READ_WRITE
		};
		int err = vu_channel_send(&w->backend, map ? VU_BACKEND_SHMEM_MAP : VU_BACKEND_SHMEM_UNMAP,
			VU_NEED_REPLY, &body, sizeof body, map ? m->fd : -1);

		if (err < 0) {
			log_error("window: can't reach QEMU: %s", strerror(-err));
			die(w);
			return;
		}
		w->fifo_head = (w->fifo_head + 1) % WINDOW_MAPPINGS_MAX;
		w->fifo_count--;
		w->flying = m;
		set_state(w, m, map ? MAPPING_SENT : MAPPING_UNMAP_SENT);
		if (m->fd >= 0)
			close(fd_steal(&m->fd));
	}
}

static void enqueue(struct window *w, struct mapping *m, enum mapping_state state)
{
	set_state(w, m, state);
	w->fifo[(w->fifo_head + w->fifo_count++) % WINDOW_MAPPINGS_MAX] = (uint16_t)(m - w->maps);
}

static struct mapping *find(struct window *w, uint32_t res_id)
{
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++)
		if (res_id && w->maps[i].state != MAPPING_FREE && w->maps[i].res_id == res_id)
			return &w->maps[i];
	return NULL;
}

int window_map(struct window *w, uint32_t res_id, uint64_t offset, uint64_t size, int fd, struct request *r)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	AUTO_CLOSE int copy = -1;
	struct mapping *m = NULL;
	struct stat st;

	if (w->backend.fd < 0 || w->dead)
		return -EPIPE;
	if (size == 0 || size % page || offset % page || !range_ok(offset, size, w->size))
		return -EINVAL;
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++) {
		struct mapping *o = &w->maps[i];

		if (o->state == MAPPING_FREE) {
			if (!m)
				m = o;
			continue;
		}
		if (o->res_id == res_id)
			return -EEXIST;
		/* Requests keep their order, so what is on its way out is gone by the time. */
		if (o->state == MAPPING_UNMAP_QUEUED || o->state == MAPPING_UNMAP_SENT)
			continue;
		/* neither sum can wrap: both lie in the window */
		if (offset < o->offset + o->size && o->offset < offset + size)
			return -EEXIST;
	}
	if (!m)
		return -ENOSPC;
	/* Its own copy: the resource may go while the request is still queued. */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0 || fstat(copy, &st) < 0)
		return -errno;
	*m = (struct mapping){ .res_id = res_id,
		.offset = offset,
		.size = size,
		.fd = fd_steal(&copy),
		.dev = st.st_dev,
		.ino = st.st_ino,
		.map_req = r };
	enqueue(w, m, MAPPING_QUEUED);
	pump(w);
	return 0;
}

/* Unmaps what is mapped now, or as soon as it is. */
static void start_unmap(struct window *w, struct mapping *m)
{
	m->unmap = true;
	if (m->state == MAPPING_MAPPED || m->state == MAPPING_ACKED) {
		answer(w, &m->map_req, 0);
		enqueue(w, m, MAPPING_UNMAP_QUEUED);
	}
	pump(w);
}

int window_unmap(struct window *w, uint32_t res_id, struct request *r)
{
	struct mapping *m = find(w, res_id);

	if (!m || m->unmap)
		return -ENOENT;
	if (w->dead)
		return -EPIPE;
	m->unmap_req = r;
	start_unmap(w, m);
	return 0;
}

int window_unref(struct window *w, uint32_t res_id, struct request *r)
{
	struct mapping *m = find(w, res_id);

	if (!m)
		return -ENOENT;
	m->res_id = 0;
	if (w->dead)
		return -EPIPE;
	m->unref_req = r;
	if (!m->unmap)
		start_unmap(w, m);
	return 0;
}

static void on_reply(struct window *w, bool ok)
{
	struct mapping *m = w->flying;

	w->flying = NULL;
	if (!m)
		return;
	if (m->state == MAPPING_UNMAP_SENT) {
		if (!ok)
			log_warn("window: QEMU would not unmap 0x%llx+0x%llx", (unsigned long long)m->offset,
				(unsigned long long)m->size);
		release(w, m, 0);
	} else if (!ok) {
		log_warn("window: QEMU would not map 0x%llx+0x%llx", (unsigned long long)m->offset,
			(unsigned long long)m->size);
		release(w, m, -ENOMEM);
	} else if (m->unmap) {
		set_state(w, m, MAPPING_ACKED);
		start_unmap(w, m);
	} else {
		set_state(w, m, MAPPING_ACKED);
		m->deadline = clock_ms() + COMMIT_TIMEOUT_MS;
	}
}

int window_dispatch(struct window *w)
{
	int r;

	while ((r = vu_channel_read(&w->backend)) > 0) {
		if (!(w->backend.hdr.flags & VU_REPLY)) {
			r = -EPROTO;
			break;
		}
		on_reply(w, w->backend.hdr.size == sizeof(uint64_t) && w->backend.body.u64 == 0);
		vu_channel_next(&w->backend);
		pump(w);
	}
	if (r == 0)
		return 0;
	log_error("window: QEMU closed the backend channel (%s); no blob can be mapped until the VM restarts",
		strerror(-r));
	die(w);
	return -EPIPE;
}

int window_timeout(const struct window *w)
{
	int64_t first = -1, left;

	if (w->stopped || w->acked == 0)
		return -1;
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++) {
		const struct mapping *m = &w->maps[i];

		if (m->state == MAPPING_ACKED && (first < 0 || m->deadline < first))
			first = m->deadline;
	}
	if (first < 0)
		return -1;
	left = first - clock_ms();
	return left < 0 ? 0 : (int)left;
}

void window_tick(struct window *w)
{
	int64_t now;

	if (w->stopped || w->acked == 0)
		return;
	now = clock_ms();
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++)
		if (w->maps[i].state == MAPPING_ACKED && w->maps[i].deadline <= now)
			make_visible(w, &w->maps[i]);
}

bool window_owns(const struct window *w, dev_t dev, ino_t ino)
{
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++) {
		const struct mapping *m = &w->maps[i];

		if (m->state != MAPPING_FREE && m->dev == dev && m->ino == ino)
			return true;
	}
	return false;
}

void window_committed(struct window *w)
{
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX && w->acked; i++)
		if (w->maps[i].state == MAPPING_ACKED)
			make_visible(w, &w->maps[i]);
}

void window_stop(struct window *w)
{
	if (w->stopped)
		return;
	/* What QEMU answered before it stopped the rings has arrived by now. */
	if (w->backend.fd >= 0)
		window_dispatch(w);
	w->stopped = true;
	if (w->flying)
		w->flying->after_stop = true;
}

void window_resume(struct window *w)
{
	if (!w->stopped)
		return;
	w->stopped = false;
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++) {
		w->maps[i].after_stop = false;
		w->maps[i].deadline = clock_ms() + COMMIT_TIMEOUT_MS;
	}
	pump(w);
}

void window_reset(struct window *w)
{
	w->fifo_count = 0;
	for (unsigned i = 0; i < WINDOW_MAPPINGS_MAX; i++) {
		struct mapping *m = &w->maps[i];

		m->map_req = m->unmap_req = m->unref_req = NULL;
		m->res_id = 0;
		if (m == w->flying)
			m->unmap = true; /* on_reply() has the rest */
		else if (m->after_stop && m->state >= MAPPING_ACKED && m->state <= MAPPING_UNMAP_QUEUED)
			enqueue(w, m, MAPPING_UNMAP_QUEUED);
		else
			release(w, m, 0);
	}
}
