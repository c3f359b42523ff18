/* SPDX-License-Identifier: MIT */
/* See vtest_peer.h. */
#include "tests/support/vtest_peer.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "tests/support/child.h"

int vtest_peer_listen(const char *path, bool listens, mode_t mode)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(strlen(path) < sizeof a.sun_path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || chmod(path, mode) < 0 ||
		(listens && listen(fd, 4) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool receive(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

bool vtest_peer_hear(int fd, struct vtest_header *h, uint32_t *words, size_t size)
{
	size_t n;

	if (!receive(fd, h, sizeof *h))
		return false;
	n = h->command == VTEST_CREATE_RENDERER ? h->length : h->length * sizeof *words;
	CHECK(n <= size);
	return !n || receive(fd, words, n);
}

void vtest_peer_answer(int fd, uint32_t command, const void *data, uint32_t words)
{
	struct vtest_header h = { words, command };
	ssize_t n = (ssize_t)(words * sizeof(uint32_t));

	CHECK(send(fd, &h, sizeof h, MSG_NOSIGNAL) == sizeof h);
	CHECK(!n || send(fd, data, (size_t)n, MSG_NOSIGNAL) == n);
}

bool vtest_peer_greet(int fd, const struct vtest_header *h, uint32_t version)
{
	const uint32_t idle = 0;

	switch (h->command) {
	case VTEST_PING_PROTOCOL_VERSION:
		vtest_peer_answer(fd, h->command, NULL, 0);
		return true;
	case VTEST_RESOURCE_BUSY_WAIT:
		vtest_peer_answer(fd, h->command, &idle, 1);
		return true;
	case VTEST_PROTOCOL_VERSION:
		vtest_peer_answer(fd, h->command, &version, 1);
		return true;
	default:
		return h->command == VTEST_CREATE_RENDERER;
	}
}

void vtest_peer_offer(int fd, bool capset)
{
	const struct {
		uint32_t valid;
		struct apir_capset data;
	} offer = { capset, { .version = 1, .supports_blob_resources = 1 } };

	vtest_peer_answer(fd, VTEST_GET_CAPSET, &offer, capset ? sizeof offer / sizeof(uint32_t) : 1);
}
