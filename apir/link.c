/* SPDX-License-Identifier: MIT */
/* See link.h. */
#include "apir/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "apir/worker.h"
#include "platform/parcel.h"
#include "proto/util.h"

#define MAX_QUEUED     (4u << 20)
#define MAX_QUEUED_FDS 64
#define END_MS         500 /* from the socket's end to the word about how */

struct link_item {
	struct link_item *next;
	int fd;
	size_t size;
	uint8_t bytes[];
};

void link_init(struct link *l)
{
	*l = (struct link){ .sock = -1, .server = -1, .process.watch = -1 };
	l->last = &l->first;
}

/* A socket for us and one for the worker. */
static int link_open(struct link *l, int *theirs)
{
	int pair[2];

	link_init(l);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	l->sock = fd_above_std(pair[0]);
	*theirs = fd_above_std(pair[1]);
	if (l->sock < 0 || *theirs < 0)
		return -errno;
	return fcntl(l->sock, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int link_start(struct link *l, const char *path, uint32_t ctx_id)
{
	AUTO_CLOSE int theirs = -1;
	int err = link_open(l, &theirs);

	memory_kills(&l->kills);
	if (!err)
		err = worker_start(&l->process, path, ctx_id, theirs, NULL);
	if (err)
		link_hang_up(l);
	return err;
}

static int message_send(int sock, const void *head, size_t head_size, const void *payload, size_t size, int fd)
{
	const struct iovec iov[] = { { (void *)(uintptr_t)head, head_size }, { (void *)(uintptr_t)payload, size } };
	ssize_t n = parcel_send(sock, iov, size ? 2 : 1, fd);

	if (n >= 0)
		return 0;
	if (n == -ENOBUFS || n == -ETOOMANYREFS)
		return -EBUSY;
	return n == -EAGAIN || n == -EINTR ? -EAGAIN : -EPIPE;
}

static int server_connect(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = fd_above_std(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	if (!*path) /* which would be an abstract name, that anybody can take */
		return -ENOENT;
	if (strlen(path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return -errno;
	return fd_steal(&fd);
}

int link_ask(struct link *l, const char *server, uint32_t ctx_id)
{
	const struct worker_request r = { WORKER_REQUEST_MAGIC, ctx_id };
	AUTO_CLOSE int theirs = -1;
	int err = link_open(l, &theirs);

	if (!err) {
		l->server = server_connect(server);
		err = l->server < 0 ? l->server : message_send(l->server, &r, sizeof r, NULL, 0, theirs);
	}
	if (err) {
		link_hang_up(l);
		if (l->server >= 0)
			close(l->server);
		l->server = -1;
	}
	return err;
}

static int message_queue(struct link *l, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	struct link_item *item;

	if (l->queued + size + sizeof *m > MAX_QUEUED || (fd >= 0 && l->queued_fds == MAX_QUEUED_FDS))
		return -ENOBUFS;
	item = malloc(sizeof *item + sizeof *m + size);
	if (!item)
		return -ENOBUFS;
	*item = (struct link_item){ .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST),
		.size = sizeof *m + size };
	if (fd >= 0 && item->fd < 0) {
		free(item);
		return -ENOBUFS;
	}
	memcpy(item->bytes, m, sizeof *m);
	if (size)
		memcpy(item->bytes + sizeof *m, payload, size);
	*l->last = item;
	l->last = &item->next;
	l->queued += item->size;
	l->queued_fds += fd >= 0;
	return 0;
}

int link_send(struct link *l, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err;

	if (l->sock < 0)
		return -EPIPE;
	if (!l->first) {
		err = message_send(l->sock, m, sizeof *m, payload, size, fd);
		if (err != -EAGAIN && err != -EBUSY)
			return err;
	}
	return message_queue(l, m, payload, size, fd);
}

static void item_drop(struct link *l)
{
	struct link_item *item = l->first;

	l->first = item->next;
	if (!l->first)
		l->last = &l->first;
	l->queued -= item->size;
	if (item->fd >= 0) {
		l->queued_fds--;
		close(item->fd);
	}
	free(item);
}

int link_flush(struct link *l)
{
	while (l->sock >= 0 && l->first) {
		int err = message_send(l->sock, l->first->bytes, l->first->size, NULL, 0, l->first->fd);

		if (err == -EAGAIN)
			return 0;
		if (err < 0)
			return err;
		item_drop(l);
	}
	return 0;
}

int link_recv(struct link *l, struct worker_msg *m)
{
	ssize_t n;

	if (l->sock < 0)
		return -EPIPE;
	n = recv(l->sock, m, sizeof *m, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	return n == sizeof *m ? 1 : -EPIPE;
}

void link_hang_up(struct link *l)
{
	while (l->first)
		item_drop(l);
	if (l->sock >= 0)
		close(l->sock);
	l->sock = -1;
}

const char *link_end(struct link *l, char *out, size_t size)
{
	char why[WORKER_KILLED_TEXT];
	struct process_end end;

	/* Its socket is closed a moment before its status is there. Of a server's worker its server tells. */
	if (!process_ended(&l->process, END_MS, &end))
		snprintf(out, size, "its worker hung up");
	else if (!end.by_signal)
		snprintf(out, size, "its worker ended with status %d", end.code);
	else
		snprintf(out, size, "its worker was ended by signal %d (%s)%s", end.code, strsignal(end.code),
			worker_killed(&end, &l->kills, why, sizeof why));
	return out;
}

int link_watch(const struct link *l)
{
	return l->server >= 0 ? l->server : l->process.watch;
}

void link_wait(struct link *l, int ms)
{
	struct pollfd p = { .fd = l->server, .events = POLLIN };

	if (l->server >= 0)
		poll(&p, 1, ms);
	else
		process_wait(&l->process, ms);
}

bool link_reap(struct link *l)
{
	char byte;

	if (l->server < 0)
		return process_reap(&l->process);
	if (recv(l->server, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close(l->server);
	l->server = -1;
	return true;
}

void link_kill(struct link *l)
{
	if (l->server >= 0)
		shutdown(l->server, SHUT_WR);
	else
		process_kill(&l->process);
}
