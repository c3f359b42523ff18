/* SPDX-License-Identifier: MIT */
/*
 * See process.h: posix_spawn, and a socket to the keeper. A pidfd would tell of the keeper's end only, and the seccomp filters of
 * older container runtimes refuse it. Where there is one it is what is reaped: a process that ignores SIGCHLD may have another
 * child of the keeper's number by then, which would be waited for, and taken from it.
 */
#include "platform/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "platform/clock.h"
#include "platform/linux/keeper_wire.h"
#include "proto/util.h"

#define START_MS 2000 /* from exec to the keeper's first word, which only tells the log a number */

static int process_spawn(
	pid_t *pid, const char *path, char *const argv[], char *const env[], int fd, int control, int as)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (fcntl(STDERR_FILENO, F_GETFD) < 0)
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fd, as);
	posix_spawn_file_actions_adddup2(&actions, control, as + 1);
	posix_spawn_file_actions_addclosefrom_np(&actions, as + 2);
	err = posix_spawn(pid, path, &actions, &attr, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -err;
}

static int keeper_wait(const struct process *p, siginfo_t *info, int flags)
{
	return waitid(p->self < 0 ? P_PID : P_PIDFD, (id_t)(p->self < 0 ? p->keeper : p->self), info, WEXITED | flags);
}

/* Where there is no keeper any more to say how it ended: another has killed it, or what we started is no such program. */
static void keeper_ask(struct process *p)
{
	siginfo_t info = { 0 };

	p->gone = true;
	if (p->ended || keeper_wait(p, &info, WNOWAIT) < 0 || info.si_pid == 0)
		return;
	p->ended = true;
	p->end = (struct process_end){ .by_signal = info.si_code != CLD_EXITED, .code = info.si_status };
}

/* Takes what the keeper has said. */
static void news_take(struct process *p)
{
	struct keeper_msg m;
	ssize_t n;

	while (!p->gone) {
		n = recv(p->watch, &m, sizeof m, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != sizeof m) {
			keeper_ask(p);
		} else if (m.news == KEEPER_STARTED) {
			p->kept = true;
			p->pid = m.number;
		} else {
			p->ended = true;
			p->end = (struct process_end){ .by_signal = m.news == KEEPER_SIGNALLED, .code = m.number };
		}
	}
}

/* Until what is asked for is so, or the time is over. */
static bool news_wait(struct process *p, int ms, const bool *what)
{
	int64_t by = clock_ms() + ms;

	for (;;) {
		struct pollfd f = { .fd = p->watch, .events = POLLIN };
		int64_t left = by - clock_ms();

		if (p->watch >= 0)
			news_take(p);
		if (*what || p->gone || p->watch < 0 || (ms >= 0 && left <= 0))
			return *what;
		poll(&f, 1, ms < 0 ? -1 : (int)left);
	}
}

int process_start(struct process *p, const char *path, char *const argv[], char *const env[], int fd, int as)
{
	int pair[2], err;

	*p = (struct process){ .watch = -1, .self = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;

	/* dup2 onto itself would keep CLOEXEC, and must not hit the other: none has a number of the child's. */
	AUTO_CLOSE int ours = fd_above_std(pair[0]);
	AUTO_CLOSE int theirs = pair[1];
	AUTO_CLOSE int control = fcntl(theirs, F_DUPFD_CLOEXEC, as + 2);
	AUTO_CLOSE int given = fcntl(fd, F_DUPFD_CLOEXEC, as + 2);

	if (ours < 0 || control < 0 || given < 0)
		return -errno;
	err = process_spawn(&p->keeper, path, argv, env, given, control, as);
	if (err < 0)
		return err;
	close(fd_steal(&theirs));
	close(fd_steal(&control));
	p->pid = p->keeper;
	p->watch = fd_steal(&ours);
	p->self = fd_above_std(pidfd_open(p->keeper, 0));
	news_wait(p, START_MS, &p->kept);
	return 0;
}

bool process_wait(struct process *p, int ms)
{
	return p->watch < 0 || news_wait(p, ms, &p->gone);
}

bool process_ended(struct process *p, int ms, struct process_end *out)
{
	if (p->watch < 0 || !news_wait(p, ms, &p->ended))
		return false;
	*out = p->end;
	return true;
}

bool process_reap(struct process *p)
{
	siginfo_t unused;

	if (p->watch < 0)
		return true;
	if (!process_wait(p, 0))
		return false;
	while (keeper_wait(p, &unused, 0) < 0 && errno == EINTR) /* it is ending, or nobody's child any more */
		;
	close(p->watch);
	if (p->self >= 0)
		close(p->self);
	p->watch = p->self = -1;
	return true;
}

/* Its process id is the keeper's until it is reaped, which the system does at once where SIGCHLD is ignored: a keeper that has
 * hung up has none. Stopped, it would hear nothing. */
void process_kill(struct process *p)
{
	if (p->watch >= 0)
		news_take(p);
	if (p->watch < 0 || p->gone)
		return;
	shutdown(p->watch, SHUT_WR);
	kill(p->keeper, p->kept ? SIGCONT : SIGKILL);
}
