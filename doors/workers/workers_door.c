/* SPDX-License-Identifier: MIT */
/*
 * The worker speaks with the VMM over the socket that came with the request; nothing of that passes here. What is left to
 * do is to wait: for the worker's end, which closes the connection, or for the VMM's, which ends the worker.
 */
#include "doors/workers/workers_door.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "apir/worker.h"
#include "log/log.h"
#include "platform/parcel.h"
#include "proto/util.h"
#include "proto/worker_wire.h"

#define REQUEST_MS 5000 /* for the request to come */
#define GRACE_MS   500  /* for a worker that is hung up on to end by itself */

/* The worker's socket, or -errno. */
static int request_receive(int conn, uint32_t *ctx_id)
{
	struct worker_request r;
	const struct iovec iov = { &r, sizeof r };
	struct pollfd p = { .fd = conn, .events = POLLIN };
	AUTO_CLOSE int sock = -1;
	socklen_t len = sizeof(int);
	int type, fds = 1;

	if (poll(&p, 1, REQUEST_MS) <= 0)
		return -ETIMEDOUT;
	if (parcel_recv(conn, &iov, 1, &sock, &fds, MSG_DONTWAIT) != sizeof r || r.magic != WORKER_REQUEST_MAGIC ||
		fds != 1)
		return -EPROTO;
	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return -ENOTSOCK;
	*ctx_id = r.ctx_id;
	return fd_steal(&sock);
}

static void worker_see_off(struct process *p, uint32_t ctx_id, const struct memory_kills *since)
{
	char why[WORKER_KILLED_TEXT];
	struct process_end end;

	if (!process_ended(p, GRACE_MS, &end))
		process_kill(p);
	else if (end.by_signal)
		log_error("the worker of context %u was ended by signal %d (%s)%s", ctx_id, end.code,
			strsignal(end.code), worker_killed(&end, since, why, sizeof why));
	process_wait(p, -1);
	process_reap(p);
}

int workers_door_serve(int conn, int stop_fd, const struct workers_door_options *opt)
{
	AUTO_CLOSE int peer = conn;
	struct memory_kills since;
	struct process worker;
	uint32_t ctx_id = 0;
	int sock = request_receive(peer, &ctx_id), err;

	if (sock < 0) {
		log_warn("workers: no request came (%s): is it VIRGL_APIR_SERVER of another program?", strerror(-sock));
		return sock;
	}
	memory_kills(&since);
	err = worker_start(&worker, opt->worker, ctx_id, sock, opt->fixed);
	close(sock);
	if (err) {
		log_error("cannot start the worker '%s': %s: install it there, or give --worker PATH", opt->worker,
			strerror(-err));
		return err;
	}
	log_info("context %u (another process's): worker %d", ctx_id, (int)worker.pid);
	for (;;) {
		struct pollfd p[3] = { { .fd = peer, .events = POLLIN }, { .fd = worker.watch, .events = POLLIN },
			{ .fd = stop_fd, .events = POLLIN } };

		struct process_end end;

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno == EINTR)
			continue;
		/* The keeper's news may be but that it has started; whatever else there is, it is the end. */
		if (p[0].revents || p[2].revents || process_ended(&worker, 0, &end) || worker.gone)
			break;
	}
	worker_see_off(&worker, ctx_id, &since);
	return 0;
}
