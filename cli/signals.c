/* SPDX-License-Identifier: MIT */
/* See signals.h. */
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "proto/util.h"

static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
static struct sigaction old_actions[ARRAY_SIZE(numbers)];
static sigset_t old_mask;
static int pipe_read = -1, pipe_write = -1;

static void set_of(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaddset(set, numbers[i]);
}

void signals_hold(void)
{
	sigset_t set;

	set_of(&set);
	sigprocmask(SIG_BLOCK, &set, &old_mask);
}

void signals_release(void)
{
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
}

/* A pipe that is full has something to read: that more came is no news then. */
static void on_signal(int number, siginfo_t *info, void *unused)
{
	const struct signal_taken s = { .number = number, .by_terminal = info->si_code == SI_KERNEL };
	int err = errno;

	(void)unused;
	(void)!write(pipe_write, &s, sizeof s);
	errno = err;
}

int signals_open(void)
{
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	int pipes[2];
	sigset_t set;

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pipe_read = pipes[0];
	pipe_write = pipes[1];
	sigfillset(&act.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		sigaction(numbers[i], NULL, &old_actions[i]);
		if (old_actions[i].sa_handler != SIG_IGN || numbers[i] == SIGCHLD)
			sigaction(numbers[i], &act, NULL);
	}
	set_of(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return pipe_read;
}

bool signals_next(struct signal_taken *s)
{
	return read(pipe_read, s, sizeof *s) == sizeof *s;
}

void signals_close(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &old_actions[i], NULL);
	close(pipe_read);
	close(pipe_write);
	pipe_read = pipe_write = -1;
}
