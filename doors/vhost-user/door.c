/* SPDX-License-Identifier: MIT */
/*
 * The loop of one VM's device. Everything it calls returns at once: QEMU's messages, its answers about the
 * window, apir's reports and the guest's rings take their turns, and whoever has more to do than fits into
 * one turn gets the next one without a wait in between. Interrupts go out at the end of a turn, one for all
 * that was answered in it.
 *
 * A VM can't lose its device without harm, so only two things end the loop: QEMU hangs up, or the caller
 * stops it. What the guest does never reaches this file.
 */
#include "vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "log/log.h"

#include "frontend.h"

#define WINDOW_MIN (2ull << 20)
#define WINDOW_MAX (16ull << 40)

enum poll_slot { POLL_MAIN, POLL_BACKEND, POLL_APIR, POLL_STOP, POLL_KICK, POLL_COUNT = POLL_KICK + GPU_QUEUES };

static void on_fence_done(void *user, uint32_t ctx_id, uint32_t ring, uint64_t fence_id)
{
	struct door *d = user;

	(void)ctx_id, (void)ring;
	gpu_fence_done(&d->gpu, fence_id);
}

static void on_context_lost(void *user, uint32_t ctx_id)
{
	(void)user;
	log_warn("context %u is lost; the VM and its other contexts go on", ctx_id);
}

static const struct apir_listener listener = { .fence_done = on_fence_done, .context_lost = on_context_lost };

static void clear_kick(int fd)
{
	uint64_t n;

	/* poll() said that it is readable; how often the guest kicked doesn't matter */
	if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN && errno != EINTR)
		log_debug("kick: %s", strerror(errno));
}

/* One turn; 1: there is more to do at once, 0: wait for the next event, -errno: the end. */
static int turn(struct door *d, struct pollfd *p)
{
	bool more;
	int err;

	if (p[POLL_MAIN].revents && (err = frontend_dispatch(d)) < 0)
		return err;
	/* QEMU may have put another channel in this one's place; an early look finds nothing and does no
	 * harm. */
	if (p[POLL_BACKEND].revents && d->window.backend.fd >= 0)
		window_dispatch(&d->window);
	window_tick(&d->window);
	if (p[POLL_APIR].revents && (err = apir_dispatch(d->apir)) < 0 && !d->apir_failed) {
		d->apir_failed = true;
		log_error("apir: %s", strerror(-err));
	}
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		if (p[POLL_KICK + i].revents && d->queues[i].kick >= 0)
			clear_kick(d->queues[i].kick);
	more = gpu_run(&d->gpu);
	gpu_flush(&d->gpu);
	return more;
}

static int loop(struct door *d, int stop_fd)
{
	struct pollfd p[POLL_COUNT];
	int more = 0;

	for (;;) {
		p[POLL_MAIN] = (struct pollfd){ .fd = d->main.fd, .events = POLLIN };
		p[POLL_BACKEND] = (struct pollfd){ .fd = d->window.backend.fd, .events = POLLIN };
		p[POLL_APIR] = (struct pollfd){ .fd = apir_fd(d->apir), .events = POLLIN };
		p[POLL_STOP] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
		for (unsigned i = 0; i < GPU_QUEUES; i++)
			p[POLL_KICK + i] = (struct pollfd){ .fd = d->queues[i].kick, .events = POLLIN };
		apir_kick(d->apir);
		if (poll(p, POLL_COUNT, more ? 0 : window_timeout(&d->window)) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[POLL_STOP].revents)
			return 0;
		more = turn(d, p);
		if (more < 0)
			return more;
	}
}

static int serve(struct door *d, int stop_fd, const struct vhost_user_options *opt)
{
	int err;

	if ((err = apir_create(&d->apir, opt->apir, &listener, d)) < 0)
		return err;
	if (opt->configure && (err = opt->configure(d->apir, opt->user)) < 0)
		return err;
	if (opt->venus_capset)
		apir_route_venus(d->apir);
	if ((err = gpu_init(&d->gpu, d->apir, &d->memory, d->queues, &d->window)) < 0)
		return err;
	err = loop(d, stop_fd);
	gpu_close(&d->gpu);
	return err;
}

int vhost_user_serve(int conn, int stop_fd, const struct vhost_user_options *opt)
{
	uint64_t window_size = opt->window_size ? opt->window_size : VHOST_USER_WINDOW_DEFAULT;
	AUTO_CLOSE int fd = conn;
	struct door *d;
	int err;

	/* QEMU makes a PCI BAR of it and aborts when it can't. */
	if (window_size < WINDOW_MIN || (window_size & (window_size - 1)) || window_size > WINDOW_MAX) {
		log_error("window of %llu bytes: must be a power of two, from 2 MiB to 16 TiB",
			(unsigned long long)window_size);
		return -EINVAL;
	}
	d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	window_init(&d->window, window_size, gpu_window_answer, &d->gpu);
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		virtqueue_init(&d->queues[i], i);
	if ((err = vu_channel_open(&d->main, fd_steal(&fd))) == 0)
		err = serve(d, stop_fd, opt);
	if (err == -ECONNRESET) {
		log_info("QEMU hung up");
		err = 0;
	} else if (err < 0) {
		log_error("the device ends: %s", strerror(-err));
	}
	if (d->apir)
		apir_destroy(d->apir);
	window_close(&d->window);
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		virtqueue_close(&d->queues[i]);
	guest_memory_clear(&d->memory);
	vu_channel_close(&d->main);
	free(d);
	return err;
}
