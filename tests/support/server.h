/* SPDX-License-Identifier: MIT */
/* A real `ggml-virtgpu serve --socket --workers --vhost-user`, as a user starts it. */
#ifndef TESTS_SUPPORT_SERVER_H
#define TESTS_SUPPORT_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct server {
	pid_t pid;
	char dir[32], socket[64], workers[64], vhost_user[64];
	int errors; /* its stderr */
	char *said; /* what came from there, once somebody asked; freed by server_stop() */
	size_t n_said;
};

/* Starts it and waits until it serves. env ("NAME=value", may be NULL) is set for it. */
bool server_start(struct server *s, const char *env);
/* The same with some of stdin (1), stdout (2) and stderr (4) closed. */
bool server_start_closed(struct server *s, unsigned closed);
/* The same with another GGML library than ggml's CPU library. */
bool server_start_on(struct server *s, const char *library, const char *env);
/* Whether it has said so since it serves; waits for a while. */
bool server_said(struct server *s, const char *what);
/* Ends it and waits. */
void server_stop(struct server *s);
/* The newest connection's processes; 0: none. */
pid_t server_door(const struct server *s);
pid_t server_worker(const struct server *s);

#endif
