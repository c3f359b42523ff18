/* SPDX-License-Identifier: MIT */
/* See minimal.h. */
#include "tests/support/minimal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/process.h"

static void minimal_exec(const struct minimal *m, const char *kind, int errors)
{
	char cpu[512];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(cpu, sizeof cpu, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	setenv("VIRGL_APIR_BACKEND_LIBRARY", test_path("TEST_BACKEND"), 1);
	setenv("APIR_LLAMA_CPP_GGML_LIBRARY_PATH", cpu, 1);
	dup2(errors, STDERR_FILENO);
	execl(test_path("TEST_MINIMAL"), "minimal", m->socket, kind, (char *)NULL);
	_exit(127);
}

/* Reads its lines up to one with `what`, which goes to `line`; counts those with `other` on the way. */
static bool says(struct minimal *m, const char *what, const char *other, unsigned *others, char *line, size_t size)
{
	*others = 0;
	while (fgets(line, (int)size, m->says)) {
		if (strstr(line, what))
			return true;
		*others += strstr(line, other) != NULL;
	}
	return false;
}

bool minimal_start(struct minimal *m, const char *kind)
{
	int ends[2];
	char line[512];
	unsigned unused;

	*m = (struct minimal){ .dir = "/tmp/test-minimal-XXXXXX" };
	if (!mkdtemp(m->dir) || pipe(ends) < 0)
		return false;
	snprintf(m->socket, sizeof m->socket, "%s/socket", m->dir);
	fflush(NULL);
	m->pid = fork();
	if (m->pid == 0)
		minimal_exec(m, kind, ends[1]);
	close(ends[1]);
	m->says = fdopen(ends[0], "r");
	return m->pid > 0 && m->says && says(m, ": serving ", "", &unused, line, sizeof line);
}

void minimal_stop(struct minimal *m)
{
	if (m->pid > 0) {
		kill(m->pid, SIGTERM);
		waitpid(m->pid, NULL, 0);
	}
	if (m->says)
		fclose(m->says);
	unlink(m->socket);
	rmdir(m->dir);
	*m = (struct minimal){ 0 };
}

bool minimal_asked(struct minimal *m, struct minimal_asked *a)
{
	char line[512];

	return says(m, ": handshake of ", "this host does not tell the sizes of blobs", &a->warnings, line,
		       sizeof line) &&
	       sscanf(line, "minimal %*d: handshake of %zu bytes, %lu calls, the highest function is %lu",
		       &a->handshake_bytes, &a->calls, &a->highest) == 3;
}
