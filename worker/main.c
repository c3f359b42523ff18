/* SPDX-License-Identifier: MIT */
/*
 * ggml-virtgpu-worker: one guest context's process. It is started by a door with its socket on WORKER_FD, holds
 * that context's blobs and nothing else of the host, loads the backend library and executes commands in order.
 * It is expendable: when it dies, one context is lost.
 *
 * main() reads as what it does: be kept, limit, beat, serve until the door hangs up.
 */
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "log/log.h"
#include "platform/clock.h"
#include "platform/parcel.h"
#include "platform/process.h"
#include "platform/self.h"
#include "proto/cursor.h"
#include "proto/worker_wire.h"
#include "worker/blobs.h"
#include "worker/command.h"
#include "worker/heartbeat.h"
#include "worker/inbox.h"
#include "worker/queue.h"
#include "worker/settings.h"

#define SPIN_NS    50000 /* on a machine that has processors to spare, */
#define SPIN_MORE  4     /* times as long */
#define SPARE_FROM 4     /* processors */
#define LOOKS      64    /* at the ring, between two at the door */

static void limit_set(unsigned what, rlim_t most)
{
	struct rlimit r;

	if (getrlimit(what, &r) < 0)
		return;
	if (r.rlim_max == RLIM_INFINITY || r.rlim_max > most)
		r.rlim_max = most;
	if (r.rlim_cur == RLIM_INFINITY || r.rlim_cur > r.rlim_max)
		r.rlim_cur = r.rlim_max;
	setrlimit(what, &r);
}

/* Never on address space: GPU drivers reserve terabytes of it. */
static void limits_set(void)
{
	int err;

	limit_set(RLIMIT_CORE, 0);
	limit_set(RLIMIT_NOFILE, 1024);
	limit_set(RLIMIT_NPROC, 4096);
	self_keep_rights();
	umask(077);
	/* A guest can ask for all memory: then this process is the one to be ended, not the VMM. */
	err = self_first_to_go();
	if (err < 0)
		log_debug("cannot be first to go when memory runs out: %s", strerror(-err));
	/* Other guests' workers are processes of this user. */
	self_hide();
}

static int64_t spin_ns(void)
{
	static int64_t ns;

	if (!ns)
		ns = sysconf(_SC_NPROCESSORS_ONLN) < SPARE_FROM ? SPIN_NS : SPIN_NS * SPIN_MORE;
	return ns;
}

/* One message, with at most one descriptor (*fd, else -1). Its size, 0 at the end, or -errno; -EAGAIN: there is something in
 * the ring instead. It looks for a while before it sleeps: commands come in bursts, and waking up costs more than looking. */
static ssize_t receive(const struct iovec *iov, size_t n_iov, int *fd)
{
	int64_t until = clock_ns() + spin_ns();
	int n_fds;
	ssize_t n;

	do {
		n_fds = 1;
		n = parcel_recv(WORKER_FD, iov, n_iov, fd, &n_fds, MSG_DONTWAIT);
		for (int i = 0; n == -EAGAIN && i < LOOKS; i++) {
			if (queue_ready())
				return -EAGAIN;
			cpu_relax();
		}
	} while (n == -EAGAIN && clock_ns() < until);
	inbox_park();
	while ((n == -EAGAIN || n == -EINTR) && !queue_ready()) {
		n_fds = 1;
		n = parcel_recv(WORKER_FD, iov, n_iov, fd, &n_fds, 0);
	}
	inbox_unpark();
	if (n_fds != 1)
		*fd = -1;
	return n < 0 && queue_ready() ? -EAGAIN : n;
}

static ssize_t message_recv(struct worker_msg *m, uint8_t *payload, size_t room, int *fd)
{
	const struct iovec iov[] = { { m, sizeof *m }, { payload, room } };
	ssize_t n = receive(iov, ARRAY_SIZE(iov), fd);

	return n > 0 && n < (ssize_t)sizeof *m ? -EBADMSG : n;
}

static int commands_run(uint32_t ctx_id, uint8_t *payload, size_t size)
{
	struct cursor c = cursor_over(payload, size);
	struct worker_cmd head;
	uint8_t *cmd;

	while (cursor_left(&c)) {
		if (!cursor_read(&c, &head, sizeof head) || !(cmd = cursor_take(&c, round_up(head.size, 8))))
			return -EBADMSG;
		queue_door(ctx_id, cmd, head.size);
	}
	return 0;
}

static void message_serve(uint32_t ctx_id, const struct worker_msg *m, uint8_t *payload, size_t size, int fd)
{
	struct worker_msg done = { .type = WORKER_FENCE_DONE, .id = m->id, .value = m->value };
	int err = 0;

	switch (m->type) {
	case WORKER_CONFIG:
		err = settings_add((const char *)payload, size);
		break;
	case WORKER_BLOB_ADD:
		err = fd < 0 ? -EBADF : blob_add(m->id, fd, m->value);
		fd = -1;
		break;
	case WORKER_BLOB_DEL:
		queue_run(ctx_id); /* which may be answered there */
		blob_del(m->id);
		break;
	case WORKER_SUBMIT:
		err = commands_run(ctx_id, payload, size);
		break;
	case WORKER_FENCE:
		queue_run(ctx_id);
		if (send(WORKER_FD, &done, sizeof done, MSG_NOSIGNAL) < 0)
			err = -errno;
		break;
	default:
		err = -EBADMSG;
		break;
	}
	if (fd >= 0)
		close(fd);
	if (err)
		log_warn("message %" PRIu32 " about %" PRIu32 ": %s", m->type, m->id, strerror(-err));
}

int main(int argc, char **argv)
{
	static _Alignas(8) uint8_t payload[WORKER_PAYLOAD_MAX];
	struct worker_msg m;
	uint32_t ctx_id;
	ssize_t n;
	int fd, err, type;
	socklen_t len = sizeof type;

	if (argc < 2 || getsockopt(WORKER_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET ||
		(err = process_keep(WORKER_FD)) == -EBADF) {
		fprintf(stderr, "ggml-virtgpu-worker is started by ggml-virtgpu or a hypervisor, not by hand\n");
		return 2;
	}
	if (err < 0) {
		fprintf(stderr, "ggml-virtgpu-worker: cannot start: %s\n", strerror(-err));
		return 2;
	}
	ctx_id = (uint32_t)strtoul(argv[1], NULL, 10);
	log_name("worker %d (context %" PRIu32 ")", (int)getpid(), ctx_id);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* its log, or a library's */
	limits_set();
	setenv("GGML_NO_BACKTRACE", "1", 0); /* ggml would start a debugger */
	for (int i = 2; i < argc; i++) {
		err = settings_fix(argv[i]);
		if (err < 0) {
			log_error("'%s' is no setting: %s", argv[i], strerror(-err));
			return 2;
		}
	}
	err = heartbeat_start(WORKER_FD);
	if (err < 0)
		log_error("cannot start the heartbeat: %s", strerror(-err));
	while (!err) {
		n = message_recv(&m, payload, sizeof payload, &fd);
		if (n > 0)
			message_serve(ctx_id, &m, payload, (size_t)n - sizeof m, fd);
		else if (n == -EAGAIN)
			queue_run(ctx_id);
		else
			break;
	}
	heartbeat_end();
	command_end(ctx_id);
	return err ? 1 : 0;
}
