/* SPDX-License-Identifier: MIT */
/* Stands before guest/transport/socket.c: while plugin_unsent is set this system has no memory to send a command. */
#include <stdbool.h>

#include "guest/transport/transport.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT bool plugin_unsent;

static struct transport_ops ops;
static int (*real_submit)(struct transport *t, const void *cmd, size_t size, unsigned flags);

static int submit(struct transport *t, const void *cmd, size_t size, unsigned flags)
{
	return plugin_unsent ? -ENOMEM : real_submit(t, cmd, size, flags);
}

int __real_transport_socket_open(struct transport **out, const char *path, int use_apir, char *err, size_t err_size);
int __wrap_transport_socket_open(struct transport **out, const char *path, int use_apir, char *err, size_t err_size);

int __wrap_transport_socket_open(struct transport **out, const char *path, int use_apir, char *err, size_t err_size)
{
	int r = __real_transport_socket_open(out, path, use_apir, err, err_size);

	if (r == 0) {
		ops = *(*out)->ops;
		real_submit = ops.submit;
		ops.submit = submit;
		(*out)->ops = &ops;
	}
	return r;
}
