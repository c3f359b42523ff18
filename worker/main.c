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
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "log/log.h"
#include "platform/process.h"
#include "platform/self.h"
#include "worker/heartbeat.h"
#include "worker/intake.h"
#include "worker/message.h"
#include "worker/sequence.h"

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

static void counters_tell(const struct worker *w)
{
	const struct worker_counters *c = &w->counters;

	log_debug("%" PRIu32 " commands by the door, %" PRIu64 " of them doorbells, and %" PRIu64
		  " by the ring; parked %" PRIu64 " times, for %" PRIu64 " ms; woke the guest %" PRIu64 " times",
		w->by_door, c->doorbells, c->by_ring, c->parked, c->parked_ns / 1000000, c->woke);
}

int main(int argc, char **argv)
{
	static _Alignas(8) uint8_t payload[WORKER_PAYLOAD_MAX];
	static struct worker w;
	struct worker_msg m;
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
	w.ctx_id = (uint32_t)strtoul(argv[1], NULL, 10);
	log_name("worker %d (context %" PRIu32 ")", (int)getpid(), w.ctx_id);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* its log, or a library's */
	limits_set();
	setenv("GGML_NO_BACKTRACE", "1", 0); /* ggml would start a debugger */
	for (int i = 2; i < argc; i++) {
		err = settings_fix(&w.settings, argv[i]);
		if (err < 0) {
			log_error("'%s' is no setting: %s", argv[i], strerror(-err));
			return 2;
		}
	}
	err = heartbeat_start(WORKER_FD);
	if (err < 0)
		log_error("cannot start the heartbeat: %s", strerror(-err));
	while (!err) {
		n = intake_wait(&w, &m, payload, &fd);
		if (n > 0)
			message_serve(&w, &m, payload, (size_t)n - sizeof m, fd);
		else if (n == -EAGAIN)
			sequence_run(&w);
		else
			break;
	}
	heartbeat_end();
	counters_tell(&w);
	library_unload(&w.library, w.ctx_id);
	return err ? 1 : 0;
}
