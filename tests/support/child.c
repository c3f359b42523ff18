/* SPDX-License-Identifier: MIT */
/* See child.h. */
#include "tests/support/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/support/capture.h"

pid_t child_start(void (*fn)(void *), void *arg)
{
	pid_t pid, parent = getpid();

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		fn(arg);
		exit(0);
	}
	return pid;
}

int child_end(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_run(void (*fn)(void *), void *arg)
{
	return child_end(child_start(fn, arg));
}

int child_run_heard(void (*fn)(void *), void *arg, char **text)
{
	struct capture c;
	int status;

	capture_begin(&c);
	status = child_run(fn, arg);
	*text = capture_end(&c);
	if (status)
		fprintf(stderr, "the child ended with %d; it said:\n%s", status, *text);
	return status;
}
