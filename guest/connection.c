/* SPDX-License-Identifier: MIT */
/* See connection.h. */
#include "guest/connection.h"

#include <pthread.h>
#include <stdlib.h>

#include "platform/guard.h"

/* Set in a forked child: its parent's context isn't its own. */
static _Atomic bool forked;
static struct connection *_Atomic opened; /* which is to be left then */

/* What the child keeps of its parent's connection would keep the worker alive, and its memory, after the parent's end. Its
 * mappings it hasn't got: blob.c. */
static void on_fork(void)
{
	struct connection *c = atomic_load(&opened);

	atomic_store(&forked, true);
	if (c && c->transport)
		c->transport->ops->leave(c->transport);
	guard_abandon();
}

static void fork_watch(void)
{
	pthread_atfork(NULL, NULL, on_fork);
}

int connection_open(struct connection *c, char *err, size_t err_size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *path = getenv("GGML_VIRTGPU_SOCKET");
	int use_apir = getenv("GGML_REMOTING_USE_APIR_CAPSET") != NULL;
	int e;

	pthread_once(&once, fork_watch);
	e = path ? transport_socket_open(&c->transport, path, use_apir, err, err_size)
	         : transport_drm_open(&c->transport, use_apir, err, err_size);
	if (!e)
		atomic_store(&opened, c);
	return e;
}

void connection_close(struct connection *c)
{
	atomic_store(&opened, NULL);
	c->transport->ops->close(c->transport); /* the host can forget us */
	c->transport = NULL;
	atomic_store(&c->dead, true);
}

bool connection_alive(const struct connection *c)
{
	return !atomic_load_explicit(&c->dead, memory_order_relaxed) &&
	       !atomic_load_explicit(&c->torn, memory_order_relaxed) &&
	       !atomic_load_explicit(&forked, memory_order_relaxed);
}

bool connection_forked(void)
{
	return atomic_load_explicit(&forked, memory_order_relaxed);
}
