/* SPDX-License-Identifier: MIT */
/*
 * See platform/process.h. The keeper is a subreaper: whoever loses its parent below it becomes its child. A worker can leave
 * its process group and session, close its descriptors and clear its environment, but it can't leave its ancestors. A VMM
 * must not be made one, so each worker has its own.
 */
#include "platform/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "platform/clock.h"
#include "platform/linux/keeper_wire.h"
#include "platform/self.h"
#include "proto/util.h"

#define LEFT_ALONE_MS  4000 /* for a program whose starter is gone to end by itself */
#define REAPED_AT_ONCE 64
#define UNSEEN_TRIES   575 /* where there are children that we can't list */
#define LOOK_NS        1000000
#define LOOKS_OFTEN    500

static void on_child(int number)
{
	(void)number; /* it ends a ppoll() */
}

static void news_send(int control, enum keeper_news news, int number)
{
	const struct keeper_msg m = { news, number };

	(void)!send(control, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* How many it has ended. Only we reap, so each number is still the child's that it was. */
static int children_kill(void)
{
	char path[64];
	FILE *f;
	int pid, n = 0;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		n += pid > 0 && kill(pid, SIGKILL) == 0;
	if (f)
		fclose(f);
	return n;
}

/* Takes those that have ended, so many at most: they may come as fast as they are taken. How many; -1: there is no child. */
static int reap(int most, pid_t program, int *status, bool *ended)
{
	int n = 0, st;
	pid_t pid = 0;

	while (n < most && (pid = waitpid(-1, &st, WNOHANG)) > 0) {
		n++;
		if (pid == program) {
			*status = st;
			*ended = true;
		}
	}
	return pid < 0 && errno == ECHILD ? -1 : n;
}

/* Each that dies leaves us its own children, so at the end there is nobody left. One that forks and ends without pause has
 * to be found between the two, so we look again at once, without a crowd of ended ones in between. */
static void descendants_end(void)
{
	struct timespec t = { .tv_nsec = LOOK_NS };
	bool ended;
	int st;

	for (int unseen = 0, idle = 0; unseen < UNSEEN_TRIES;) {
		int killed = children_kill();
		int reaped = reap(killed + 1, -1, &st, &ended);

		if (reaped < 0)
			return;
		if (!reaped) { /* one that waits for a disk or a driver dies when that is done */
			t.tv_nsec = ++idle < LOOKS_OFTEN ? LOOK_NS : LOOK_NS * 20;
			nanosleep(&t, NULL);
			unseen += !killed;
		}
	}
}

/* Until the program has ended, by itself or by us. */
static int program_wait(int control, pid_t program, const sigset_t *mask)
{
	struct pollfd p = { .fd = control, .events = POLLRDHUP };
	int64_t by = -1;
	bool ended = false;
	int status = 0;

	for (;;) {
		bool more = reap(REAPED_AT_ONCE, program, &status, &ended) == REAPED_AT_ONCE;
		int64_t left = by < 0 || more ? 0 : by - clock_ms();
		struct timespec t = { .tv_sec = left > 0 ? left / 1000 : 0,
			.tv_nsec = left > 0 ? left % 1000 * 1000000 : 0 };
		int n;

		if (ended)
			return status;
		n = ppoll(&p, p.fd >= 0, by < 0 && !more ? NULL : &t, mask);
		if (n > 0) {
			p.fd = -1;
			by = clock_ms() + (p.revents & (POLLHUP | POLLERR) ? LEFT_ALONE_MS : 0);
		}
		if (by >= 0 && by <= clock_ms()) {
			kill(program, SIGKILL);
			by = INT64_MAX;
		}
	}
}

static _Noreturn void keeper_run(int control, pid_t program, const sigset_t *mask)
{
	int status;

	self_hide();
	prctl(PR_SET_NAME, "virtgpu-keeper");
	for (int fd = 0; fd < control; fd++)
		close(fd);
	news_send(control, KEEPER_STARTED, program);
	status = program_wait(control, program, mask);
	if (WIFSIGNALED(status))
		news_send(control, KEEPER_SIGNALLED, WTERMSIG(status));
	else
		news_send(control, KEEPER_EXITED, WEXITSTATUS(status));
	descendants_end();
	_exit(0);
}

int process_keep(int as)
{
	const struct sigaction act = { .sa_handler = on_child };
	const pid_t keeper = getpid();
	int control = as + 1, type = 0;
	socklen_t len = sizeof type;
	sigset_t all, mask;
	pid_t program;

	if (getsockopt(control, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return -EBADF;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask);
	program = fork();
	if (program < 0)
		return -errno;
	if (program > 0) {
		sigaction(SIGCHLD, &act, NULL);
		sigdelset(&all, SIGCHLD); /* nobody but who may kill us ends us */
		keeper_run(control, program, &all);
	}
	close(control);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(1);
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return 0;
}
