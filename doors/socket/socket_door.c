/* SPDX-License-Identifier: MIT */
/*
 * The loop of one client: its socket, its APIR component, and the descriptor that tells to stop.
 *
 * Nothing blocks but poll(). Commands are taken only while no reply waits to be sent, so a client that
 * doesn't read its replies stops being served and costs one reply's memory. Commands are answered in shared
 * memory by the context's worker; what comes back here are fences, which move syncs, and the loss of the
 * context. vtest can't tell a client of a lost context in any other way than by hanging up.
 */
#include "doors/socket/socket_door.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "doors/socket/client.h"
#include "log/log.h"
#include "platform/clock.h"

static void on_fence_done(void *user, uint32_t ctx_id, uint32_t ring, uint64_t fence)
{
	struct client *c = user;

	(void)ctx_id;
	sync_fence_done(&c->syncs, ring, fence);
}

static void on_context_lost(void *user, uint32_t ctx_id)
{
	struct client *c = user;

	(void)ctx_id;
	c->lost = true;
}

static const struct apir_listener listener = {
	.fence_done = on_fence_done,
	.context_lost = on_context_lost,
};

/* From connecting to a context: who stays silent must not hold a place in the supervisor's table. */
#define CONTEXT_MS 10000

enum { GOES_ON = 0, HUNG_UP = 1 }; /* or -errno: refused */

/* A client that is gone is no error; anything else that keeps a socket from working is worth a line. */
static int conn_gone(int err)
{
	if (err && err != -EPIPE && err != -ECONNRESET)
		log_warn("socket: lost a client: %s", strerror(-err));
	return HUNG_UP;
}

/* Executes what is in the input, as long as the replies get away. */
static int commands_run(struct client *c)
{
	while (!stream_pending(&c->stream)) {
		int done = client_command(c), err;

		if (done <= 0)
			return done;
		err = stream_flush(&c->stream);
		if (err < 0)
			return conn_gone(err);
	}
	return GOES_ON;
}

static int conn_serve(struct client *c, short revents)
{
	ssize_t n;
	int r;

	if (revents & POLLOUT) {
		r = stream_flush(&c->stream);
		r = r < 0 ? conn_gone(r) : commands_run(c);
		if (r)
			return r;
	}
	if (stream_pending(&c->stream))
		return revents & (POLLHUP | POLLERR) ? HUNG_UP : GOES_ON;
	if (!(revents & (POLLIN | POLLHUP | POLLERR)))
		return GOES_ON;
	n = stream_fill(&c->stream);
	if (n <= 0)
		return n == -EAGAIN ? GOES_ON : conn_gone((int)n);
	return commands_run(c);
}

static int ms_until(int64_t by)
{
	int64_t now = clock_ms();

	return now < by ? (int)(by - now) : 0;
}

static int timed_out(const struct client *c)
{
	char escaped[sizeof c->name];

	log_warn("socket: client '%s' made no context within %d s; hanging up",
		log_escape(escaped, sizeof escaped, c->name), CONTEXT_MS / 1000);
	return -EPROTO;
}

static int client_serve(struct client *c, int stop_fd)
{
	enum { CONN, APIR, STOP, FDS };
	struct pollfd fds[FDS] = {
		[CONN] = { .fd = c->stream.fd },
		[APIR] = { .fd = apir_fd(c->apir), .events = POLLIN },
		[STOP] = { .fd = stop_fd, .events = POLLIN },
	};

	int64_t by = clock_ms() + CONTEXT_MS;

	for (;;) {
		int err, ready;

		fds[CONN].events = stream_pending(&c->stream) ? POLLOUT : POLLIN;
		apir_kick(c->apir);
		ready = poll(fds, FDS, c->capset_id ? -1 : ms_until(by));
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return -errno;
		if (fds[STOP].revents)
			return 0;
		if (fds[APIR].revents) {
			err = apir_dispatch(c->apir);
			if (err < 0)
				return err;
		}
		if (c->lost) {
			(void)stream_flush(&c->stream);
			return -EPIPE;
		}
		err = conn_serve(c, fds[CONN].revents);
		if (err)
			return err == HUNG_UP ? 0 : -EPROTO;
		/* After what had come was served, so that it doesn't count against a client when we stood still. */
		if (!c->capset_id && !ms_until(by))
			return timed_out(c);
	}
}

static int client_open(struct client *c, int conn, const struct socket_door_options *opt)
{
	int err;

	sync_table_init(&c->syncs);
	err = stream_init(&c->stream, conn);
	if (!err)
		err = apir_create(&c->apir, opt->apir, &listener, c);
	if (!err && opt->configure)
		err = opt->configure(c->apir, opt->user);
	if (err)
		log_error("socket: cannot serve a client: %s", strerror(-err));
	return err;
}

int socket_door_serve(int conn, int stop_fd, const struct socket_door_options *opt)
{
	struct client *c = calloc(1, sizeof *c);
	char escaped[sizeof c->name];
	int err;

	if (!c) {
		close(conn);
		log_error("socket: cannot serve a client: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	err = client_open(c, conn, opt);
	if (!err) {
		err = client_serve(c, stop_fd);
		if (err == -EPIPE)
			log_warn("socket: client '%s': its context is lost; hanging up",
				log_escape(escaped, sizeof escaped, c->name));
		else if (err && err != -EPROTO)
			log_error("socket: cannot go on: %s", strerror(-err));
	}
	/* Ends the worker before the client can see that we're gone; reports the rest of the fences to
	 * c->syncs. */
	if (c->apir)
		apir_destroy(c->apir);
	sync_table_fini(&c->syncs);
	stream_fini(&c->stream);
	free(c);
	return err;
}
