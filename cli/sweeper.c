/* SPDX-License-Identifier: MIT */
/*
 * A process that waits for us to end, by whatever, and then removes what we made: `run` may be killed by a signal that
 * it can't hear. It learns of it by a pipe that only we can write to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "proto/util.h"

static _Noreturn void sweeper_wait(int pipe_read, const char *socket, const char *dir)
{
	char byte;

	setsid(); /* who kills our group doesn't mean it */
	prctl(PR_SET_NAME, "virtgpu-sweeper");
	for (int fd = 0; fd < pipe_read; fd++)
		close(fd); /* nobody is to wait for our end of their pipes */
	while (read(pipe_read, &byte, 1) < 0 && errno == EINTR)
		;
	unlink(socket);
	rmdir(dir);
	_exit(0);
}

int sweeper_start(struct sweeper *s, const char *socket, const char *dir)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	*s = (struct sweeper){ .pid = fork(), .fd = pipes[1] };
	if (s->pid == 0) {
		close(pipes[1]);
		sweeper_wait(pipes[0], socket, dir);
	}
	close(pipes[0]);
	if (s->pid > 0)
		return 0;
	close(pipes[1]);
	return -errno;
}

void sweeper_end(struct sweeper *s)
{
	close(s->fd);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
