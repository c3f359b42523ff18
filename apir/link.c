/* SPDX-License-Identifier: MIT */
/* See link.h. */
#include "apir/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/util.h"

#define MAX_QUEUED (4u << 20)

extern char **environ;

struct link_item {
	struct link_item *next;
	int fd;
	size_t size;
	uint8_t bytes[];
};

/* What a worker may inherit: what GPU libraries and their loaders read, and our own variables. Not LD_PRELOAD: a
 * VMM may have been given us by it. */
static bool env_kept(const char *var)
{
	static const char *const prefixes[] = {
		"APIR_",
		"VIRGL_APIR_",
		"GGML_",
		"CUDA_",
		"NVIDIA_",
		"HIP_",
		"ROCR_",
		"ROCM_",
		"HSA_",
		"GPU_",
		"VK_",
		"MESA_",
		"LP_",
		"GALLIUM_",
		"LIBGL_",
		"RADV_",
		"ANV_",
		"ZE_",
		"ONEAPI_",
		"SYCL_",
		"OPENBLAS_",
		"OMP_",
		"KMP_",
		"XDG_",
		"LC_",
		"PATH=",
		"HOME=",
		"USER=",
		"LANG=",
		"TZ=",
		"TMPDIR=",
		"LD_LIBRARY_PATH=",
		"ASAN_OPTIONS=",
		"UBSAN_OPTIONS=",
		"LSAN_OPTIONS=",
		"TSAN_OPTIONS=",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (!strncmp(var, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return false;
}

static char **env_clean(void)
{
	size_t n = 0, kept = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 1, sizeof *env);
	for (size_t i = 0; env && i < n; i++) {
		if (env_kept(environ[i]))
			env[kept++] = environ[i];
	}
	return env;
}

static int worker_start(struct process *p, const char *path, uint32_t ctx_id, int sock)
{
	AUTO_FREE char **env = env_clean();
	char id[16];
	char *argv[] = { (char[]){ "ggml-virtgpu-worker" }, id, NULL };

	if (!env)
		return -ENOMEM;
	snprintf(id, sizeof id, "%u", ctx_id);
	return process_start(p, path, argv, env, sock, WORKER_FD);
}

int link_start(struct link *l, const char *path, uint32_t ctx_id)
{
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	int pair[2], err;

	*l = (struct link){ .sock = -1, .process.watch = -1 };
	l->last = &l->first;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	err = worker_start(&l->process, path, ctx_id, theirs);
	if (err < 0)
		return err;
	l->sock = fd_steal(&ours);
	return 0;
}

static int message_send(int sock, const void *head, size_t head_size, const void *payload, size_t size, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov[2] = { { (void *)(uintptr_t)head, head_size }, { (void *)(uintptr_t)payload, size } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof control.space;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	if (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ETOOMANYREFS ? -EAGAIN : -EPIPE;
}

static int message_queue(struct link *l, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	struct link_item *item;

	if (l->queued + size + sizeof *m > MAX_QUEUED)
		return -ENOBUFS;
	item = malloc(sizeof *item + sizeof *m + size);
	if (!item)
		return -ENOBUFS;
	*item = (struct link_item){ .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0), .size = sizeof *m + size };
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
	return 0;
}

int link_send(struct link *l, const struct worker_msg *m, const void *payload, size_t size, int fd)
{
	int err;

	if (l->sock < 0)
		return -EPIPE;
	if (!l->first) {
		err = message_send(l->sock, m, sizeof *m, payload, size, fd);
		if (err != -EAGAIN)
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
	if (item->fd >= 0)
		close(item->fd);
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

const char *link_end(const struct link *l, char *out, size_t size)
{
	struct process_end end;

	/* Its socket is closed a moment before its status is there. */
	if (!process_ended(&l->process, 20, &end))
		snprintf(out, size, "its worker hung up");
	else if (!end.by_signal)
		snprintf(out, size, "its worker ended with status %d", end.code);
	else
		snprintf(out, size, "its worker was ended by signal %d (%s)", end.code, strsignal(end.code));
	return out;
}
