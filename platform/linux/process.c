/* SPDX-License-Identifier: MIT */
/* See process.h: posix_spawn, and a pidfd, which keeps naming this process when its number is another's. */
#include "platform/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "proto/util.h"

static int process_spawn(pid_t *pid, const char *path, char *const argv[], char *const env[], int fd, int as)
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
	posix_spawn_file_actions_addclosefrom_np(&actions, as + 1);
	err = posix_spawn(pid, path, &actions, &attr, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -err;
}

int process_start(struct process *p, const char *path, char *const argv[], char *const env[], int fd, int as)
{
	AUTO_CLOSE int other = -1;
	int err;

	*p = (struct process){ .watch = -1 };
	/* dup2 onto itself would keep CLOEXEC: never hand over a descriptor that already has the child's number. */
	if (fd == as) {
		other = fcntl(fd, F_DUPFD_CLOEXEC, as + 1);
		if (other < 0)
			return -errno;
	}
	err = process_spawn(&p->pid, path, argv, env, fd == as ? other : fd, as);
	if (err < 0)
		return err;
	p->watch = pidfd_open(p->pid, 0);
	/* Where SIGCHLD is ignored a child that is gone already can't be had; else it couldn't be watched: give it up. */
	if (p->watch < 0 && errno != ESRCH) {
		err = -errno;
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		return err;
	}
	return 0;
}

bool process_wait(const struct process *p, int ms)
{
	struct pollfd f = { .fd = p->watch, .events = POLLIN };

	return p->watch < 0 || poll(&f, 1, ms) > 0;
}

bool process_ended(const struct process *p, int ms, struct process_end *out)
{
	siginfo_t info = { 0 };

	if (p->watch < 0 || !process_wait(p, ms) ||
		waitid(P_PIDFD, (id_t)p->watch, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return false;
	*out = (struct process_end){ .by_signal = info.si_code != CLD_EXITED, .code = info.si_status };
	return true;
}

bool process_reap(struct process *p)
{
	siginfo_t info = { 0 };

	if (p->watch < 0)
		return true;
	if (waitid(P_PIDFD, (id_t)p->watch, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return false;
	close(p->watch);
	p->watch = -1;
	return true;
}

void process_kill(const struct process *p)
{
	if (p->watch >= 0)
		pidfd_send_signal(p->watch, SIGKILL, NULL, 0);
}
