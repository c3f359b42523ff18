/* SPDX-License-Identifier: MIT */
/* See server.h. */
#include "tests/support/server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/util.h"
#include "tests/support/process.h"

static void server_exec(const struct server *s, const char *library, const char *env, int errors, unsigned closed)
{
	char variable[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (env) {
		snprintf(variable, sizeof variable, "%s", env);
		putenv(variable);
	}
	dup2(errors, STDERR_FILENO);
	for (int fd = 0; fd < 3; fd++) {
		if (closed & 1u << fd)
			close(fd);
	}
	execl(test_path("TEST_CLI"), "ggml-virtgpu", "serve", "--socket", s->socket, "--workers", s->workers,
		"--vhost-user", s->vhost_user, "--ggml", library, "--worker", test_path("TEST_WORKER"), "--backend",
		test_path("TEST_BACKEND"), "-o", "ggml.threads=1", (char *)NULL);
	_exit(127);
}

/* Reads its lines up to the one that says that it serves. */
static bool serving(int fd)
{
	char text[4096];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0) {
		n += (size_t)got;
		text[n] = '\0';
		if (strstr(text, ": serving "))
			return true;
	}
	fprintf(stderr, "the server said: %.*s\n", (int)n, text);
	return false;
}

/* Where it can't say so: somebody listens. */
static bool listening(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is = false;

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	for (int i = 0; i < 20000 && !is; i++) {
		is = connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
		usleep(1000);
	}
	return is;
}

/* library: NULL: ggml's CPU library. */
static bool server_begin(struct server *s, const char *library, const char *env, unsigned closed)
{
	char cpu[512];
	int ends[2];

	*s = (struct server){ .dir = "/tmp/test-server-XXXXXX", .errors = -1 };
	if (!mkdtemp(s->dir) || pipe2(ends, O_CLOEXEC) < 0)
		return false;
	snprintf(cpu, sizeof cpu, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	snprintf(s->socket, sizeof s->socket, "%s/socket", s->dir);
	snprintf(s->workers, sizeof s->workers, "%s/workers", s->dir);
	snprintf(s->vhost_user, sizeof s->vhost_user, "%s/vhost-user", s->dir);
	fflush(NULL);
	s->pid = fork();
	if (s->pid == 0)
		server_exec(s, library ? library : cpu, env, ends[1], closed);
	close(ends[1]);
	s->errors = ends[0];
	return s->pid > 0 && (closed & 4 ? listening(s->socket) : serving(ends[0]));
}

bool server_start(struct server *s, const char *env)
{
	return server_begin(s, NULL, env, 0);
}

bool server_start_on(struct server *s, const char *library, const char *env)
{
	return server_begin(s, library, env, 0);
}

bool server_start_closed(struct server *s, unsigned closed)
{
	return server_begin(s, NULL, NULL, closed);
}

/* Takes what it has said; false: nothing more. */
static bool more_said(struct server *s, int ms)
{
	struct pollfd p = { .fd = s->errors, .events = POLLIN };
	char *grown = realloc(s->said, s->n_said + 4097);
	ssize_t got = 0;

	if (!grown)
		return false;
	s->said = grown;
	if (poll(&p, 1, ms) > 0 && (got = read(s->errors, s->said + s->n_said, 4096)) > 0)
		s->n_said += (size_t)got;
	s->said[s->n_said] = '\0';
	return got > 0;
}

bool server_said(struct server *s, const char *what)
{
	while (more_said(s, s->said && strstr(s->said, what) ? 0 : 5000))
		;
	return s->said && strstr(s->said, what);
}

void server_stop(struct server *s)
{
	free(s->said);
	s->said = NULL;
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		waitpid(s->pid, NULL, 0);
	}
	if (s->errors >= 0)
		close(s->errors);
	rmdir(s->dir);
	s->pid = 0;
}

pid_t server_door(const struct server *s)
{
	return process_child(s->pid, "ggml-virtgpu");
}

pid_t server_worker(const struct server *s)
{
	pid_t door = server_door(s);

	return door ? process_child(door, "ggml-virtgpu-worker") : 0;
}
