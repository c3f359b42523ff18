/* SPDX-License-Identifier: MIT */
/* A client of a socket door without a plugin: it connects, and makes a context. */
#ifndef TESTS_SERVE_CLIENT_H
#define TESTS_SERVE_CLIENT_H

#include "guest/transport/vtest.h"

/* Connects and makes a context, so that there is a worker. 0 or -errno; vtest_close() afterwards also when it failed. */
int client_open(struct vtest *v, const char *path);
/* Has the host make a blob of so many bytes, and drops its descriptor. 0; -ENOMEM: the host has none to give. */
int client_blob(struct vtest *v, uint32_t size);

#endif
