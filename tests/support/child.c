/* SPDX-License-Identifier: MIT */
/* See child.h. */
#include "tests/support/child.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

void child_powers_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (geteuid())
		return;
	CHECK(!prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE) && !prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH));
	CHECK(!syscall(SYS_capget, &head, data));
	data[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
	data[0].permitted = data[0].effective;
	data[0].inheritable = 0;
	CHECK(!syscall(SYS_capset, &head, data));
}
