/* SPDX-License-Identifier: MIT */
/*
 * The supervisor listens and forks: every connection, a VM's device or a container's program, gets a door process
 * of its own, so that none can take another's down. A door stops when its peer hangs up, or when the pipe that
 * only the supervisor can write to hangs up.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "cli/peer.h"
#include "cli/signals.h"
#include "doors/socket/socket_door.h"
#include "doors/vhost-user/vhost_user.h"
#include "doors/workers/workers_door.h"
#include "log/log.h"
#include "platform/clock.h"
#include "proto/util.h"

#define MAX_DOORS   32
#define MAX_SERVING 256
#define STOP_MS     8000

/* The door processes that run, which door each serves, and whom: one's crowd must not keep another's VM out, nor one
 * container's another container. */
static struct served {
	pid_t pid;
	struct door *door;
	char *group;
} served[MAX_DOORS * MAX_SERVING];
static size_t n_served;

void supervisor_prepare(void)
{
	signals_hold();
}

void supervisor_unprepare(void)
{
	signals_release();
}

/* A socket file that nobody listens on is left over from a crash. */
static bool stale(const struct sockaddr_un *a)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 && errno == ECONNREFUSED;
}

int door_listen(struct door *d)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = -1;
	struct stat st;
	mode_t mask;
	int r, err;

	if (strlen(d->path) >= sizeof a.sun_path) {
		fprintf(stderr, "ggml-virtgpu: socket path '%s' is longer than %zu bytes\n", d->path,
			sizeof a.sun_path - 1);
		return -ENAMETOOLONG;
	}
	strcpy(a.sun_path, d->path);
	if (lstat(d->path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode)) {
			fprintf(stderr,
				"ggml-virtgpu: '%s' exists and is no socket: remove it or choose another path\n",
				d->path);
			return -EEXIST;
		}
		if (!stale(&a)) {
			fprintf(stderr,
				"ggml-virtgpu: '%s' is being served already: stop that server or choose another path\n",
				d->path);
			return -EADDRINUSE;
		}
		unlink(d->path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(077); /* whoever may connect may use the GPU: the owner decides with chmod */
	r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&a, sizeof a);
	err = errno;
	umask(mask);
	if (r < 0 || listen(fd, 64) < 0) {
		err = r < 0 ? err : errno;
		fprintf(stderr, "ggml-virtgpu: cannot listen on '%s': %s\n", d->path, strerror(err));
		return -err;
	}
	d->fd = fd_steal(&fd);
	return 0;
}

/* A door keeps a descriptor for every blob of its guest: as many as it may. */
static void descriptors_raise(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max < 65536 ? r.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* In the child: serves one connection, never returns. */
static void door_process(const struct supervisor *s, const struct door *d, int conn, int stop_fd)
{
	struct socket_door_options so = { .apir = &s->host->apir, .configure = host_configure, .user = s->host };
	struct vhost_user_options vo = { .window_size = s->window,
		.venus_capset = s->venus,
		.apir = &s->host->apir,
		.configure = host_configure,
		.user = s->host };
	struct workers_door_options wo = { .worker = s->host->apir.worker ? s->host->apir.worker
		                                                          : APIR_LIBEXECDIR "/ggml-virtgpu-worker" };
	static const char *const names[] = { "vhost-user", "socket", "workers" };
	int err = 0;

	descriptors_raise();
	signals_close();
	/* Ctrl-C reaches the whole group: the supervisor tells us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signals_release();
	for (size_t i = 0; i < s->n_doors; i++)
		close(s->doors[i].fd);
	if (s->private_fd >= 0)
		close(s->private_fd);
	log_name("%s %d", names[d->kind], (int)getpid());
	switch (d->kind) {
	case DOOR_VHOST_USER:
		err = vhost_user_serve(conn, stop_fd, &vo);
		break;
	case DOOR_SOCKET:
		err = socket_door_serve(conn, stop_fd, &so);
		break;
	case DOOR_WORKERS:
		wo.fixed = host_settings(s->host);
		err = wo.fixed ? workers_door_serve(conn, stop_fd, &wo) : -ENOMEM;
		break;
	}
	if (err < 0)
		log_debug("%s: the connection ended: %s", d->path, strerror(-err));
	_exit(err < 0 ? 1 : 0);
}

/* Half of what the others leave: whoever comes first can't have it all, and there is room for who comes then. */
static bool group_has_room(const struct door *d, const char *group)
{
	size_t own = 0;
	char escaped[128];

	for (size_t i = 0; i < n_served; i++)
		own += served[i].door == d && !strcmp(served[i].group, group);
	if (own < (MAX_SERVING - (d->n_serving - own) + 1) / 2)
		return true;
	log_error("%s: %zu connections are the share of %s: refused", d->path, own,
		log_escape(escaped, sizeof escaped, group));
	return false;
}

static void connection_take(const struct supervisor *s, struct door *d, int stop_fd, int stop_write)
{
	AUTO_CLOSE int conn = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC);
	AUTO_FREE char *group = NULL;
	char name[1024];
	pid_t pid;

	if (conn < 0) {
		if (errno == EMFILE || errno == ENFILE)
			usleep(100000); /* until somebody ends; the connection waits */
		return;
	}
	if (d->n_serving >= MAX_SERVING) {
		log_error("%s: more than %d connections: refused", d->path, MAX_SERVING);
		return;
	}
	if (peer_group(conn, name, sizeof name) < 0) {
		log_warn("%s: who connected is gone already: refused", d->path);
		return;
	}
	if (!group_has_room(d, name) || !(group = strdup(name)))
		return;
	pid = fork();
	if (pid == 0) {
		close(stop_write);
		door_process(s, d, fd_steal(&conn), stop_fd);
	}
	if (pid < 0) {
		log_error("%s: cannot start a door process: %s", d->path, strerror(errno));
		return;
	}
	served[n_served++] = (struct served){ pid, d, group };
	group = NULL;
	d->n_serving++;
}

static void served_remove(pid_t pid)
{
	for (size_t i = 0; i < n_served; i++) {
		if (served[i].pid == pid) {
			served[i].door->n_serving--;
			free(served[i].group);
			served[i] = served[--n_served];
			return;
		}
	}
}

/* Reaps what has ended; true when `child` was among it. */
static bool children_reap(int child, int *status)
{
	bool ours = false;
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid == child) {
			ours = true;
			if (status)
				*status = st;
			continue;
		}
		served_remove(pid);
		if (WIFSIGNALED(st))
			log_error("door process %d was ended by signal %d (%s)", (int)pid, WTERMSIG(st),
				strsignal(WTERMSIG(st)));
	}
	return ours;
}

static void doors_stop(int signals, int *stop_write, int child, int *status)
{
	struct pollfd p = { .fd = signals, .events = POLLIN };
	struct signal_taken taken;
	int left = STOP_MS;

	close(*stop_write);
	*stop_write = -1;
	while (n_served && left > 0) {
		int64_t start = clock_ms();

		if (poll(&p, 1, left) > 0) {
			while (signals_next(&taken))
				;
			children_reap(child, status);
		}
		left -= (int)(clock_ms() - start) + 1;
	}
}

int supervisor_run(struct supervisor *s, int child, int *status)
{
	struct pollfd p[MAX_DOORS + 1];
	AUTO_CLOSE int stop_read = -1;
	AUTO_CLOSE int stop_write = -1;
	bool stop = false;
	int pipes[2], signals;

	if (s->n_doors > MAX_DOORS)
		return -E2BIG;
	signals = signals_open();
	if (signals < 0)
		return signals;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	stop_read = pipes[0];
	stop_write = pipes[1];
	for (size_t i = 0; i < s->n_doors; i++)
		p[i] = (struct pollfd){ .fd = s->doors[i].fd, .events = POLLIN };
	p[s->n_doors] = (struct pollfd){ .fd = signals, .events = POLLIN };
	while (!stop) {
		struct signal_taken taken;

		if (poll(p, s->n_doors + 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		for (size_t i = 0; i < s->n_doors; i++) {
			if (p[i].revents)
				connection_take(s, &s->doors[i], stop_read, stop_write);
		}
		while (signals_next(&taken)) {
			if (taken.number != SIGCHLD && child > 0) {
				/* Its end ends us. What comes from the terminal has reached it already. */
				if (!taken.by_terminal)
					kill(child, taken.number);
			} else if (taken.number != SIGCHLD) {
				stop = true;
			}
		}
		stop |= children_reap(child, status);
	}
	for (size_t i = 0; i < s->n_doors; i++) {
		close(s->doors[i].fd);
		unlink(s->doors[i].path);
	}
	doors_stop(signals, &stop_write, child, status);
	return 0;
}
